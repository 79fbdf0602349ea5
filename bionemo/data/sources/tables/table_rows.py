"""Rows of tables on disk, read by row group."""

import hashlib
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

import attrs
import numpy as np

from bionemo.core.arrays import groups
from bionemo.core.checks import IntArray, shown
from bionemo.data.reading.indexed import Indexed
from bionemo.data.sources.opened import to_names, to_paths
from bionemo.data.sources.tables.table_file import TableFile

__all__ = ["TableRows"]


def _to_columns(columns: Any) -> tuple[str, ...] | None:
    return None if columns is None else to_names(columns, name="columns")


@attrs.frozen(repr=False)
class TableRows(Indexed):
    """The rows of Parquet and Arrow files, one after the other.

    A row is a dict by column: an array for a list of numbers, else an int, float, str or what pyarrow makes of it. Rows
    that are read at once (by a loader's `read_ahead`) are read by row group, each group once and whole; so write groups
    of some thousand rows. A Hugging Face data set needs no `TableRows`: it is a data set itself.

    Args:
        paths: path of a file, or a list of them, which must have the same columns.
        columns: names of the columns to read; None for all.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is neither Parquet nor Arrow, is cut off, or changes after the data set was made.
        KeyError: if a file has no such column.
        ModuleNotFoundError: if pyarrow isn't installed.

    Example:
        >>> import tempfile, pyarrow, pyarrow.parquet
        >>> table = pyarrow.table({"ids": [[5, 6, 7], [8]], "label": ["a", "b"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pyarrow.parquet.write_table(table, f"{folder}/rows.parquet", row_group_size=1)
        ...     TableRows(f"{folder}/rows.parquet")[1]
        {'ids': array([8]), 'label': 'b'}
    """

    paths: tuple[Any, ...] = attrs.field(converter=to_paths)
    columns: tuple[str, ...] | None = attrs.field(default=None, converter=_to_columns, kw_only=True)
    files: tuple[TableFile, ...] = attrs.field(
        init=False, default=attrs.Factory(lambda rows: tuple(map(TableFile, rows.paths)), takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        for file in self.files:
            for name in self._names:
                if name not in file.columns:
                    message = (
                        f"columns must be those of all files, got {shown(name)}: {file.file.path} has {file.columns}."
                    )
                    raise KeyError(message)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.files[0].columns if self.columns is None else self.columns

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files, of which large ones are sampled, and of the columns."""
        read = [file.file.fingerprint for file in self.files], self._names
        return hashlib.sha256(repr(read).encode()).hexdigest()

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """The file of each row group, and the group's number in it."""
        return [(at, number) for at, file in enumerate(self.files) for number in range(len(file.group_sizes))]

    @cached_property
    def _stops(self) -> IntArray:
        """Number of rows up to the end of each row group."""
        sizes = chain.from_iterable(file.group_sizes for file in self.files)
        return np.array(list(accumulate(sizes)), dtype=np.int64)

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def chunk_of(self, idx: IntArray, /) -> IntArray:
        """Return the number of the row group that each row is in."""
        return np.searchsorted(self._stops, idx, side="right")

    def read_many(self, indices: IntArray, /) -> list[dict[str, Any]]:
        """Return the rows at indices in one axis, which are not checked."""
        samples: list[dict[str, Any]] = [{}] * len(indices)
        for number, members in groups(self.chunk_of(indices)):
            at, group = self._groups[number]
            rows = indices[members] - (self._stops[number - 1] if number else 0)
            columns = self.files[at].read_rows(group, rows, self._names)
            for member, values in zip(members.tolist(), zip(*columns.values(), strict=True), strict=True):
                samples[member] = dict(zip(columns, values, strict=True))
        return samples

    def __repr__(self) -> str:
        return f"TableRows({len(self):,} rows of {shown(self._names)} in {len(self.files)} files)"
