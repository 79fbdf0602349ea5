"""What the processes of the tests do; it loads neither pytest nor torch, so that they start fast."""

import os
import resource as process_limits
import signal
import threading
from pathlib import Path
from typing import Any

import filelock
import pooch
import requests
import tqdm.auto

from bionemo.core.resources import Resource, fetching, load

PRELOADED = (filelock, pooch, requests, tqdm.auto)
"""Modules that are imported once, before processes are forked."""

tqdm.auto.tqdm.set_lock(threading.RLock())  # its own is a semaphore, of which a killed process leaves a warning


def load_once(fields: dict[str, Any], cache: Path, results: Any = None) -> None:
    fetching._WAIT = 0.001
    resource = Resource(tag="a/b", **fields)
    path = load("a/b", resources={"a/b": resource}, cache_dir=cache)
    if results is not None:
        results.put(str(path))


def load_restricted(fields: dict[str, Any], cache: Path, results: Any, *, user: int, max_bytes: int) -> None:
    """Load as another user, or with a limit on the size of files; send the path or the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    process_limits.setrlimit(process_limits.RLIMIT_FSIZE, (max_bytes, max_bytes))
    os.setuid(user)
    try:
        for verify in (False, True):
            found = load("a/b", resources={"a/b": Resource(tag="a/b", **fields)}, cache_dir=cache, verify=verify)
        results.put(str(found))
    except OSError as error:
        results.put(f"{type(error).__name__}: {error}")
