"""The lowest layer: code that every bionemo package needs, and that knows nothing about data sets."""

import os
from pathlib import Path
from typing import Final

import platformdirs

__all__ = ["BIONEMO_CACHE_DIR", "make_cache_dir"]


_NO_HOME: Final = Path(os.devnull, "no home folder, set HOME or BIONEMO_CACHE_DIR")
"""A folder that can't exist: whoever uses it gets an OSError that names the remedy."""


def _cache_dir() -> Path:
    """Return the folder that the environment variable names, or the platform's default."""
    chosen = os.environ.get("BIONEMO_CACHE_DIR")
    try:
        # Not Path.expanduser, which raises for an unknown user.
        path = Path(os.path.expanduser(chosen)) if chosen else platformdirs.user_cache_path("bionemo")  # noqa: PTH111
    except RuntimeError:  # of platformdirs, if there is no home folder; earlier versions keep the tilde
        path = Path("~")
    return _NO_HOME if path.parts[:1] == ("~",) else path


BIONEMO_CACHE_DIR: Final[Path] = _cache_dir()
"""Folder for files that bionemo packages download or compute.

The value of the environment variable of the same name if it is set and not empty (a leading `~` is the home folder),
otherwise the platform's user cache folder for `bionemo`. The variable is read once, on import. Importing doesn't create
the folder: `make_cache_dir` does. For a user without a home folder, only that fails, with an OSError.
"""


def make_cache_dir() -> Path:
    """Return `BIONEMO_CACHE_DIR`, after making the folder if there is none.

    Raises:
        OSError: if it can't be made, e.g. because the user has no home folder or may not write there; the message says
            how to choose another one.

    Example:
        >>> make_cache_dir().is_dir()
        True
    """
    try:
        BIONEMO_CACHE_DIR.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{error.strerror}. Set the environment variable BIONEMO_CACHE_DIR to a folder that you may write to"
        raise type(error)(error.errno, reason, str(BIONEMO_CACHE_DIR)) from error
    return BIONEMO_CACHE_DIR
