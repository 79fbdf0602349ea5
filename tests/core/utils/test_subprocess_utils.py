"""Commands as processes: what they write, how they end, and that nothing is left running."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bionemo.core.utils.subprocess_utils import run_subprocess_safely


def test_a_command_that_succeeds() -> None:
    assert run_subprocess_safely("printf '%s' out") == {"stdout": "out", "stderr": "", "returncode": 0}


def test_a_command_that_fails() -> None:
    found = run_subprocess_safely(f"{sys.executable} -c \"import sys; print('a'); sys.exit('b')\"")
    assert found == {"error": "non-zero exit", "stdout": "a\n", "stderr": "b\n", "returncode": 1}


def test_a_command_that_does_not_exist() -> None:
    found = run_subprocess_safely("no_such_program --help")
    assert (found["error"], found["returncode"], found["stdout"]) == ("not found", None, "")
    assert "no_such_program" in found["stderr"]


def test_full_pipes_do_not_block() -> None:
    code = "import sys; sys.stderr.write('e' * 10**6); sys.stdout.write('o' * 10**6); sys.stderr.write('e')"
    found = run_subprocess_safely(f'{sys.executable} -c "{code}"', timeout=60)
    assert (len(found["stdout"]), len(found["stderr"]), found["returncode"]) == (10**6, 10**6 + 1, 0)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_after_the_timeout_nothing_runs_any_more(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    began = time.monotonic()
    found = run_subprocess_safely(f"{sys.executable} {script}", timeout=2)
    assert time.monotonic() - began < 30  # the grandchild holds the pipe open for ten minutes
    assert (found["error"], found["returncode"]) == ("timeout", None)
    child, until = int(found["stdout"]), time.monotonic() + 30
    while is_running(child) and time.monotonic() < until:  # a killed process may take a moment to end
        time.sleep(0.01)
    assert not is_running(child)


def test_an_interrupt_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(subprocess.Popen):
        def communicate(self, *args, **options):
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().communicate(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_subprocess_safely("sleep 600")
    assert started[0].returncode == -9


@pytest.mark.parametrize(("command", "message"), [("", "must name a program"), ("echo 'a", "must be divisible as by")])
def test_what_is_no_command_is_refused(command: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"command {message}"):
        run_subprocess_safely(command)
