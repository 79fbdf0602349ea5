"""Files that are whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], object], /) -> None:
    """Write a file beside its place, and move it there once it is on the disk.

    Law: whenever the process is killed, `path` holds all of the new content or all of the old.

    Args:
        path: the file, in a folder that exists.
        write: called with the file that is moved to `path` when the call returns.

    Raises:
        OSError: if the folder can't be written to; `path` is as it was, also when `write` raises.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a.txt", lambda file: file.write(b"whole"))
        ...     [path.read_text() for path in Path(folder).iterdir()]
        ['whole']
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
