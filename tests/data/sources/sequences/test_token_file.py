"""Token files: round trips with megatron-core, clear errors, and nothing half-written."""

import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from bionemo.data.sources import TokenFile, write_tokens

ROWS = [[5, 6, 7], [], [8], list(range(100))]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64"])
def test_rows_come_back_in_the_dtype_they_were_written_in(tmp_path: Path, dtype: str) -> None:
    written = write_tokens(tmp_path / "rows", ROWS, dtype=dtype)
    for path in ("rows", "rows.bin", "rows.idx"):
        rows = TokenFile(str(tmp_path / path))
        assert rows == written
        assert [row.tolist() for row in rows] == ROWS
        assert rows.dtype == rows[0].dtype == dtype
        assert rows.lengths.tolist() == [3, 0, 1, 100]


def test_any_container_of_integers_is_a_row(tmp_path: Path) -> None:
    given = [[1, 2], (3,), np.array([4], dtype=np.int8), torch.tensor([5, 6]), range(7, 9)]
    rows = write_tokens(tmp_path / "rows", iter(given), dtype="int32")
    assert [row.tolist() for row in rows] == [[1, 2], [3], [4], [5, 6], [7, 8]]


@pytest.mark.filterwarnings("ignore")  # megatron-core warns a lot when it is imported
@pytest.mark.parametrize("rows", [[], [[]], [[], []], [[1]], [[7] * length for length in range(3000)]])
def test_files_equal_those_of_megatron_core_which_reads_ours(tmp_path: Path, rows: list) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
    for row in rows:
        builder.add_item(torch.tensor(row, dtype=torch.int64))
        builder.end_document()
    builder.finalize(str(tmp_path / "theirs.idx"))
    ours = write_tokens(tmp_path / "ours", rows, dtype=np.uint16)
    for end in (".bin", ".idx"):
        assert (tmp_path / f"ours{end}").read_bytes() == (tmp_path / f"theirs{end}").read_bytes()
    assert [row.tolist() for row in TokenFile(tmp_path / "theirs")] == rows
    if any(rows):
        theirs = IndexedDataset(str(tmp_path / "ours"))
        assert [theirs[number].tolist() for number in range(len(theirs))] == rows
    assert len(ours) == len(rows)


@pytest.mark.filterwarnings("ignore")
def test_a_file_with_several_rows_per_document_and_with_modes_is_read(tmp_path: Path) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(tmp_path / "rows.bin"), dtype=np.int32, multimodal=True)
    for row in ROWS:
        builder.add_item(torch.tensor(row, dtype=torch.int64), mode=1)
    builder.end_document()
    builder.finalize(str(tmp_path / "rows.idx"))
    assert [row.tolist() for row in TokenFile(tmp_path / "rows")] == ROWS


def test_what_is_read_is_a_copy(tmp_path: Path) -> None:
    rows = write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    rows[0][:] = 0
    assert rows[0].tolist() == [5, 6, 7]


@pytest.mark.parametrize("cut", [0, 5, 20, -1])
@pytest.mark.parametrize("end", [".bin", ".idx"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, end: str, cut: int) -> None:
    write_tokens(tmp_path / "rows", ROWS, dtype="int64")
    path = tmp_path / f"rows{end}"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=rf"rows\{end}|begins with"):
        TokenFile(tmp_path / "rows")


@pytest.mark.parametrize("end", [".bin", ".idx"])
def test_a_missing_file_is_named(tmp_path: Path, end: str) -> None:
    write_tokens(tmp_path / "rows", ROWS, dtype="int64")
    (tmp_path / f"rows{end}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"path must be an existing file: '.*rows\{end}'"):
        TokenFile(tmp_path / "rows")


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.bin").write_bytes(b"")
    (tmp_path / "rows.idx").write_bytes(b">protein\nMKV\n" * 9)
    with pytest.raises(ValueError, match="begins with b'MMIDIDX.*got b'>protein"):
        TokenFile(tmp_path / "rows")


@pytest.mark.parametrize("end", [".bin", ".idx"])
@pytest.mark.parametrize("change", ["cut", "other", "gone"])
def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path: Path, change: str, end: str) -> None:
    rows = write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    assert rows[0].tolist() == [5, 6, 7]
    copy = pickle.loads(pickle.dumps(rows))
    path = tmp_path / f"rows{end}"
    content = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        time.sleep(0.02)  # the resolution of file times
        path.write_bytes(content[:50] if change == "cut" else content[::-1])
    for one in (rows, copy):
        with pytest.raises(
            (ValueError, FileNotFoundError), match=r"has changed: .* Make the data set again|existing file"
        ):
            one[3]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ([256], ValueError, "256"),
        ([-1], ValueError, "-1"),
        ([0.5], TypeError, "rows"),
        ("MKV", ValueError, "rows"),
        ([[1], [2]], (TypeError, ValueError), "rows"),
    ],
)
def test_a_row_that_can_not_be_written_leaves_the_old_files_as_they_were(tmp_path: Path, row, error, message) -> None:
    before = write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    with pytest.raises(error, match=message) as caught:
        write_tokens(tmp_path / "rows", [[1]] * 2000 + [row], dtype="uint8")
    assert "in rows 1024..2000" in caught.value.__notes__[-1]
    assert [one.tolist() for one in before] == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.bin", "rows.idx"]


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("float32", "dtype must be an integer dtype of NumPy, got dtype='float32'"),
        ("uint32", "dtype must be one of uint8, .*got dtype=uint32"),
        ("bool", "dtype must be an integer dtype of NumPy, got dtype='bool'"),
        ("tokens", "dtype must be an integer dtype of NumPy, got dtype='tokens'"),
    ],
)
def test_other_dtypes_are_refused(tmp_path: Path, dtype: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        write_tokens(tmp_path / "rows", ROWS, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_old_files_as_they_were(tmp_path: Path) -> None:
    write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    script = """
        import itertools, sys
        from bionemo.data.sources import write_tokens
        def rows():
            for number in itertools.count():
                if number == 5000:
                    print("writing", flush=True)
                yield [number % 200] * 50
        write_tokens(sys.argv[1], rows(), dtype="uint8")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "rows")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert [row.tolist() for row in TokenFile(tmp_path / "rows")] == ROWS
    others = [path.name for path in tmp_path.iterdir() if not path.name.startswith("rows.")]
    assert all(name.endswith(".partial") for name in others)  # removed by a later call, once they are a day old


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_open_the_files_themselves(tmp_path: Path, context: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = write_tokens("rows", [[number] * (number % 7) for number in range(50)], dtype="uint8")
    order = EpochOrder(length=50, seed=1, num_samples=50)
    pipeline = Pipeline(order=order, sources=rows, batch_size=8, seed=2, collate=list)
    assert len(pickle.dumps(rows)) < 2000
    batches = loader(pipeline, num_workers=2, multiprocessing_context=context, read_ahead=2)
    monkeypatch.chdir("/")
    found = [[row.tolist() for row in batch] for batch in batches]
    assert found == [[row.tolist() for row in batch_at(pipeline, step)] for step in range(7)]
    batches.close()


def test_a_state_of_other_data_is_refused(tmp_path: Path) -> None:
    order = EpochOrder(length=4, seed=1, num_samples=4)
    states = []
    for name, given in (("a", ROWS), ("b", ROWS), ("c", [*ROWS[:3], [9]])):
        rows = write_tokens(tmp_path / name, given, dtype="uint8")
        states.append(loader(Pipeline(order=order, sources=rows, batch_size=2, seed=2)))
    states[1].load_state_dict(states[0].state_dict())
    with pytest.raises(ValueError, match="fingerprint"):
        states[2].load_state_dict(states[0].state_dict())


@pytest.mark.parametrize("index", [4, -1, 2**40])
def test_an_index_must_be_that_of_a_row(tmp_path: Path, index: int) -> None:
    rows = write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    with pytest.raises(IndexError, match=f"index.*{index}"):
        rows[index]


def test_rows_are_shown_in_one_line(tmp_path: Path) -> None:
    rows = write_tokens(tmp_path / "rows", ROWS, dtype="uint8")
    assert repr(rows) == f"TokenFile('{tmp_path}/rows.bin', 4 rows of uint8)"


def test_many_rows_open_at_once(tmp_path: Path) -> None:
    """The files are sparse: only their sizes are those of 10**8 rows."""
    import struct

    number = 10**8
    with (tmp_path / "rows.idx").open("wb") as file:
        file.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 1, number, number + 1))
        file.truncate(34 + 12 * number + 8 * (number + 1))
    (tmp_path / "rows.bin").touch()
    rows = TokenFile(tmp_path / "rows")
    assert len(rows) == number
    assert rows[number - 1].tolist() == rows[number // 2].tolist() == []
