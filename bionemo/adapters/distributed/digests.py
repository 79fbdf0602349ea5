"""Digests of the files of a distributed checkpoint, and what is wrong with a damaged one."""

import hashlib
import os
from pathlib import Path
from typing import Final

from torch.distributed.checkpoint.filesystem import FileSystemReader

__all__ = ["METADATA", "damage", "write_digest"]

METADATA: Final = ".metadata"
"""The file that torch.distributed.checkpoint writes last."""

_SUFFIX: Final = ".sha256"


def write_digest(path: Path, /) -> None:
    """Write the digest of a file beside it, in the format of `sha256sum`: `sha256sum -c *.sha256` checks a folder.

    Torch checks nothing when it loads: zeros in a file would become weights.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a")
        ...     _ = path.write_text("abc")
        ...     write_digest(path)
        ...     Path(folder, "a.sha256").read_text().split()[1]
        'a'
    """
    with _digest_path(path).open("w") as file:
        file.write(_digest_line(path))
        file.flush()
        os.fsync(file.fileno())


def damage(path: Path, /, *, part: int = 0, num_parts: int = 1) -> str | None:
    """Return what is wrong with a checkpoint, or None if its bytes are those that were written.

    Torch's own writer makes no digests: of a checkpoint without any, nothing is known, and nothing is wrong.

    Args:
        path: folder of the checkpoint.
        part: which part of the files is verified, 0..num_parts-1; the one with their names always is.
        num_parts: number of parts, so that ranks can share the work.

    Example:
        >>> damage(Path("no such folder"))
        "whose file '.metadata' is missing"
    """
    metadata = path / METADATA
    if not metadata.exists():
        return _wrong(METADATA, "is missing")
    if not any(path.glob(f"*{_SUFFIX}")):
        return None
    if (found := _damage_of_file(metadata)) is not None:
        return found
    stored = FileSystemReader(path).read_metadata().storage_data or {}
    names = sorted({info.relative_path for info in stored.values()})
    wrong = (_damage_of_file(path / name) for name in names[part::num_parts])
    return next((one for one in wrong if one is not None), None)


def _damage_of_file(path: Path) -> str | None:
    try:
        is_whole = _digest_path(path).read_text(errors="replace") == _digest_line(path)
    except FileNotFoundError as error:
        return _wrong(Path(error.filename).name, "is missing")
    return None if is_whole else _wrong(path.name, "or its digest has other bytes than were written")


def _wrong(name: str, what: str) -> str:
    return f"whose file {name!r} {what}"


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _digest_line(path: Path) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"
