"""One AnnData file: its matrix, stored in rows or sparse, and its tables."""

import hashlib
import os
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.checks import IntArray
from bionemo.core.extras import require
from bionemo.data.sources.cells.ranges import map_array, read_ranges
from bionemo.data.sources.opened import Opened, WatchedFile

__all__ = ["CellFile"]

_ZARR: Final = ("zarr.json", ".zgroup")
"""What the folder of a zarr store holds, in versions 3 and 2 of the format."""
_SMALL: Final = 4096
"""Bytes of a file of metadata, at most."""


class _Matrix(NamedTuple):
    """An open matrix."""

    num_rows: int
    num_genes: int
    values: Any
    """The array of all values: in rows, or, if it is sparse, one after the other."""
    genes: Any
    """The array of the genes of all values; None if the matrix is dense."""
    bounds: IntArray | None
    """Where each row begins and ends in these arrays."""


def _watch(path: Any) -> WatchedFile:
    """Return a file; of a zarr store, the file that describes it."""
    inside = [Path(path) / name for name in _ZARR] if isinstance(path, str | os.PathLike) else []
    return WatchedFile(next(filter(Path.is_file, inside), path))


@attrs.frozen
class CellFile:
    """An AnnData file, `.h5ad` or the folder of a zarr store.

    Args:
        path: path of the file or folder.
        layer: name of a layer; None for `X`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it isn't a file of AnnData, or sparse by column.
        KeyError: if it has no such layer.
        ModuleNotFoundError: if anndata isn't installed, or zarr for such a file.
    """

    file: WatchedFile = attrs.field(converter=_watch, alias="path")
    layer: str | None = None
    num_rows: int = attrs.field(init=False, eq=False, default=0)
    num_genes: int = attrs.field(init=False, eq=False, default=0)

    def __attrs_post_init__(self) -> None:
        matrix = self._open()
        object.__setattr__(self, "num_rows", matrix.num_rows)
        object.__setattr__(self, "num_genes", matrix.num_genes)

    @cached_property
    def _opened(self) -> Opened[_Matrix]:
        return Opened(self._open)

    def _open(self) -> _Matrix:
        self.file.check()
        group = self._open_store()
        where = "X" if self.layer is None else f"layers/{self.layer}"
        if where not in group or "obs" not in group or "var" not in group:
            held = ", ".join(group["layers"] if self.layer is not None and "layers" in group else group)
            message = (
                f"{self.file.path} must be an AnnData file with {where:.80}, obs and var, got {held or 'nothing'}."
            )
            raise ValueError(message) if self.layer is None else KeyError(message)
        found = group[where]
        if hasattr(found, "dtype"):
            return _Matrix(int(found.shape[0]), int(found.shape[1]), found, None, None)
        sparse = require("anndata.io", extra="cells").sparse_dataset(found)
        if sparse.format != "csr":
            message = (
                f"{where} must be stored by row (CSR), got {sparse.format.upper()}: {self.file.path}. Write it again "
                "with adata.X = adata.X.tocsr()."
            )
            raise ValueError(message)
        num_rows, num_genes = map(int, sparse.shape)
        bounds = np.asarray(found["indptr"][:], dtype=np.int64)
        values, genes = found["data"], found["indices"]
        if not self._is_zarr:
            values, genes = map_array(values, self.file.path), map_array(genes, self.file.path)
        return _Matrix(num_rows, num_genes, values, genes, bounds)

    def _open_store(self) -> Any:
        if self._is_zarr:
            return require("zarr", extra="cells").open_group(self.file.path.parent, mode="r")
        h5py = require("h5py", extra="cells")
        try:
            with h5py.File(self.file.path, "r") as file:
                sizes = [2**20]
                file.visititems(lambda _, found: sizes.append(_chunk_bytes(found)))
            # The cache of an array must hold a chunk of it, or each range in the chunk would decompress it again.
            return h5py.File(self.file.path, "r", rdcc_nbytes=max(sizes))
        except OSError as error:
            message = f"{self.file.path} must be an HDF5 file of AnnData, and whole: {error}"
            raise ValueError(message) from error

    @property
    def _is_zarr(self) -> bool:
        return self.file.path.name in _ZARR

    def read_names(self) -> NDArray[Any]:
        """Return the names of the genes."""
        var = self._open_store()["var"]
        return np.asarray(require("anndata.io", extra="cells").read_elem(var[var.attrs.get("_index", "_index")]))

    def read_column(self, name: str, /) -> Any:
        """Return a column of `obs`: an array, or a pandas Categorical.

        Raises:
            KeyError: if there is no such column.
        """
        obs = self._open_store()["obs"]
        if name not in obs:
            message = f"obs must name columns, got {name!r}: {self.file.path} has {', '.join(obs)}."
            raise KeyError(message)
        return require("anndata.io", extra="cells").read_elem(obs[name])

    def read_rows(self, rows: IntArray, /, *, dense: bool) -> list[dict[str, Any]]:
        """Return rows of the matrix, given in ascending order."""
        self.file.check()
        matrix = self._opened.get()
        # One block for all rows: each sample is a part of it, which is in no other sample.
        if matrix.bounds is None:
            return [{"counts": row} for row in read_ranges(matrix.values, rows, rows + 1)]
        starts, stops = matrix.bounds[rows], matrix.bounds[rows + 1]
        genes, counts = read_ranges(matrix.genes, starts, stops), read_ranges(matrix.values, starts, stops)
        ends = np.concatenate([[0], np.cumsum(stops - starts)])
        if not dense:
            return [{"genes": genes[at:end], "counts": counts[at:end]} for at, end in pairwise(ends.tolist())]
        dtype = matrix.values.dtype
        wide = counts.astype(np.float32) if dtype == np.float16 else counts  # SciPy has no float16
        parts, shape = (wide, genes, ends), (len(rows), matrix.num_genes)
        block = require("scipy.sparse", extra="cells").csr_array(parts, shape=shape).toarray()
        return [{"counts": row} for row in block.astype(dtype, copy=False)]

    def chunk_of(self, rows: IntArray, /) -> tuple[IntArray, int]:
        """Return the number of the chunk on disk that each row begins in, and the number of chunks."""
        matrix = self._opened.get()
        length = (matrix.values.chunks or matrix.values.shape)[0] or 1
        begins = rows if matrix.bounds is None else matrix.bounds[rows]
        return begins // length, matrix.values.shape[0] // length + 1

    def digest(self) -> str:
        """Return a digest of the file; of a zarr store, of all names and sizes, and of the files with metadata."""
        if not self._is_zarr:
            return self.file.fingerprint
        digest, folder = hashlib.sha256(), self.file.path.parent
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                size = path.stat().st_size
                digest.update(f"{path.relative_to(folder)} {size}\n".encode())
                digest.update(path.read_bytes() if size < _SMALL else b"")
        return digest.hexdigest()


def _chunk_bytes(found: Any) -> int:
    chunks = getattr(found, "chunks", None)
    return 2 * int(np.prod(chunks)) * int(found.dtype.itemsize) if chunks else 0
