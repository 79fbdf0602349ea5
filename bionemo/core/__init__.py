"""The lowest layer: code that every bionemo package needs, and that knows nothing about data sets."""

import os
from pathlib import Path
from typing import Final

import platformdirs

__all__ = ["BIONEMO_CACHE_DIR"]


def _cache_dir() -> Path:
    """Return the folder that the environment variable names, or the platform's default."""
    chosen = os.environ.get("BIONEMO_CACHE_DIR")
    if not chosen:
        return platformdirs.user_cache_path("bionemo")
    return Path(os.path.expanduser(chosen))  # noqa: PTH111 - Path.expanduser raises for an unknown user


BIONEMO_CACHE_DIR: Final[Path] = _cache_dir()
"""Folder for files that bionemo packages download or compute.

The value of the environment variable of the same name if it is set and not empty (a leading `~` is the home folder),
otherwise the platform's user cache folder for `bionemo`. The variable is read once, on import. Importing doesn't create
the folder; code that writes to it does.
"""
