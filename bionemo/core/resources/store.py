"""The cache on disk: a folder per content, named by its digest, and a lock per folder."""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Final

from bionemo.core import BIONEMO_CACHE_DIR
from bionemo.core.resources.resource import Resource, check_type, file_name

__all__ = [
    "cache_root",
    "content_folder",
    "download_path",
    "is_read_only",
    "locked",
    "partial_path",
    "path_in_2x",
    "result_path",
    "touch_used",
    "used_path",
]

_LOG: Final = logging.getLogger(__name__)

_PATIENCE: Final = 2.0
"""Seconds after which a process says that it waits for another."""

_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


def cache_root(cache_dir: Path | str | None = None, /) -> Path:
    """Return the folder of all resources in a cache folder, by default `BIONEMO_CACHE_DIR`.

    Example:
        >>> cache_root("/data/cache").as_posix()
        '/data/cache/resources'
    """
    check_type(cache_dir, (str, os.PathLike, NoneType), "cache_dir must be a folder, got cache_dir=")
    return Path(BIONEMO_CACHE_DIR if cache_dir is None else cache_dir).absolute() / "resources"


def content_folder(root: Path, sha256: str, /) -> Path:
    """Return the folder of a content.

    Example:
        >>> content_folder(Path("resources"), "ab" * 32).name[:6]
        'ababab'
    """
    return root / sha256


def download_path(root: Path, resource: Resource, /) -> Path:
    """Return the path of the downloaded file.

    Example:
        >>> resource = Resource(tag="a/b", urls=["s3://bucket/b.txt.gz"], sha256="0" * 64)
        >>> download_path(Path("resources"), resource).parts[2:]
        ('download', 'b.txt.gz')
    """
    return content_folder(root, resource.sha256) / "download" / file_name(resource.urls[0])


def path_in_2x(root: Path, resource: Resource, /) -> Path:
    """Return the path of the downloaded file in a cache of bionemo-core 2.x (observed with 2.4.5).

    Example:
        >>> resource = Resource(tag="a/b", urls=["s3://bucket/b.txt.gz"], sha256="0" * 64)
        >>> path_in_2x(Path("cache/resources"), resource).name[-12:]
        '000-b.txt.gz'
    """
    return root.parent / f"{resource.sha256}-{file_name(resource.urls[0])}"


def partial_path(path: Path, /) -> Path:
    """Return the path under which a file or folder is made, before it gets its name.

    Example:
        >>> partial_path(Path("download/a.txt")).as_posix()
        'download/.a.txt.partial'
    """
    return path.with_name(f".{path.name}.partial")


def result_path(root: Path, resource: Resource, /) -> Path:
    """Return the path that `load` returns: of the downloaded or decompressed file, or of the folder of an archive.

    Example:
        >>> resource = Resource(tag="a/b", urls=["s3://bucket/b.txt.gz"], sha256="0" * 64, processing="decompress")
        >>> result_path(Path("resources"), resource).parts[2:]
        ('decompressed', 'b.txt')
    """
    download = download_path(root, resource)
    if resource.processing == "none":
        return download
    folder = content_folder(root, resource.sha256)
    if resource.processing == "unpack":
        return folder / "unpacked" / download.name
    stem, dot, extension = download.name.rpartition(".")
    is_known = extension in {"gz", "bz2", "xz"} and stem
    return folder / "decompressed" / (stem if is_known else f"{download.name}{'.decompressed' if dot else ''}")


def used_path(folder: Path, /) -> Path:
    """Return the path of the file whose modification time tells when a content was last used.

    Example:
        >>> used_path(Path("folder")).as_posix()
        'folder/used'
    """
    return folder / "used"


def touch_used(folder: Path, /) -> None:
    """Note that a content is used now; a read-only cache isn't changed.

    Example:
        >>> touch_used(Path("/dev/null/folder"))
    """
    with suppress(OSError):
        used_path(folder).touch()
        os.utime(used_path(folder), (time.time(),) * 2)


def is_read_only(error: OSError, /) -> bool:
    """Return whether an error says that the cache can't be written to.

    Example:
        >>> is_read_only(PermissionError(errno.EACCES, "denied"))
        True
    """
    return error.errno in _READ_ONLY


@contextmanager
def locked(folder: Path, /, *, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a content, across processes; the lock of a killed process is free.

    Args:
        folder: folder of the content.
        timeout: seconds to wait; -1 for no end.

    Raises:
        TimeoutError: if another process holds it for longer.
        OSError: if the cache can't be written to, or its file system has no locks.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root, locked(Path(root, "ab")):
        ...     [path.name for path in Path(root, "locks").iterdir()]
        ['ab.lock']
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only needed if something is downloaded

    # Outside the folder, and never removed: who waits for it and who comes later wait for the same file.
    file = folder.parent / "locks" / f"{folder.name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, fallback_to_soft=False)  # a soft lock would survive its process if that is killed
    try:
        try:
            lock.acquire(timeout=_PATIENCE if timeout < 0 else timeout)
        except Timeout as error:
            if timeout >= 0:
                message = f"{file} is held by another process"
                raise TimeoutError(message) from error
            _LOG.warning("waiting for another process that downloads or unpacks %s", folder)
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        message = "the file system has no locks. Choose another folder by BIONEMO_CACHE_DIR or cache_dir"
        raise OSError(error.errno, message, str(file)) from error
    try:
        yield
    finally:
        lock.release()
