"""Locks of folders between real processes: one holds it, however the other ones end."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bionemo.core.files import folder_lock

HOLD = """
import sys, time
from bionemo.core.files import folder_lock
lock = folder_lock(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""

FORK = """
import multiprocessing, os, sys, time
from bionemo.core.files import folder_lock
lock = folder_lock(sys.argv[1])
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
worker.start()
print(worker.pid, flush=True)
time.sleep(600)
"""


def start(program: str, folder: Path) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline()


def test_a_folder_is_locked_as_long_as_a_process_lives(tmp_path: Path) -> None:
    process, _ = start(HOLD, tmp_path / "run")
    message = (
        r"folder must be written by one process at a time, got folder='.*run', which another one writes \(process "
    )
    with pytest.raises(RuntimeError, match=message + rf"{process.pid} on .*\)\. Wait for its end or stop it"):
        folder_lock(tmp_path / "run")
    process.kill()
    process.communicate()
    with folder_lock(tmp_path / "run"):
        pass


def test_a_worker_that_outlives_a_killed_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    process, worker = start(FORK, tmp_path)
    with pytest.raises(RuntimeError, match=re.escape(str(tmp_path))):
        folder_lock(tmp_path)
    time.sleep(0.2)  # the worker has begun
    process.kill()
    process.wait()
    try:
        os.kill(int(worker), 0)  # it lives
        folder_lock(tmp_path).release()
    finally:
        os.kill(int(worker), signal.SIGKILL)
        process.communicate()


def _is_refused(folder: Path) -> None:
    try:
        folder_lock(folder)
    except RuntimeError:
        return
    sys.exit(1)


def test_a_process_may_lock_again_but_not_a_child(tmp_path: Path) -> None:
    with folder_lock(tmp_path), folder_lock(tmp_path):
        child = multiprocessing.get_context("fork").Process(target=_is_refused, args=(tmp_path,))
        child.start()
        child.join()
        assert child.exitcode == 0
