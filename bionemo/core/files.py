"""Files on disk: atomic writes, the newest first, and a lock by which one process at a time writes into a folder."""

import contextlib
import errno
import fcntl
import glob
import multiprocessing.util
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = ["FolderLock", "folder_lock", "full_disk_error", "newest_first", "to_path", "write_atomically"]

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error codes for a full disk, an exhausted quota and a file above the size limit."""

_LOCK_NAME: Final = ".lock"

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Error codes of file systems without locks."""

_DEAD_AFTER: Final = 24 * 60 * 60
"""Seconds without a write after which a partial file is taken for that of a killed process."""


def to_path(path: Any, /, *, name: str) -> Path:
    """Return a string or path as a path.

    Raises:
        TypeError: if it is something else.

    Example:
        >>> to_path(3, name="folder")
        Traceback (most recent call last):
        TypeError: folder must be a string or path, got an object of type int.
    """
    if not isinstance(path, str | os.PathLike):
        message = f"{name} must be a string or path, got an object of type {type(path).__name__}."
        raise TypeError(message)
    return Path(path)


def write_atomically(path: Path, write: Callable[[BinaryIO], object], /) -> None:
    """Write a file under a temporary name in the same folder, and rename it to `path` once it is on the disk.

    Law: at any time, `path` holds one complete content: the old one, or that of one writer. This is so even if the
    process is killed or several processes write at once.

    A symbolic link is kept: the file that it points to is replaced. The new file has the permissions of the file it
    replaces, or the default ones of a new file. A killed process leaves `.NAME.RANDOM.partial` in the folder; a later
    call for the same path removes it once it is a day old.

    Args:
        path: path of the file, in an existing folder.
        write: function that is called with a binary file and writes the content to it.

    Raises:
        OSError: if the folder can't be written to, or its disk is full. `path` is unchanged then, as it is if `write`
            raises.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a.txt", lambda file: file.write(b"whole"))
        ...     [path.read_text() for path in Path(folder).iterdir()]
        ['whole']
    """
    target = path.resolve()
    _remove_dead(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    handled = sys.exception()
    try:
        with partial.open("xb") as file:  # x: no other writer has it, and the umask sets its permissions
            _take_permissions(file, target)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except Exception as error:
        full = full_disk_error(error, before=handled)
        if full is None:
            raise
        raise _no_space(full, path, partial) from None
    finally:
        partial.unlink(missing_ok=True)


def full_disk_error(error: BaseException | None, /, *, before: BaseException | None = None) -> OSError | None:
    """Return the error that a disk is full if it is this error, or one that led to it; None if there is none.

    `torch.save` hides it: it raises a RuntimeError of its own, "unexpected pos 704 vs 598".

    Args:
        error: what was caught.
        before: what was being handled before, and so can't be the cause.

    Example:
        >>> full_disk_error(ValueError("no")) is None
        True
    """
    while error is not None and error is not before:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return error
        error = error.__cause__ or error.__context__
    return None


def newest_first(paths: Iterable[Path], /) -> list[Path]:
    """Return the paths that exist, the latest modification time first.

    Ties are broken by the path, comparing numbers as numbers: `step=10` is newer than `step=9`.

    Example:
        >>> newest_first([Path("no such file")])
        []
    """
    ages = {}
    for path in paths:
        parts = re.split(r"([0-9]+)", str(path))  # text and digits alternate
        name = [int(part) if index % 2 else part for index, part in enumerate(parts)]
        with contextlib.suppress(FileNotFoundError):  # another process may remove it
            ages[path] = path.stat().st_mtime_ns, name
    return sorted(ages, key=ages.__getitem__, reverse=True)


def _remove_dead(target: Path) -> None:
    """Remove the partial files of a target that killed processes left behind."""
    for partial in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _DEAD_AFTER:
                partial.unlink()
        except OSError:  # already removed, or another user's: neither prevents the write
            continue


def _take_permissions(file: BinaryIO, target: Path) -> None:
    """Give a new file the permissions of the file that it replaces, if any."""
    if target.exists():
        permissions = stat.S_IMODE(target.stat().st_mode)
        if permissions != stat.S_IMODE(os.fstat(file.fileno()).st_mode):  # fixed ones can't be changed
            os.fchmod(file.fileno(), permissions)


def _no_space(error: OSError, path: Path, partial: Path) -> OSError:
    """Return the error for a full disk, with the number of bytes written and free."""
    written = partial.stat().st_size if partial.exists() else 0
    partial.unlink(missing_ok=True)
    free = shutil.disk_usage(partial.parent).free
    message = (
        f"{os.strerror(error.errno or 0)} after {written:,} bytes; the disk has {free:,} bytes free. "
        "The previous file, if any, is unchanged. Free some space, or write to another disk"
    )
    return OSError(error.errno, message, str(path))


class FolderLock(contextlib.AbstractContextManager["FolderLock"]):
    """A lock that this process holds until `release()`, the end of a `with` block, or its own end, however it ends.

    Worker processes that are forked meanwhile don't hold it: one that outlives a killed process blocks no restart.
    """

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)
        multiprocessing.util.register_after_fork(self, FolderLock._release_in_child)

    def _release_in_child(self) -> None:
        self.release()  # closes the child's copy, which leaves the lock to the parent

    def __exit__(self, *_: object) -> None:
        self.release()


def folder_lock(folder: str | os.PathLike[str], /) -> FolderLock:
    """Lock a folder for one process, so that a run started twice doesn't write into it twice.

    The lock is that of a file `.lock` in the folder, which stays there. It ends with the process, so that nothing has
    to be removed after a crash. The process that holds it may lock the folder again; the first lock counts. On a file
    system without locks, nothing is checked.

    Args:
        folder: folder that is locked; it is created if it doesn't exist.

    Returns:
        The lock, held; use it in a `with` block.

    Raises:
        RuntimeError: if another process holds it; the message names it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, folder_lock(folder):
        ...     os.listdir(folder)
        ['.lock']
    """
    path = Path(folder, _LOCK_NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    lock = FolderLock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 1000, 0).decode(errors="replace") or "unknown"
        if holder == _this_process(os.getpid()):
            return lock
        message = (
            f"folder must be written by one process at a time, got folder={str(folder)!r}, which another one writes "
            f"({holder}). Wait for its end or stop it, or write to another folder."
        )
        lock.release()
        raise RuntimeError(message) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    with contextlib.suppress(OSError):  # the text is for messages only, and the disk may be full
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, _this_process(os.getpid()).encode(), 0)
    return lock


@cache
def _this_process(pid: int) -> str:
    """Return the name of this process. Containers may have equal hosts and numbers, so it ends with a random one."""
    return f"process {pid} on {socket.gethostname()}, {secrets.token_hex(4)}"
