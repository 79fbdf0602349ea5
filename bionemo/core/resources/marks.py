"""What was verified: a mark beside a file or a folder, with the state and the digest of each file when it was right."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bionemo.core.files import write_atomically

__all__ = ["has_marked_content", "is_unchanged", "mark", "mark_path", "refresh", "sha256_of", "unmark"]

_TICK: Final = 0.02
"""Seconds after which the clock of a file system has certainly moved: Linux counts in steps of 1 to 10 ms."""


def sha256_of(path: Path, /) -> str:
    """Return the SHA-256 digest of a file.

    Example:
        >>> sha256_of(Path("/dev/null"))[:8]
        'e3b0c442'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mark_path(path: Path, /) -> Path:
    """Return the path of the mark of a file or folder.

    Example:
        >>> mark_path(Path("unpacked/a.tar")).as_posix()
        'unpacked/.a.tar.verified'
    """
    return path.with_name(f".{path.name}.verified")


def _state(path: Path) -> list[Any]:
    """Return what changes with a file's content: size, times, inode; of a link to a folder, its target.

    The time of the last change of the inode can't be set: it tells even if the modification time was restored.
    """
    if path.is_symlink() and path.is_dir():
        return ["link", str(path.readlink())]
    found = path.stat()  # of a link, that of the file that it leads to
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _parts(path: Path) -> Iterator[str]:
    """Yield the names of the files and links in a folder, relative to it; the empty name for a file itself."""
    if not path.is_dir():
        yield ""
        return
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (os.path.relpath(Path(folder, name), path) for name in [*files, *links])


def mark(path: Path, /) -> None:
    """Remember that a file, or all files of a folder, are right as they are now.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.txt")
        ...     _ = path.write_text("right")
        ...     mark(path)
        ...     before = is_unchanged(path)
        ...     _ = path.write_text("wrong")
        ...     before, is_unchanged(path), has_marked_content(path)
        (True, False, False)
    """
    _write(path, _parts(path))


def refresh(path: Path, /) -> None:
    """Remember the state of the files that were marked, after their digests were found to be right.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.txt")
        ...     _ = path.write_text("right")
        ...     mark(path)
        ...     path.touch()
        ...     before = is_unchanged(path)
        ...     refresh(path)
        ...     before, is_unchanged(path)
        (False, True)
    """
    _write(path, _read(path) or _parts(path))


def _write(path: Path, names: Iterable[str]) -> None:
    time.sleep(_TICK)  # a later change gets a later time, even with a coarse clock
    known = {}
    for name in names:
        part = path / name
        state = _state(part)  # before the digest: a change meanwhile shows
        known[name] = [state, None if state[0] == "link" else sha256_of(part)]
    text = json.dumps(known).encode()
    write_atomically(mark_path(path), lambda file: file.write(text))


def unmark(path: Path, /) -> None:
    """Forget that a file or folder was right.

    Example:
        >>> unmark(Path("missing"))
    """
    mark_path(path).unlink(missing_ok=True)


def is_unchanged(path: Path, /) -> bool:
    """Return whether the files that were marked have the same size, times and inodes; their contents are not read.

    Example:
        >>> is_unchanged(Path("missing"))
        False
    """
    return _all_marked(path, lambda part, state, _: _state(part) == state)


def has_marked_content(path: Path, /) -> bool:
    """Return whether the files that were marked have the same digests; all are read.

    Example:
        >>> has_marked_content(Path("missing"))
        False
    """
    return _all_marked(
        path, lambda part, state, digest: _state(part) == state if digest is None else sha256_of(part) == digest
    )


def _all_marked(path: Path, is_same: Callable[[Path, list[Any], str | None], bool]) -> bool:
    """Return whether there is a mark, and all files that it names are the same."""
    known = _read(path)
    with suppress(OSError):  # e.g. a file is gone
        return (
            known is not None
            and path.exists()
            and all(is_same(path / name, state, digest) for name, (state, digest) in known.items())
        )
    return False


def _read(path: Path) -> dict[str, Any] | None:
    """Return the mark; None if there is none, or it was damaged: then all is verified again."""
    try:
        known = json.loads(mark_path(path).read_bytes())
        return {str(name): (list(state), digest) for name, (state, digest) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
