"""Checkpoint files that hold their own digest, and what is wrong with a damaged one."""

import hashlib
import io
import zipfile
from typing import IO, Any, BinaryIO, Final, cast

import torch

__all__ = ["damage", "has_digest", "is_archive", "save_with_digest", "size"]

_COMMENT_START: Final = b"sha256:"
_COMMENT_LENGTH: Final = len(_COMMENT_START) + 64
"""The prefix of the archive's comment, and the comment's length. After the prefix comes the digest of all bytes before
the comment, in hexadecimal."""

_ZIP_START: Final = b"PK\x03\x04"
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_LENGTH: Final = 22
"""The first bytes of a zip archive and of its end record, and the length of an end record without a comment.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7 and 4.3.16
"""

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
"""The number that torch pickles first into a file that is not an archive: `torch.serialization.MAGIC_NUMBER`."""

_CHUNK: Final = 1 << 20
"""Number of bytes read at once, so that memory use does not grow with the file."""


class _DigestedFile:
    """A file for `torch.save` that computes the digest of what is written, and keeps the error that torch hides.

    The last two bytes are held back: at the end they are the comment's length, which torch writes as 0.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._held_back = b""
        self.error: OSError | None = None

    def write(self, data: memoryview) -> int:
        self._put(self._held_back)
        self._put(data[:-2])
        self._held_back = bytes(data[-2:])
        return len(data)

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Do nothing: the file is flushed once, by its owner."""

    def end(self) -> None:
        """Write the comment's length and the comment."""
        if self._held_back != b"\0\0":
            message = "torch.save must write an archive without a comment. Report this with your version of torch."
            raise RuntimeError(message)
        self._put(_COMMENT_LENGTH.to_bytes(2, "little"))
        self._file.write(_comment(self._digest.hexdigest()))


def _comment(digest: str) -> bytes:
    return _COMMENT_START + digest.encode()


def save_with_digest(checkpoint: dict[str, Any], file: BinaryIO, /) -> None:
    """Write a checkpoint with `torch.save`, and the digest of all its bytes as the comment of the archive.

    Raises:
        OSError: if the file can't be written; `torch.save` alone would hide it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     save_with_digest({"global_step": 1}, file)
        ...     damage(file), file.seek(0), torch.load(file)
        (None, 0, {'global_step': 1})
    """
    digested = _DigestedFile(file)
    try:
        torch.save(checkpoint, cast("IO[bytes]", digested))
    except RuntimeError:
        if digested.error is None:
            raise
    if digested.error is not None:  # torch says "unexpected pos 704 vs 598" if the disk is full
        raise digested.error from None
    digested.end()


def size(file: BinaryIO, /) -> int:
    """Return the size of a file in bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     size(file)
        0
    """
    return file.seek(0, io.SEEK_END)


def is_archive(file: BinaryIO, /) -> bool:
    """Return whether a file begins like a zip archive.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     is_archive(file)
        False
    """
    return _head_and_tail(file)[0].startswith(_ZIP_START)


def has_digest(file: BinaryIO, /) -> bool:
    """Return whether a file ends with a digest.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     has_digest(file)
        False
    """
    return _head_and_tail(file)[1].startswith(_COMMENT_START)


def _head_and_tail(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the first 512 bytes of a file, and as many of its last bytes as our comment has."""
    file.seek(max(0, size(file) - _COMMENT_LENGTH))
    tail = file.read()
    file.seek(0)
    return file.read(512), tail


def damage(file: BinaryIO, /) -> str | None:
    """Return what is wrong with the bytes of a checkpoint, or None if they are undamaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     save_with_digest({"global_step": 1}, file)
        ...     file.seek(40), file.write(b"?"), damage(file)
        (40, 1, 'whose bytes are not those that were written')
    """
    head, tail = _head_and_tail(file)
    if tail.startswith(_COMMENT_START):
        is_whole = tail == _comment(_digest(file, size(file) - _COMMENT_LENGTH))
        return None if is_whole else "whose bytes are not those that were written"
    # Without a digest, an archive must end as torch.save ends it: in an end record without a comment. A single damage
    # can't turn our checkpoint into such a file: exactly the comment and its length would have to go.
    end = tail[-_ZIP_END_LENGTH:]
    has_end = len(end) == _ZIP_END_LENGTH and end.startswith(_ZIP_END) and end.endswith(b"\0\0")
    if head.startswith(_ZIP_START):
        return _damage_by_crc(file) if has_end else "whose end is missing or damaged"
    is_legacy = _LEGACY_MAGIC in head[:32] or head[257:262] == b"ustar"  # torch before 1.6, and before 0.1.10
    return None if is_legacy and not has_end else "whose start is damaged, or which is not a checkpoint"


def _digest(file: BinaryIO, length: int) -> str:
    """Return the SHA-256 of the first `length` bytes of a file, in hexadecimal."""
    digest = hashlib.sha256()
    file.seek(0)
    while length > 0 and (chunk := file.read(min(length, _CHUNK))):
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


def _damage_by_crc(file: BinaryIO) -> str | None:
    """Return what is wrong with an archive that has no digest, or None if its CRCs match."""
    try:
        with zipfile.ZipFile(file) as archive:
            has_crcs = any(record.CRC for record in archive.infolist())  # set_crc32_options(False) writes none
            damaged = archive.testzip() if has_crcs else None
    except Exception as error:  # noqa: BLE001 - a damaged archive can raise almost anything; the caller reports it
        return f"whose archive can't be read ({type(error).__name__}: {error})"
    return None if damaged is None else f"whose record {damaged!r} is damaged"
