"""Cells of AnnData files: any layout, many files, chunks read once, clear errors."""

import pickle
import shutil
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data import BlockShuffleOrder, EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from bionemo.data.sources import CellRows
from bionemo.data.sources.cells.ranges import MappedArray, map_array, read_ranges

pytestmark = pytest.mark.filterwarnings("ignore")  # anndata and zarr warn about their own formats

NUM_CELLS, NUM_GENES = 60, 17


def counts_of(seed: int, num_cells: int = NUM_CELLS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.poisson(0.4, (num_cells, NUM_GENES)) * rng.integers(0, 2, (num_cells, 1))).astype(np.float32)


def cells_of(
    seed: int, form=scipy.sparse.csr_matrix, types=("T", "B", "NK"), num_cells: int = NUM_CELLS
) -> anndata.AnnData:
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(rng.choice(list(types), num_cells)),
            "depth": rng.integers(0, 1000, num_cells),
            "donor": [f"donor {number}" for number in rng.integers(0, 3, num_cells)],
        },
        index=[f"cell {number}" for number in range(num_cells)],
    )
    var = pd.DataFrame(index=[f"gene {number}" for number in range(NUM_GENES)])
    counts = counts_of(seed, num_cells)
    cells = anndata.AnnData(form(counts), obs=obs, var=var)
    cells.layers["doubled"] = form(counts * 2)
    return cells


def write(path: Path, cells: anndata.AnnData, **options) -> str:
    (cells.write_zarr if path.suffix == ".zarr" else cells.write_h5ad)(path, **options)
    return str(path)


def dense_of(samples: list[dict]) -> np.ndarray:
    block = np.zeros((len(samples), NUM_GENES), dtype=np.float32)
    for row, sample in zip(block, samples, strict=True):
        if "genes" in sample:
            row[sample["genes"]] = sample["counts"]
        else:
            row[:] = sample["counts"]
    return block


INDICES = [5, 0, 59, 5, 17, 18, 19, 3]


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("dense", [False, True])
def test_cells_are_those_that_were_written(tmp_path: Path, name: str, form, dense: bool) -> None:
    path = write(tmp_path / name, cells_of(1, form))
    rows = CellRows(path, dense=dense)
    assert (len(rows), rows.num_genes) == (NUM_CELLS, NUM_GENES)
    assert np.array_equal(dense_of(rows.__getitems__(INDICES)), counts_of(1)[INDICES])
    assert np.array_equal(dense_of(list(rows)), counts_of(1))
    assert ("genes" in rows[0]) == (not dense and form is scipy.sparse.csr_matrix)
    layer = CellRows(path, layer="doubled", dense=dense)
    assert np.array_equal(dense_of(layer.__getitems__(INDICES)), counts_of(1)[INDICES] * 2)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_chunks_may_be_compressed(tmp_path: Path, options: dict) -> None:
    rows = CellRows(write(tmp_path / "cells.h5ad", cells_of(1), **options))
    assert np.array_equal(dense_of(rows.__getitems__(INDICES)), counts_of(1)[INDICES])


@pytest.mark.parametrize("name", ["{}.h5ad", "{}.zarr"])
def test_several_files_are_one_data_set_with_common_categories(tmp_path: Path, name: str) -> None:
    given = [cells_of(1), cells_of(2, types=("B", "mast"), num_cells=9), cells_of(3)]
    paths = [write(tmp_path / name.format(number), cells) for number, cells in enumerate(given)]
    rows = CellRows(paths, obs=["cell_type", "depth", "donor"])
    indices = [0, 59, 60, 68, 69, 128, 60]
    samples = rows.__getitems__(indices)
    expected = np.concatenate([counts_of(1), counts_of(2, 9), counts_of(3)])
    assert np.array_equal(dense_of(samples), expected[indices])
    assert rows.categories["cell_type"] == ("B", "NK", "T", "mast")
    together = pd.concat([cells.obs for cells in given])
    for index, sample in zip(indices, samples, strict=True):
        assert rows.categories["cell_type"][sample["cell_type"]] == together["cell_type"].iloc[index]
        assert rows.categories["donor"][sample["donor"]] == together["donor"].iloc[index]
        assert sample["depth"] == together["depth"].iloc[index]
    assert rows.labels["depth"].tolist() == together["depth"].tolist()


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_read_the_same_batches(tmp_path: Path, context: str) -> None:
    rows = CellRows(write(tmp_path / "cells.h5ad", cells_of(1)), obs=["depth"])
    assert rows[3]["counts"] is not None  # open here, before the fork
    order = BlockShuffleOrder(length=NUM_CELLS, block_size=4, blocks_per_window=4, seed=1, num_samples=NUM_CELLS)
    pipeline = Pipeline(order=order, sources=rows, batch_size=8, seed=2)
    batches = loader(pipeline, num_workers=2, multiprocessing_context=context, read_ahead=2)
    found = list(batches)
    for step, batch in enumerate(found):
        expected = batch_at(pipeline, step)
        assert np.array_equal(dense_of(batch), dense_of(expected))
        assert [sample["depth"] for sample in batch] == [sample["depth"] for sample in expected]
    batches.close()
    assert len(found) == 8


def test_cells_pickle_by_path(tmp_path: Path) -> None:
    rows = CellRows(write(tmp_path / "cells.h5ad", cells_of(1, num_cells=3000)), obs=["depth"])
    pickled = pickle.dumps(rows)
    assert len(pickled) < 2000
    assert pickle.loads(pickled) == rows
    assert pickle.loads(pickled)[7]["depth"] == rows[7]["depth"]


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8", "bool"])
def test_dense_rows_keep_their_dtype(tmp_path: Path, dtype: str) -> None:
    cells = cells_of(1)
    write(tmp_path / "cells.h5ad", cells)
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        values = file["X/data"][:].astype(dtype)
        del file["X/data"]
        file["X/data"] = values
    rows = CellRows(tmp_path / "cells.h5ad", dense=True)
    assert rows[0]["counts"].dtype == dtype
    assert np.array_equal(dense_of(list(rows)), counts_of(1).astype(dtype).astype(np.float32))


def test_samples_are_independent(tmp_path: Path) -> None:
    rows = CellRows(write(tmp_path / "cells.h5ad", cells_of(1)), dense=True)
    first, second = rows.__getitems__([4, 4])
    first["counts"][:] = -1
    assert np.array_equal(second["counts"], counts_of(1)[4])


def test_the_chunk_of_a_cell_is_where_it_begins(tmp_path: Path) -> None:
    cells = cells_of(1, num_cells=50_000)
    rows = CellRows([write(tmp_path / "a.h5ad", cells), write(tmp_path / "b.h5ad", cells)])
    with h5py.File(tmp_path / "a.h5ad") as file:
        length, bounds, size = file["X/data"].chunks[0], file["X/indptr"][:], len(file["X/data"])
    chunks = rows.chunk_of(np.arange(100_000))
    assert np.array_equal(chunks[:50_000], bounds[:-1] // length)
    assert np.array_equal(chunks[50_000:], bounds[:-1] // length + size // length + 1)


class Counted:
    """An array that notes which of its chunks are read."""

    def __init__(self, array: np.ndarray, length: int) -> None:
        self.array, self.chunks, self.read = array, (length, *array.shape[1:]), []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, part: slice) -> np.ndarray:
        self.read += range(part.start // self.chunks[0], -(-part.stop // self.chunks[0]))
        return self.array[part]


@given(bounds=st.lists(st.integers(0, 200), min_size=2), length=st.integers(1, 60), width=st.integers(1, 2))
def test_ranges_are_read_in_order_and_each_chunk_once(bounds: list[int], length: int, width: int) -> None:
    edges = np.array(sorted(bounds))
    starts, stops = edges[:-1][::2], edges[1:][::2]
    array = Counted(np.arange(200 * width).reshape(200, width), length)
    found = read_ranges(array, starts, stops)
    expected = [array.array[:0], *(array.array[start:stop] for start, stop in zip(starts, stops, strict=True))]
    assert np.array_equal(found, np.concatenate(expected))
    assert len(array.read) == len(set(array.read))
    needed = {row // length for start, stop in zip(starts, stops, strict=True) for row in range(start, stop)}
    assert set(array.read) == needed


@given(bounds=st.lists(st.integers(0, 200), min_size=2), length=st.integers(1, 60) | st.none(), gap=st.booleans())
def test_a_map_of_an_hdf5_file_holds_the_array(
    tmp_path_factory, bounds: list[int], length: int | None, gap: bool
) -> None:
    edges = np.array(sorted(bounds))
    starts, stops = (edges[:-1][::2], edges[1:][::2]) if gap else (edges[:-1], edges[1:])
    path = tmp_path_factory.mktemp("maps") / "a.h5"
    numbers = np.arange(200, dtype=np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("first", data=np.arange(3, dtype=np.int8))  # so that offsets aren't all round
        file.create_dataset("a", data=numbers, chunks=None if length is None else (length,))
    with h5py.File(path, "r") as file:
        array = map_array(file["a"], path)
        assert isinstance(array, MappedArray)
        found = read_ranges(array, starts, stops)
        expected = [numbers[:0], *(numbers[start:stop] for start, stop in zip(starts, stops, strict=True))]
        assert np.array_equal(found, np.concatenate(expected))
        assert found.flags.writeable
    shutil.rmtree(path.parent)


def test_what_can_not_be_mapped_is_read_by_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        numbers = np.arange(100)
        arrays = [
            file.create_dataset("packed", data=numbers, chunks=(10,), compression="gzip"),
            file.create_dataset("swapped", data=numbers, dtype=">i8"),
            file.create_dataset("rows", data=numbers.reshape(50, 2)),
            file.create_dataset("sparse", shape=(100,), dtype="i8", chunks=(10,)),
            file.create_dataset("empty", shape=(0,), dtype="i8", chunks=(10,), maxshape=(None,)),
        ]
        arrays[3][:10] = numbers[:10]  # the other chunks are never written
        file.flush()
        assert [map_array(array, tmp_path / "a.h5") is array for array in arrays] == [True] * 5
        assert read_ranges(arrays[0], np.array([5]), np.array([25])).tolist() == [*range(5, 25)]


def test_by_column_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.h5ad", cells_of(1, scipy.sparse.csc_matrix))
    with pytest.raises(ValueError, match=r"X must be stored by row \(CSR\), got CSC: .*Write it again with adata.X"):
        CellRows(path)


def test_what_a_file_lacks_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.h5ad", cells_of(1))
    with pytest.raises(KeyError, match="must be an AnnData file with layers/raw, obs and var, got doubled"):
        CellRows(path, layer="raw")
    with pytest.raises(KeyError, match="obs must name columns, got 'sex'.*has .*cell_type, depth, donor"):
        CellRows(path, obs=["sex"])
    with pytest.raises(TypeError, match="obs must be a sequence of names of columns, e.g. .*got obs=.depth"):
        CellRows(path, obs="depth")
    with pytest.raises(ValueError, match="paths must hold at least one"):
        CellRows([])


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text.h5ad must be an HDF5 file of AnnData, and whole"):
        CellRows(tmp_path / "text.h5ad")
    whole = Path(write(tmp_path / "cells.h5ad", cells_of(1)))
    (tmp_path / "cut.h5ad").write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"cut.h5ad must be an HDF5 file of AnnData, and whole"):
        CellRows(tmp_path / "cut.h5ad")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["ids"] = np.arange(3)
    with pytest.raises(ValueError, match="must be an AnnData file with X, obs and var, got ids"):
        CellRows(tmp_path / "other.h5ad")
    with pytest.raises(FileNotFoundError, match="path must be an existing file: '.*none.h5ad'"):
        CellRows(tmp_path / "none.h5ad")
    with pytest.raises(IsADirectoryError, match="path must be a file, not a folder"):
        CellRows(tmp_path)


def test_files_must_have_the_same_genes(tmp_path: Path) -> None:
    other = cells_of(2)
    other.var_names = [f"other {number}" for number in range(NUM_GENES)]
    paths = [write(tmp_path / "a.h5ad", cells_of(1)), write(tmp_path / "b.h5ad", other)]
    with pytest.raises(ValueError, match=r"same genes in the same order, but .*b.h5ad differs from the first"):
        CellRows(paths)


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_a_file_that_changes_is_refused_and_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, cells_of(1))
    rows = CellRows(path)
    before = rows.fingerprint
    assert CellRows(path).fingerprint == before
    assert len(rows[0]["counts"]) == (counts_of(1)[0] > 0).sum()
    copy = pickle.loads(pickle.dumps(rows))
    time.sleep(0.02)  # the resolution of file times
    shutil.rmtree(path) if name.endswith("zarr") else Path(path).unlink()
    write(tmp_path / name, cells_of(2))
    for one in (rows, copy):
        with pytest.raises(ValueError, match="which has changed"):
            one[0]
    assert CellRows(path).fingerprint != before


def test_the_fingerprint_covers_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.h5ad", cells_of(1))
    records = [
        CellRows(path),
        CellRows(path, obs=["depth"]),
        CellRows(path, layer="doubled"),
        CellRows(path, dense=True),
    ]
    assert len({rows.fingerprint for rows in records}) == 4


def test_reading_twice_gives_equal_cells(tmp_path: Path) -> None:
    rows = CellRows(write(tmp_path / "cells.h5ad", cells_of(1)))
    pipeline = Pipeline(order=EpochOrder(length=NUM_CELLS, seed=1), sources=rows, batch_size=8, seed=2)
    assert np.array_equal(dense_of(batch_at(pipeline, 3)), dense_of(batch_at(pipeline, 3)))


@pytest.mark.parametrize("index", [NUM_CELLS, -1])
def test_an_index_must_be_that_of_a_cell(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError, match="index"):
        CellRows(write(tmp_path / "cells.h5ad", cells_of(1)))[index]
