"""Rows of Parquet and Arrow files: any types, many files, row groups read once, clear errors."""

import pickle
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bionemo.data import BlockShuffleOrder, EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from bionemo.data.sources import TableRows

NUM_ROWS = 95


def table_of(first: int = 0, num_rows: int = NUM_ROWS) -> pa.Table:
    numbers = range(first, first + num_rows)
    return pa.table(
        {
            "ids": pa.array([[number] * (number % 5) for number in numbers], pa.list_(pa.int16())),
            "large": pa.array([[number / 2] for number in numbers], pa.large_list(pa.float32())),
            "name": [f"protein {number}" for number in numbers],
            "label": [number % 3 for number in numbers],
            "maybe": [None if number % 2 else [number] for number in numbers],
            "gaps": [[None, number] for number in numbers],
            "weight": [number / 4 for number in numbers],
        }
    )


def write(path: Path, table: pa.Table, group: int = 10) -> str:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=group)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=group)
    return str(path)


def plain(rows: list[dict]) -> list[dict]:
    return [
        {name: getattr(value, "tolist", lambda value=value: value)() for name, value in row.items()} for row in rows
    ]


INDICES = [94, 0, 13, 12, 13, 50]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_rows_are_those_that_were_written(tmp_path: Path, name: str) -> None:
    rows = TableRows(write(tmp_path / name, table_of()))
    expected = table_of().to_pylist()
    assert len(rows) == NUM_ROWS
    assert plain(rows.__getitems__(INDICES)) == [expected[index] for index in INDICES]
    assert plain(list(rows)) == expected
    assert rows[7]["ids"].dtype == np.int16
    assert rows[7]["large"].dtype == np.float32
    rows[7]["ids"][:] = 0
    assert rows[7]["ids"].tolist() == [7, 7]


@pytest.mark.parametrize("name", ["{}.parquet", "{}.arrow"])
def test_several_files_are_one_data_set(tmp_path: Path, name: str) -> None:
    tables = [table_of(), table_of(500, 3), table_of(600)]
    rows = TableRows(
        [write(tmp_path / name.format(at), table) for at, table in enumerate(tables)], columns=["label", "ids"]
    )
    expected = pa.concat_tables(tables).select(["label", "ids"]).to_pylist()
    assert plain(rows.__getitems__([192, 0, 95, 97, 98])) == [expected[index] for index in [192, 0, 95, 97, 98]]
    assert list(rows[0]) == ["label", "ids"]


def test_a_chunk_is_a_row_group_and_read_once_per_stretch(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "rows.parquet", table_of(num_rows=96), group=8)
    rows = TableRows(path, columns=["label"])
    assert rows.chunk_of(np.array([0, 7, 8, 95])).tolist() == [0, 0, 1, 11]
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, group, **options: (read.append(group), whole(self, group, **options))[1],
    )
    order = BlockShuffleOrder(length=96, block_size=8, blocks_per_window=4, seed=1, num_samples=96)
    pipeline = Pipeline(order=order, sources=rows, batch_size=4, seed=2)
    found = list(loader(pipeline, read_ahead=8))
    assert sorted(read) == list(range(12))
    assert found == [batch_at(pipeline, step) for step in range(24)]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_read_the_same_batches(tmp_path: Path, name: str, context: str) -> None:
    rows = TableRows(write(tmp_path / name, table_of()), columns=["name", "label"])
    assert rows[3]["label"] == 0  # open here, before the fork
    assert len(pickle.dumps(rows)) < 1500
    pipeline = Pipeline(
        order=EpochOrder(length=NUM_ROWS, seed=1, num_samples=NUM_ROWS), sources=rows, batch_size=8, seed=2
    )
    batches = loader(pipeline, num_workers=2, multiprocessing_context=context, read_ahead=2)
    assert list(batches) == [batch_at(pipeline, step) for step in range(12)]
    batches.close()


def test_empty_files_and_groups_hold_nothing(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.parquet", table_of(num_rows=0)), write(tmp_path / "b.parquet", table_of(num_rows=3))]
    assert [row["name"] for row in TableRows(paths)] == ["protein 0", "protein 1", "protein 2"]
    assert len(TableRows(paths[0])) == 0


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(
        ValueError, match=r"path must be a Parquet file, or an Arrow file.*got one that begins with b'no tab'"
    ):
        TableRows(tmp_path / "text.parquet")
    for name in ("rows.parquet", "rows.arrow"):
        whole = Path(write(tmp_path / name, table_of()))
        (tmp_path / f"cut.{name}").write_bytes(whole.read_bytes()[:-40])
        with pytest.raises(ValueError, match=f"cut.{name} must be a whole"):
            TableRows(tmp_path / f"cut.{name}")
    with pytest.raises(FileNotFoundError, match="path must be an existing file"):
        TableRows(tmp_path / "none.parquet")


def test_columns_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", table_of())
    with pytest.raises(KeyError, match="columns must be those of all files, got 'sequence'.*has .*'ids'"):
        TableRows(path, columns=["sequence"])
    other = write(tmp_path / "other.parquet", pa.table({"ids": [[1]]}))
    with pytest.raises(KeyError, match=r"got 'large': .*other.parquet"):
        TableRows([path, other])
    with pytest.raises(TypeError, match="columns must be a sequence of names"):
        TableRows(path, columns="ids")


def test_a_file_that_changes_is_refused_and_has_another_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", table_of())
    rows = TableRows(path)
    before, copy = rows.fingerprint, pickle.loads(pickle.dumps(rows))
    time.sleep(0.02)  # the resolution of file times
    write(tmp_path / "rows.parquet", table_of(7))
    for one in (rows, copy):
        with pytest.raises(ValueError, match="which has changed"):
            one[0]
    assert TableRows(path).fingerprint != before
    assert TableRows(path, columns=["ids"]).fingerprint != TableRows(path).fingerprint
