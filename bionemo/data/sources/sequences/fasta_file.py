"""FASTA files: random access to their records through an index."""

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from tqdm.auto import tqdm

from bionemo.core.checks import IntArray, shown
from bionemo.core.extras import require
from bionemo.core.frozen_array import FrozenArray
from bionemo.data.reading.indexed import Indexed
from bionemo.data.sources.opened import Opened, WatchedFile
from bionemo.data.sources.ragged_rows import check_spans
from bionemo.data.sources.sequences.letters import to_ids, to_table

__all__ = ["FastaFile"]


@attrs.frozen(repr=False)
class FastaFile(Indexed):
    r"""The records of a FASTA file, plain or compressed by bgzip, by number or by name.

    A record is read through the index beside the file, `NAME.fai` (and `NAME.gzi`), as samtools writes it. If there is
    none, or it is older than the file, it is made first, which takes about a second per 60 MB; a bar on a terminal
    shows the progress. Of several processes, one makes it. Lines of a record must be equally long.

    Each process keeps the index in memory, about 300 bytes per record: for more than some million records, write a
    `TokenFile` by `python -m bionemo.data.sources tokenize`.

    Args:
        path: path of the file.
        table: token of each of the 256 bytes, e.g. from `letter_table`; None returns bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file isn't FASTA, its lines are not equally long, a name occurs twice, it is compressed by
            gzip instead of bgzip, a letter has no token, or the file changes after the data set was made.
        OSError: if there is no index, and none can be written.
        ModuleNotFoundError: if pyfaidx isn't installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "proteins.fasta"
        ...     _ = path.write_text(">first\nMKV\n>second of two\nMKVLAAGG\n")
        ...     records = FastaFile(path)
        ...     records[0], records["second"], records.names
        (b'MKV', b'MKVLAAGG', ('first', 'second'))
    """

    file: WatchedFile = attrs.field(converter=WatchedFile, alias="path")
    table: FrozenArray | None = attrs.field(default=None, converter=to_table, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _ = len(self)  # makes the index

    @cached_property
    def _opened(self) -> Opened[Any]:
        return Opened(self._open)

    def _open(self) -> Any:
        self.file.check()
        faidx = require("pyfaidx", extra="sequences")
        filelock = require("filelock", extra="sequences")
        path, index = str(self.file.path), Path(f"{self.file.path}.fai")
        try:
            if not _is_newer(index, self.file.path):
                with filelock.FileLock(f"{index}.lock"):
                    if not _is_newer(index, self.file.path):
                        _make_index(faidx, path, index)
            opened = faidx.Faidx(path, as_raw=True, rebuild=False)
            if _ends_elsewhere(opened, self.file):  # an older file was copied over the one that the index is of
                with filelock.FileLock(f"{index}.lock"):
                    _make_index(faidx, path, index)
                opened = faidx.Faidx(path, as_raw=True, rebuild=False)
        except PermissionError as error:
            message = f"an index must be written beside {path}, which this user may not: make it by samtools faidx."
            raise PermissionError(error.errno, message, str(index)) from error
        except (faidx.FastaIndexingError, faidx.UnsupportedCompressionFormat, RuntimeError, ValueError) as error:
            message = f"{path} must be FASTA with equally long lines and different names, plain or by bgzip: {error}"
            raise ValueError(message) from error
        return opened

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the records: the first word of each header."""
        return self._table.get()[0]

    @property
    def lengths(self) -> IntArray:
        """Number of letters of each record: int64."""
        return self._table.get()[1]

    @cached_property
    def _table(self) -> Opened[tuple[tuple[str, ...], IntArray]]:
        return Opened(self._list)

    def _list(self) -> tuple[tuple[str, ...], IntArray]:
        index = self._opened.get().index
        return tuple(index), np.array([entry.rlen for entry in index.values()], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the file, of which a large one is sampled, and of the table."""
        return hashlib.sha256(f"{self.file.fingerprint} {self.table and self.table.digest}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._opened.get().index)

    def __getitem__(self, index: Any, /) -> Any:
        return Indexed.__getitem__(self, self.number_of(index) if isinstance(index, str) else index)

    def number_of(self, name: str, /) -> int:
        """Return the number of the record with a name.

        Raises:
            KeyError: if there is none.
        """
        numbers = self._numbers.get()
        if name not in numbers:
            message = f"name must be that of a record, got {shown(name)}: {self.file.path} has {len(self):,} others."
            raise KeyError(message)
        found: int = numbers[name]
        return found

    @cached_property
    def _numbers(self) -> Opened[dict[str, int]]:
        return Opened(lambda: dict(zip(self.names, range(len(self)), strict=True)))

    def read_many(self, indices: IntArray, /) -> list[Any]:
        """Return the records at indices in one axis, which are not checked."""
        return self._read(indices, np.zeros_like(indices), self._table.get()[1][indices])

    def read_spans(self, numbers: Any, starts: Any, stops: Any, /) -> list[Any]:
        """Return the letters or tokens `starts[k]` to `stops[k] - 1` of each record `numbers[k]`; no others are read.

        Raises:
            IndexError: if there is no such record or letter.
        """
        records, firsts, lasts = check_spans(self._table.get()[1], numbers, starts, stops)
        return self._read(records, firsts, lasts)

    def _read(self, numbers: IntArray, starts: IntArray, stops: IntArray) -> list[Any]:
        self.file.check()
        fasta, names = self._opened.get(), [self._table.get()[0][number] for number in numbers.tolist()]
        found = [b""] * len(names)
        for at in np.lexsort((starts, numbers)).tolist():  # in the order of the file
            if starts[at] < stops[at]:
                found[at] = fasta.fetch(names[at], int(starts[at]) + 1, int(stops[at])).encode()
        if self.table is None:
            return found
        return [to_ids(letters, self.table, name=name) for letters, name in zip(found, names, strict=True)]

    def __repr__(self) -> str:
        return f"FastaFile({str(self.file.path)!r}, {len(self):,} records)"


def _is_newer(index: Path, path: Path) -> bool:
    """Return whether there is an index, with that of the compressed blocks if needed, not older than its file."""
    indices = [index, Path(f"{path}.gzi")] if path.suffix in {".gz", ".bgz"} else [index]
    return all(one.exists() and one.stat().st_mtime_ns >= path.stat().st_mtime_ns for one in indices)


def _ends_elsewhere(opened: Any, file: WatchedFile) -> bool:
    """Return whether the last record of the index isn't the last one of a plain file, so that it is another file's."""
    if file.path.suffix in {".gz", ".bgz"}:
        return False
    entry = next(reversed(opened.index.values()))
    lines, rest = divmod(entry.rlen, entry.lenc) if entry.lenc else (0, 0)
    end = entry.offset + lines * entry.lenb + rest
    if end > file.size + 2:  # the last line may end without a line feed
        return True
    with file.path.open("rb") as opened_file:
        opened_file.seek(max(end, 0))
        return bool(opened_file.read(2**16).strip())


def _make_index(faidx: Any, path: str, index: Path) -> None:
    """Make the index under another name, and rename it once it is whole."""
    partial, blocks = f"{index}.{os.getpid()}.partial", f"{path}.{os.getpid()}.gzi.partial"

    class WithProgress(faidx.Faidx):  # type: ignore[misc]
        def build_index(self) -> None:
            lines = getattr(self, "file")  # noqa: B009 - pyfaidx has no types
            with tqdm(total=Path(path).stat().st_size, unit="B", unit_scale=True, disable=None, desc="index") as bar:
                self.file = _Counted(lines, bar)
                faidx.Faidx.build_index(self)
            self.file = lines

    try:
        WithProgress(path, indexname=partial, gzi_indexname=blocks).close()
        if Path(blocks).exists():
            Path(blocks).replace(f"{path}.gzi")
        Path(partial).replace(index)
    finally:
        for name in (partial, blocks):
            Path(name).unlink(missing_ok=True)


class _Counted:
    """A file whose lines move a progress bar."""

    def __init__(self, file: Any, bar: Any) -> None:
        self._file, self._bar = file, bar

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        for line in self._file:
            done += len(line)
            if done > 2**20:
                self._bar.update(done)
                done = 0
            yield line
        self._bar.update(done)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
