"""The ground floor: what every bionemo package needs and no data set is known to."""

import os
from pathlib import Path
from typing import Final

import platformdirs

__all__ = ["BIONEMO_CACHE_DIR"]


def _cache_dir() -> Path:
    chosen = os.environ.get("BIONEMO_CACHE_DIR")
    if not chosen:
        return platformdirs.user_cache_path("bionemo")
    return Path(os.path.expanduser(chosen))  # noqa: PTH111 - Path.expanduser raises for an unknown user


BIONEMO_CACHE_DIR: Final[Path] = _cache_dir()
"""Folder for what bionemo packages download or derive.

The environment variable of this name where it is set and not empty (a leading `~` is the home folder), else the
platform's user cache folder for `bionemo`. Read once, on import; the folder itself is made by whoever writes to it
first.
"""
