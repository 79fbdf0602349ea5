"""Programs on several ranks: gloo processes that torchrun starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]


def torchrun(program: str, *arguments: object, ranks: int, env: dict[str, str] | None = None, **options: Any) -> Any:
    """Start a program on several ranks, one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    # The fault handler prints the stacks of all threads when a process gets a SIGABRT.
    added = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
    return subprocess.Popen(
        [*launcher, program, *map(str, arguments)], env=inherited | added | (env or {}), text=True, **options
    )


def run_on_ranks(
    program: str, *arguments: object, ranks: int, timeout: float, env: dict[str, str] | None = None
) -> None:
    """Run a program on several ranks; if it fails or hangs, the error holds its output, with the stacks if it hangs."""
    process = torchrun(program, *arguments, ranks=ranks, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.send_signal(signal.SIGABRT)
        try:
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        raise AssertionError(f"{program} hangs on {ranks} ranks:\n{output[-20000:]}") from None
    assert process.returncode == 0, output[-20000:]
