"""Commands run as processes, whose failure is part of the result; a module path of bionemo-core 2.x."""

import os
import shlex
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, shown
from bionemo.core.fields import to_float

__all__ = ["run_subprocess_safely"]


@checked
def run_subprocess_safely(command: str, timeout: AnyFloat = 2000) -> dict[str, Any]:
    r"""Run a command without a shell, and return what it wrote and its exit status.

    Args:
        command: program and arguments, divided as a shell would.
        timeout: seconds after which the command is killed, with all processes that it has started.

    Returns:
        `stdout` and `stderr` as text and `returncode`, which is None if the command wasn't found or was killed. If it
        failed, `error` is "non-zero exit", "timeout" or "not found".

    Raises:
        ValueError: if the command is empty, has a quote without its end or a null byte, or the timeout is negative or
            beyond what the system can wait.

    Example:
        >>> run_subprocess_safely("echo 'two words'")
        {'stdout': 'two words\n', 'stderr': '', 'returncode': 0}
        >>> run_subprocess_safely("sleep 60", timeout=0.1)["error"]
        'timeout'
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        message = f"command must be divisible as by a shell, got command={shown(command)}: {error}."
        raise ValueError(message) from error
    if not arguments:
        message = f"command must name a program, got command={command!r}."
        raise ValueError(message)
    seconds = to_float(timeout)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        message = f"timeout must be 0 to {threading.TIMEOUT_MAX:.0f} seconds, got timeout={shown(timeout)}."
        raise ValueError(message)
    options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    try:
        process = subprocess.Popen(arguments, start_new_session=True, **options)  # noqa: S603 - the caller's command
    except ValueError as error:  # a null byte, or half of a surrogate pair
        message = f"command must consist of characters that a program can be given, got command={shown(command)}."
        raise ValueError(message) from error
    except OSError as error:
        return {"error": "not found", "stdout": "", "stderr": str(error), "returncode": None}
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        stdout, stderr = process.communicate()
        return {"error": "timeout", "stdout": stdout, "stderr": stderr, "returncode": None}
    except BaseException:  # e.g. Ctrl-C, which a session of its own doesn't get
        _kill(process)
        process.communicate()
        raise
    failed = {"error": "non-zero exit"} if process.returncode else {}
    return {**failed, "stdout": stdout, "stderr": stderr, "returncode": process.returncode}


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process and those that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
