"""One file with a table, Parquet or Arrow: row groups that are read whole."""

from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core.checks import IntArray
from bionemo.core.extras import require
from bionemo.data.sources.opened import Opened, WatchedFile

__all__ = ["TableFile"]

_PARQUET: Final = b"PAR1"
_ARROW: Final = b"ARROW1"


@attrs.frozen
class TableFile:
    """A Parquet file, or an Arrow file in the format for random access (also called Feather V2).

    Args:
        path: path of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither, or cut off.
        ModuleNotFoundError: if pyarrow isn't installed.
    """

    file: WatchedFile = attrs.field(converter=WatchedFile, alias="path")
    group_sizes: tuple[int, ...] = attrs.field(init=False, eq=False, repr=False, default=())
    """Number of rows of each row group."""
    columns: tuple[str, ...] = attrs.field(init=False, eq=False, default=())
    """Names of the columns."""

    def __attrs_post_init__(self) -> None:
        opened = self._open()
        if self._is_parquet:
            metadata = opened.metadata
            sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            names = opened.schema_arrow.names
        else:
            sizes = [opened.get_batch(number).num_rows for number in range(opened.num_record_batches)]
            names = opened.schema.names
        object.__setattr__(self, "group_sizes", tuple(sizes))
        object.__setattr__(self, "columns", tuple(names))

    @cached_property
    def _is_parquet(self) -> bool:
        with self.file.path.open("rb") as file:
            head = file.read(len(_ARROW))
        if not head.startswith((_PARQUET, _ARROW)):
            message = (
                f"path must be a Parquet file, or an Arrow file for random access, got one that begins with {head!r}: "
                f"{self.file.path}. Open the folder of a Hugging Face data set by datasets.load_from_disk."
            )
            raise ValueError(message)
        return head.startswith(_PARQUET)

    @cached_property
    def _opened(self) -> Opened[Any]:
        return Opened(self._open)

    def _open(self) -> Any:
        self.file.check()
        pyarrow = require("pyarrow", extra="tables")
        path = str(self.file.path)
        is_parquet = self._is_parquet
        opener = partial(require("pyarrow.parquet", extra="tables").ParquetFile, path, memory_map=True)
        if not is_parquet:
            opener = partial(require("pyarrow.ipc", extra="tables").open_file, pyarrow.memory_map(path))
        try:
            return opener()
        except (pyarrow.ArrowException, OSError) as error:
            message = f"{path} must be a whole {'Parquet' if is_parquet else 'Arrow'} file: {error}"
            raise ValueError(message) from error

    def read_rows(self, group: int, rows: IntArray, columns: tuple[str, ...], /) -> dict[str, list[Any]]:
        """Return the values of some rows of a row group, by column."""
        self.file.check()
        opened = self._opened.get()
        if self._is_parquet:
            table = opened.read_row_group(group, columns=list(columns), use_threads=False)
        else:
            table = require("pyarrow", extra="tables").Table.from_batches([opened.get_batch(group)]).select(columns)
        taken = table.take(rows).combine_chunks()
        return {name: _values(taken.column(name)) for name in columns}


def _values(column: Any) -> list[Any]:
    """Return the values of a column: arrays for lists of numbers, else what pyarrow makes of them."""
    types = require("pyarrow.types", extra="tables")
    is_list = types.is_list(column.type) or types.is_large_list(column.type)
    if not is_list or not types.is_primitive(column.type.value_type) or column.null_count:
        found: list[Any] = column.to_pylist()
        return found
    values = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        if flat.null_count or types.is_boolean(flat.type) or types.is_temporal(flat.type):
            values += chunk.to_pylist()
            continue
        offsets = chunk.offsets.to_numpy()
        array, bounds = flat.to_numpy(), (offsets - offsets[0]).tolist()
        values += [np.array(array[start:stop]) for start, stop in pairwise(bounds)]
    return values
