"""Decompress files and unpack archives that may be hostile: within limits, inside one folder, all or nothing."""

import bz2
import errno
import gzip
import io
import lzma
import os
import secrets
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from reprlib import repr as short
from typing import Any, Final, cast

from bionemo.core.resources.limits import Budget, CountedStream, UnpackLimits

__all__ = ["decompress", "unpack"]

_OPENERS: Final[tuple[tuple[bytes, Any], ...]] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 2**20
_MAX_LINK: Final = 4096
_MAX_NAME: Final = 255
_BROKEN: Final = (
    *(EOFError, ValueError, NotImplementedError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError),
    *(zipfile.BadZipFile, zlib.error, FileExistsError, NotADirectoryError, IsADirectoryError),
)
"""What the standard library raises for archives that are damaged, or hold a file and a folder of one name."""


def decompress(path: Path, target: Path, /, limits: UnpackLimits) -> None:
    """Write the content of a file of gzip, bzip2 or xz; `target` appears when it is complete.

    Raises:
        ValueError: if the file is none of these, is damaged, or exceeds the limits.
        OSError: if the disk is full or read-only.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path, target = Path(folder, "a.txt.gz"), Path(folder, "a.txt")
        ...     _ = path.write_bytes(gzip.compress(b"text"))
        ...     decompress(path, target, UnpackLimits())
        ...     target.read_text()
        'text'
    """
    partial = _random_partial(target)
    try:
        with path.open("rb") as compressed, partial.open("xb") as file:
            stream = _decompressed(compressed)
            if stream is compressed:
                message = "it must be a file of gzip, bzip2 or xz"
                raise ValueError(message)
            _copy(stream, file, Budget(limits, num_compressed=path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except (OSError, *_BROKEN) as error:
        if not _is_broken(error):
            raise
        message = f"{path} can't be decompressed: {error}."
        raise ValueError(message) from error
    finally:
        partial.unlink(missing_ok=True)


def unpack(path: Path, target: Path, /, limits: UnpackLimits) -> None:
    """Unpack an archive into a folder; `target` appears when it is complete, and replaces an earlier one.

    Refused are absolute paths, `..`, links that lead out of the folder or to nothing, devices, pipes, and archives
    beyond the limits. No file gets more permissions than the umask allows; owners and set-user-ID bits are dropped.

    Raises:
        ValueError: if the file is no archive of tar or zip, is damaged, hostile, or exceeds the limits.
        OSError: if the disk is full or read-only.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path, target = Path(folder, "a.zip"), Path(folder, "a")
        ...     with zipfile.ZipFile(path, "w") as archive:
        ...         archive.writestr("b/c.txt", "text")
        ...     unpack(path, target, UnpackLimits())
        ...     (target / "b" / "c.txt").read_text()
        'text'
    """
    partial = _random_partial(target)
    budget = Budget(limits, num_compressed=path.stat().st_size)
    try:
        partial.mkdir()
        with path.open("rb") as file:
            is_zip = file.read(4) in _ZIP
            file.seek(0)
            if is_zip:
                links = _unpack_zip(file, partial, budget)
            else:
                stream = CountedStream(_decompressed(file), Budget(limits, num_compressed=path.stat().st_size))
                links = _unpack_tar(stream, partial, budget)
        _make_links(links, partial)
        old = _random_partial(target)
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, *_BROKEN) as error:
        if not _is_broken(error):
            raise
        message = f"{path} can't be unpacked: {error}."
        raise ValueError(message) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_broken(error: Exception) -> bool:
    """Return whether an error is the archive's fault: of bz2, it is a bare OSError, which no system call has caused."""
    return isinstance(error, _BROKEN) or (isinstance(error, OSError) and error.errno in {None, errno.ENAMETOOLONG})


def _random_partial(target: Path) -> Path:
    """Return a path that no archive knows: a link can't lead out of the folder and in again by its name."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")


def _decompressed(file: io.BufferedIOBase) -> io.BufferedIOBase:
    """Return the decompressed content of a file, by its first bytes; the file itself if it isn't compressed."""
    start = file.read(8)
    file.seek(0)
    if start.startswith(_ZSTANDARD):
        message = "it is compressed by Zstandard, which Python's standard library reads from 3.14 on. Use gzip or xz"
        raise ValueError(message)
    return next(
        (cast("io.BufferedIOBase", opener(file)) for magic, opener in _OPENERS if start.startswith(magic)), file
    )


def _copy(source: io.BufferedIOBase, file: io.BufferedIOBase, budget: Budget) -> None:
    while block := source.read(_BLOCK):
        budget.spend(len(block))
        file.write(block)


def _unpack_tar(stream: CountedStream, folder: Path, budget: Budget) -> dict[Path, str]:
    """Write the files of a tar archive, and return its symbolic links."""
    links = {}
    # Read from front to back, each byte once: nothing that a header claims makes it seek.
    with tarfile.open(fileobj=cast("Any", stream), mode="r|") as archive:
        for member in archive:
            budget.spend_file()
            path = _path_inside(folder, member.name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                links[path] = member.linkname
            elif member.islnk():
                _link(_path_inside(folder, member.linkname), path)
            elif member.isreg() and (content := archive.extractfile(member)) is not None:
                _write(path, cast("io.BufferedIOBase", content), member.mode, budget)
                seconds = min(max(member.mtime, 0), time.time())  # an index must not be older than its file
                os.utime(path, (seconds, seconds))
            else:
                message = f"{short(member.name)} must be a file, a folder or a link, and is of type {member.type!r}"
                raise ValueError(message)
    return links


def _unpack_zip(file: io.BufferedIOBase, folder: Path, budget: Budget) -> dict[Path, str]:
    """Write the files of a zip archive, and return its symbolic links."""
    links = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            budget.spend_file()
            path = _path_inside(folder, member.filename)
            mode = member.external_attr >> 16
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISLNK(mode):
                with archive.open(member) as content:
                    links[path] = os.fsdecode(content.read(_MAX_LINK))
            elif stat.S_IFMT(mode) in {0, stat.S_IFREG}:
                with archive.open(member) as content:
                    _write(path, cast("io.BufferedIOBase", content), mode, budget)
            else:
                message = f"{short(member.filename)} must be a file, a folder or a link, and has the mode {mode:o}"
                raise ValueError(message)
    return links


def _path_inside(folder: Path, name: str) -> Path:
    """Return the path of a member. No link exists yet in the folder: a path without `..` can't lead out."""
    path = PurePosixPath(name)
    is_long = any(len(os.fsencode(part)) > _MAX_NAME for part in path.parts)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or is_long:
        message = f"the path {short(name)} must be relative, of names of at most {_MAX_NAME} bytes, without `..` and \\"
        raise ValueError(message)
    return folder / path


def _write(path: Path, content: io.BufferedIOBase, mode: int, budget: Budget) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # the last file of a name counts; it must not write into a hard link
        path.unlink()
    with path.open("xb") as file:
        _copy(content, file, budget)
        if mode & 0o100:
            readable = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            os.fchmod(file.fileno(), readable | (readable & 0o444) >> 2)


def _link(source: Path, path: Path) -> None:
    if not source.is_file():
        message = f"the hard link {short(path.name)} must lead to a file of the archive before it"
        raise ValueError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.hardlink_to(source)


def _make_links(links: dict[Path, str], folder: Path) -> None:
    """Make the symbolic links, and only then follow each, as the system does: all must end in the folder."""
    root = Path(os.path.realpath(folder))
    for path, target in links.items():
        if not links.keys().isdisjoint(path.parents):  # it would be made where that link leads
            message = f"the link {short(path.name)} must not be inside another link"
            raise ValueError(message)
        if not target:
            message = f"the link {short(path.name)} must lead to a file of the archive, and has no target"
            raise ValueError(message)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    for path, target in links.items():
        try:
            end = Path(os.path.realpath(path, strict=True))
        except OSError as error:
            message = f"the link {short(path.name)} -> {short(target)} must lead to a file of the archive"
            raise ValueError(message) from error
        if PurePosixPath(target).is_absolute() or root not in (end, *end.parents):
            message = f"the link {short(path.name)} -> {short(target)} must not lead out of the archive"
            raise ValueError(message)
