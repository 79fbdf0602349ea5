"""Files that are whole or not there."""

import errno
import glob
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["write_atomically"]

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system reports where a disk, a quota or the largest size of a file is used up."""

_DEAD_AFTER: Final = 24 * 60 * 60
"""Seconds without a write after which a partial file is one of a killed process."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object], /) -> None:
    """Write a file under a temporary name in the same folder, and rename it once it is on the disk.

    Law: whenever the process is killed, and however many processes write at once, `path` holds all of one content: the
    old one, or that of one writer.

    A symbolic link stays one: the file that it points to is replaced. The new file has the permissions of the file it
    replaces, or those of any new file. A killed process leaves `.NAME.RANDOM.partial` in the folder; a later call for
    the same path removes it once it is a day old.

    Args:
        path: the file, in a folder that exists.
        write: called with the file that is renamed to `path` when the call returns.

    Raises:
        OSError: if the folder can't be written to, or its disk is full; `path` is as it was, also when `write` raises.

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
    try:
        with partial.open("xb") as file:  # new, so that no other writer has it; the umask decides its permissions
            _take_permissions(file, target)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise _no_space(error, path, partial) from None
    finally:
        partial.unlink(missing_ok=True)


def _remove_dead(target: Path) -> None:
    """Remove the partial files that killed processes left of a file."""
    for partial in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _DEAD_AFTER:
                partial.unlink()
        except OSError:  # removed meanwhile, or another user's: no reason not to write
            continue


def _take_permissions(file: BinaryIO, target: Path) -> None:
    """Give a new file the permissions of the file that it replaces, if there is one."""
    if target.exists():
        permissions = stat.S_IMODE(target.stat().st_mode)
        if permissions != stat.S_IMODE(os.fstat(file.fileno()).st_mode):  # a file system without any is left alone
            os.fchmod(file.fileno(), permissions)


def _no_space(error: OSError, path: Path, partial: Path) -> OSError:
    """Return the error of a full disk, with the sizes that a user needs."""
    written = partial.stat().st_size if partial.exists() else 0
    partial.unlink(missing_ok=True)
    free = shutil.disk_usage(partial.parent).free
    message = (
        f"{os.strerror(error.errno or 0)} after {written:,} bytes; the disk has {free:,} bytes free. "
        "What was there before is unchanged. Free some space, or write to another disk"
    )
    return OSError(error.errno, message, str(path))
