"""Other libraries, which are installed and loaded when they are called first: tests of this program need none."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from benchmarks.peers import Peer


@lru_cache(maxsize=16)
def installed(make: Callable[[], Peer]) -> Peer:
    """Return a function of another library, or the reason why it isn't there."""
    return make()


def reason(make: Callable[[], Peer] | None) -> str:
    """Return why a function isn't there; an empty string if it is, or none is needed."""
    if make is None or installed(make).function is not None:
        return ""
    return installed(make).reason or "not there"


def call(*arguments: Any, make: Callable[[], Peer]) -> Any:
    """Call a function of another library."""
    return installed(make).function(*arguments)
