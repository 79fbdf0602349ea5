"""What the processes of the tests do; it loads neither pytest nor torch, so that they start fast."""

from pathlib import Path
from typing import Any

import filelock
import pooch
import requests
import tqdm.auto

from bionemo.core.resources import Resource, fetching, load

assert filelock and pooch and requests and tqdm.auto  # imported once, before processes are forked


def load_once(fields: dict[str, Any], cache: Path, results: Any = None) -> None:
    fetching._WAIT = 0.001
    resource = Resource(tag="a/b", **fields)
    path = load("a/b", resources={"a/b": resource}, cache_dir=cache)
    if results is not None:
        results.put(str(path))
