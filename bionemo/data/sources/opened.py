"""Files as data sets hold them: by path, opened at first use in each process and thread, and read only if unchanged."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs
from torch import Tensor

from bionemo.core.checks import shown

__all__ = ["Opened", "WatchedFile", "to_names", "to_paths"]

Handle = TypeVar("Handle")

_PIECE: Final = 2**14
_NUM_PIECES: Final = 64
_WHOLE: Final = 2**22
"""A file of at most so many bytes is digested whole, a larger one by pieces."""


def to_paths(paths: Any, /) -> tuple[Any, ...]:
    """Return one path, or a list of them, as a tuple.

    Raises:
        ValueError: if there is none.

    Example:
        >>> to_paths("a.h5ad"), to_paths(["a.h5ad", "b.h5ad"])
        (('a.h5ad',), ('a.h5ad', 'b.h5ad'))
    """
    many = tuple(paths) if isinstance(paths, list | tuple) else (paths,)
    if not many:
        message = "paths must hold at least one path, got none."
        raise ValueError(message)
    return many


def to_names(names: Any, /, *, name: str) -> tuple[str, ...]:
    """Return the names of columns as a tuple.

    Raises:
        TypeError: if they are one string, or not strings.

    Example:
        >>> to_names(["cell_type", "donor"], name="obs")
        ('cell_type', 'donor')
    """
    is_many = (
        isinstance(names, Iterable) and not isinstance(names, str | Tensor) and getattr(names, "shape", None) != ()
    )
    if not is_many or not all(isinstance(one, str) for one in names):
        message = f'{name} must be a sequence of names of columns, e.g. ["cell_type"], got {name}={shown(names)}.'
        raise TypeError(message)
    return tuple(names)


def _absolute(path: Any) -> Path:
    try:
        return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - links are kept
    except TypeError as error:
        message = f"path must be a string or path, got path={shown(path)} of type {type(path).__name__}."
        raise TypeError(message) from error


@attrs.frozen
class WatchedFile:
    """A file as it was when a data set was made; its size and time of change must stay.

    Args:
        path: path of the file; a relative one is made absolute, because a worker process may have another folder.

    Raises:
        FileNotFoundError: if there is no such file.
        IsADirectoryError: if it is a folder.
        TypeError: if `path` is not a path.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     WatchedFile(file.name).size
        0
    """

    path: Path = attrs.field(converter=_absolute)
    _stat: tuple[int, int] = attrs.field(
        init=False, default=attrs.Factory(lambda file: _stat_of(file.path), takes_self=True), repr=False
    )

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._stat[0]

    def check(self) -> None:
        """Check that the file is what it was.

        Raises:
            FileNotFoundError: if it is gone.
            ValueError: if it has another size or time of change.
        """
        found = _stat_of(self.path)
        if found != self._stat:
            message = (
                f"path must hold the file that the data set was made of, got {self.path}, which has changed: "
                f"{found[0]:,} bytes instead of {self.size:,}, or written at another time. Make the data set again."
            )
            raise ValueError(message)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the size and content; of a file of more than 4 MiB, only 64 pieces of 16 KiB are read."""
        self.check()
        digest = hashlib.sha256(str(self.size).encode())
        with self.path.open("rb") as file:
            if self.size <= _WHOLE:
                digest.update(file.read())
            else:
                for number in range(_NUM_PIECES):
                    file.seek(number * (self.size - _PIECE) // (_NUM_PIECES - 1))
                    digest.update(file.read(_PIECE))
        return digest.hexdigest()


def _stat_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        message = f"{error.strerror}. path must be an existing file"
        raise type(error)(error.errno, message, str(path)) from None
    if stat.S_ISDIR(found.st_mode):
        message = "path must be a file, not a folder"
        raise IsADirectoryError(21, message, str(path))
    return found.st_size, found.st_mtime_ns


class Opened(Generic[Handle]):
    """What a function opens: once per process and thread, at first use. It pickles as the function.

    A process that is forked opens it again, because a shared file position or library state would mix up reads.

    Args:
        opener: opens it; must pickle if this does.

    Example:
        >>> opened = Opened(list)
        >>> opened.get() is opened.get()
        True
    """

    __slots__ = ("_local", "_opener")

    def __init__(self, opener: Callable[[], Handle], /) -> None:
        self._opener = opener
        self._local = threading.local()

    def get(self) -> Handle:
        """Return what is open here, after opening it if necessary."""
        if getattr(self._local, "process", None) != os.getpid():
            self._local.handle = self._opener()
            self._local.process = os.getpid()
        handle: Handle = self._local.handle
        return handle

    def __reduce__(self) -> tuple[Any, ...]:
        return Opened, (self._opener,)
