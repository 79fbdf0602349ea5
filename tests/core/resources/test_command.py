"""The command line, as people and programs use it."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from bionemo.core.resources.__main__ import main
from tests.core.resources.test_loading import CONTENT

NUM_COLUMNS = 60
COMMAND = [sys.executable, "-m", "bionemo.core.resources"]


@pytest.fixture
def folder(server, publish, tmp_path: Path) -> Path:
    """Return a folder with a YAML file of resources of the server, and make the cache one beside it."""
    resource = publish("few.bin", CONTENT)["a/b"]
    entry = f"- tag: few\n  urls: [{resource.urls[0]}]\n  sha256: {resource.sha256}\n  size: {resource.size}\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my.yaml").write_text(entry)
    return tmp_path / "data"


def run(folder: Path, *arguments: str) -> int:
    options = [] if arguments[0] == "prune" else ["--resources", str(folder)]
    return main([*arguments, "--cache-dir", str(folder.parent / "cache"), *options])


def test_results_go_to_stdout_and_the_rest_to_stderr(folder: Path, capsys) -> None:
    assert run(folder, "where", "my/few") == 1
    assert capsys.readouterr() == ("", "my/few isn't in the cache\n")
    assert run(folder, "get", "my/few") == 0
    out, err = capsys.readouterr()
    path = Path(out.removesuffix("\n"))
    assert (path.read_bytes(), err) == (CONTENT, "")
    assert run(folder, "where", "my/few") == 0
    assert capsys.readouterr().out == out
    assert run(folder, "list") == 0
    assert capsys.readouterr().out == "tag     cached  size   sources\nmy/few  yes     1 MiB  http\n"
    assert run(folder, "verify") == run(folder, "verify", "my/few") == 0
    assert capsys.readouterr().out == "my/few  right\nmy/few  right\n"
    path.write_bytes(CONTENT[::-1])
    assert run(folder, "verify", "my/few") == 1
    assert capsys.readouterr() == ("my/few  damaged\n", "what is damaged is downloaded again by `get`\n")
    assert run(folder, "get", "my/few") == run(folder, "verify", "my/few") == 0
    capsys.readouterr()
    assert run(folder, "prune", "--older-than", "0s", "--dry-run") == 0
    assert capsys.readouterr().err == "would remove 1 MiB in 1 files and folders\n"
    assert run(folder, "prune", "--older-than", "0s") == 0
    assert not path.exists()
    assert re.fullmatch(r"\S+  1 MiB  0.0 days\n", capsys.readouterr().out)
    assert run(folder, "verify", "my/few") == 1
    assert capsys.readouterr().out == "my/few  not in the cache\n"
    assert run(folder, "verify") == 0
    assert capsys.readouterr().out == ""


def test_json_is_printed_for_programs(folder: Path, capsys) -> None:
    found = {}
    for arguments in (["get", "my/few"], ["where", "my/few"], ["list"], ["verify"], ["prune", "--older-than", "0s"]):
        assert run(folder, *arguments, "--json") == 0
        found[arguments[0]] = json.loads(capsys.readouterr().out)
    assert found["get"] == found["where"] == {"tag": "my/few", "path": found["list"][0]["path"]}
    assert found["list"][0]["size"] == len(CONTENT)
    assert found["verify"] == {"my/few": "right"}
    assert found["prune"][0]["num_bytes"] > len(CONTENT)
    assert run(folder, "where", "my/few", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"tag": "my/few", "path": None}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["get", "my/fev"], "error: Resource 'my/fev' not found. Did you mean 'my/few'?\n"),
        (["get", "my/few", "--source", "ngc"], "error: source must be one of http for my/few, got source='ngc'.\n"),
        (["verify", "x"], "error: Resource 'x' not found. There are 1 others.\n"),
    ],
)
def test_errors_are_told_in_a_line(arguments, error: str, folder: Path, capsys) -> None:
    assert run(folder, *arguments) == 2
    assert capsys.readouterr() == ("", error)


@pytest.mark.parametrize("age", ["30", "d", "-3d", "3y", "1.5d"])
def test_an_age_needs_a_unit(age: str, folder: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(folder, "prune", f"--older-than={age}")
    assert "must be a number with one of the units s, m, h, d, w, such as 30d" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(f"{' '.join(COMMAND)} list | head -1", shell=True, capture_output=True, text=True)
    assert (done.stdout.split()[0], done.stderr) == ("tag", "")


def start(folder: Path) -> tuple[subprocess.Popen, int]:
    """Start a download in a narrow terminal, and return the process and the terminal."""
    terminal, of_process = pty.openpty()
    options = ["get", "my/few", "--resources", str(folder), "--cache-dir", str(folder.parent / "cache")]
    fcntl.ioctl(of_process, termios.TIOCSWINSZ, struct.pack("HHHH", 24, NUM_COLUMNS, 0, 0))
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=of_process)
    os.close(of_process)
    return process, terminal


def read_all(terminal: int) -> str:
    text = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the process has ended
            part = b""
        if not part:
            os.close(terminal)
            return text.decode()
        text += part


def test_ctrl_c_ends_in_a_line_and_the_next_call_resumes_with_a_progress_bar(server, folder: Path) -> None:
    server.faults["few.bin"] = ["drip:20000"]
    process, terminal = start(folder)
    while not (list(folder.parent.glob("cache/resources/*/download/.few.bin.partial")) and server.requests):
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    shown = read_all(terminal)
    assert shown.endswith("interrupted: the next `get` resumes\r\n")
    assert "Traceback" not in shown
    with process.stdout as out:
        assert out.read() == b""
    process, terminal = start(folder)
    shown = read_all(terminal)
    with process.stdout as out:
        assert Path(out.read().decode().removesuffix("\n")).read_bytes() == CONTENT
    assert process.wait(10) == 0
    assert "my/few: 100%" in shown
    assert "1.00M/1.00M" in shown
    assert max(map(len, re.split("[\r\n]", shown))) <= NUM_COLUMNS
    assert server.requests[1][1].startswith("bytes=")
