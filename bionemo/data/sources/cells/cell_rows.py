"""Cells: rows of AnnData files on disk."""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from itertools import accumulate
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import groups
from bionemo.core.checks import IntArray, shown
from bionemo.core.extras import require
from bionemo.core.fields import check_bool, to_bool
from bionemo.data.reading.indexed import Indexed
from bionemo.data.sources.cells.cell_file import CellFile
from bionemo.data.sources.opened import to_names, to_paths

__all__ = ["CellRows"]


def _to_obs(obs: Any) -> tuple[str, ...]:
    return to_names(obs, name="obs")


def _to_layer(layer: Any) -> str | None:
    if layer is not None and not (isinstance(layer, str) and layer.strip("/. ")):
        message = f"layer must be the name of a layer or None, got layer={shown(layer)} of type {type(layer).__name__}."
        raise TypeError(message)
    return layer


@attrs.frozen(repr=False)
class CellRows(Indexed):
    """The cells of AnnData files, `.h5ad` or zarr, one after the other, with columns of `obs`.

    A cell is a dict of "counts", its values, and, unless `dense`, "genes", the column that each value is in; and of the
    `obs` columns by name. A categorical column holds ints, which index `categories`: those of all files together.

    Many cells are read at once (by a loader's `read_ahead`) chunk by chunk, each chunk once. The row bounds of a sparse
    matrix and the columns of `obs` are kept in memory: 8 bytes per cell and column.

    Args:
        paths: path of a file or zarr folder, or a list of them, which must have the same genes.
        obs: names of columns of `obs`.
        layer: name of a layer; None for `X`.
        dense: whether "counts" is the whole row, zeros included. A matrix that is stored dense is always read so.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file isn't one of AnnData, is sparse by column, has other genes than the first one, or changes
            after the data set was made.
        KeyError: if a file has no such layer or column.
        ModuleNotFoundError: if anndata isn't installed, or zarr for such a file.

    Example:
        >>> import tempfile, anndata, scipy.sparse
        >>> counts = scipy.sparse.csr_matrix(np.array([[0, 5, 0], [1, 0, 2]], dtype=np.float32))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     anndata.AnnData(counts).write_h5ad(f"{folder}/cells.h5ad")
        ...     CellRows(f"{folder}/cells.h5ad")[1]
        {'genes': array([0, 2], dtype=int32), 'counts': array([1., 2.], dtype=float32)}
    """

    paths: tuple[Any, ...] = attrs.field(converter=to_paths)
    obs: tuple[str, ...] = attrs.field(default=(), converter=_to_obs, kw_only=True)
    layer: str | None = attrs.field(default=None, converter=_to_layer, kw_only=True)
    dense: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    files: tuple[CellFile, ...] = attrs.field(
        init=False,
        default=attrs.Factory(lambda rows: tuple(CellFile(path, rows.layer) for path in rows.paths), takes_self=True),
    )

    def __attrs_post_init__(self) -> None:
        _ = self._columns  # raises if a file lacks one
        first = self.files[0].read_names()
        for file in self.files[1:]:
            if not np.array_equal(first, file.read_names()):
                message = (
                    f"files must have the same genes in the same order, but {file.file.path} differs from the first."
                )
                raise ValueError(message)

    @cached_property
    def _columns(self) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
        return _read_columns(self.files, self.obs)

    @property
    def labels(self) -> Mapping[str, NDArray[Any]]:
        """The columns of `obs`, an element per cell: e.g. to sample cells by type."""
        return self._columns[0]

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """The categories of the categorical columns: sorted, of all files together."""
        return self._columns[1]

    @property
    def num_genes(self) -> int:
        """Number of genes: columns of the matrix."""
        return self.files[0].num_genes

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files, of which large ones are sampled, and of what is read of each cell."""
        read = [file.digest() for file in self.files], self.obs, self.layer, self.dense
        return hashlib.sha256(repr(read).encode()).hexdigest()

    def __len__(self) -> int:
        return self._stops[-1]

    @cached_property
    def _stops(self) -> list[int]:
        return list(accumulate(file.num_rows for file in self.files))

    def chunk_of(self, idx: IntArray, /) -> IntArray:
        """Return the number of the chunk on disk that each cell begins in."""
        chunks, before = np.empty(len(idx), dtype=np.int64), 0
        numbers, rows = self._locate(idx)
        for number, file in enumerate(self.files):
            members = np.flatnonzero(numbers == number)
            found, num_chunks = file.chunk_of(rows[members])
            chunks[members] = before + found
            before += num_chunks
        return chunks

    def _locate(self, indices: IntArray) -> tuple[IntArray, IntArray]:
        """Return the number of the file of each cell, and the cell's row in it."""
        numbers = np.searchsorted(self._stops, indices, side="right")
        return numbers, indices - np.array([0, *self._stops[:-1]])[numbers]

    def read_many(self, indices: IntArray, /) -> list[dict[str, Any]]:
        """Return the cells at indices in one axis, which are not checked."""
        samples: list[dict[str, Any]] = [{}] * len(indices)
        numbers, rows = self._locate(indices)
        for number, members in groups(numbers):
            cells = _read_rows(self.files[number], rows[members], dense=self.dense)
            for member, cell in zip(members.tolist(), cells, strict=True):
                samples[member] = cell
        for name, column in self.labels.items():
            for sample, value in zip(samples, column[indices].tolist(), strict=True):
                sample[name] = value
        return samples

    def __repr__(self) -> str:
        return f"CellRows({len(self):,} cells of {self.num_genes:,} genes in {len(self.files)} files)"


def _read_rows(file: CellFile, rows: IntArray, *, dense: bool) -> list[dict[str, Any]]:
    """Return rows of a file in any order, each read once; those that occur again are copies."""
    if (rows[1:] > rows[:-1]).all():
        return file.read_rows(rows, dense=dense)
    different, back = np.unique(rows, return_inverse=True)
    cells, was_used, samples = file.read_rows(different, dense=dense), [False] * len(different), []
    for at in back.tolist():
        samples.append(deepcopy(cells[at]) if was_used[at] else cells[at])
        was_used[at] = True
    return samples


def _read_columns(
    files: tuple[CellFile, ...], names: tuple[str, ...]
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, ...]]]:
    """Return columns of all files, and the categories of those that are categorical, whose elements are codes."""
    columns, categories = {}, {}
    for name in names:
        parts = [file.read_column(name) for file in files]
        pandas = require("pandas", extra="cells")
        if all(isinstance(part, pandas.Categorical) for part in parts):
            union = pandas.api.types.union_categoricals(parts, sort_categories=True)
            columns[name], categories[name] = union.codes.astype(np.int64), tuple(map(str, union.categories))
        else:
            columns[name] = np.concatenate([np.asarray(part) for part in parts])
    return columns, categories
