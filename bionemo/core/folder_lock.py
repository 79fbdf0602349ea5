"""The lock of a folder: one process at a time writes a run into it."""

import contextlib
import errno
import fcntl
import multiprocessing.util
import os
import secrets
import socket
import weakref
from functools import cache
from pathlib import Path
from typing import Final

from bionemo.core.checked import checked

__all__ = ["FolderLock", "folder_lock"]

_NAME: Final = ".lock"

_UNSUPPORTED: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Error codes of file systems without locks."""


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


@checked
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
    path = Path(folder, _NAME)
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
        if error.errno not in _UNSUPPORTED:
            raise
    with contextlib.suppress(OSError):  # the text is for messages only, and the disk may be full
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, _this_process(os.getpid()).encode(), 0)
    return lock


@cache
def _this_process(pid: int) -> str:
    """Return the name of this process. Containers may have equal hosts and numbers, so it ends with a random one."""
    return f"process {pid} on {socket.gethostname()}, {secrets.token_hex(4)}"
