"""Samples of data sets of every kind."""

import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from bionemo.data import EpochIndex, EpochOrder, MixtureOrder, Pipeline, Source, batch_at, index_at, sample_at
from bionemo.data.reading.read import fetch

INDICES = [7, 0, 7, 19, 3]


class Many(list):
    """A data set that reads many samples at once, and records the indices of each call."""

    def __init__(self, values) -> None:
        super().__init__(values)
        self.calls: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> list:
        self.calls.append(indices)
        return [self[index] for index in indices]


class InOrder(Many):
    """A data set that is taken for one of Hugging Face, because of its module."""


InOrder.__module__ = "datasets.arrow_dataset"


@pytest.mark.parametrize("kind", ["arrow", "pandas", "polars"])
def test_a_hugging_face_data_set_whose_samples_are_frames_is_read_one_by_one(kind: str) -> None:
    """Its `__getitems__` would return dicts."""
    dataset = InOrder(range(20))
    dataset.format = {"type": kind}
    assert fetch(dataset, INDICES) == INDICES
    assert dataset.calls == []


class Epochs:
    """A data set that is indexed by epoch and index."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: EpochIndex) -> tuple[int, int]:
        return index.epoch, index.idx


def make(dataset, **fields) -> Pipeline:
    order = EpochOrder(length=20, seed=42, num_samples=50)
    return Pipeline(**{"order": order, "sources": dataset, "batch_size": 8, "seed": 7} | fields)


@pytest.mark.parametrize("indices", [INDICES, np.array(INDICES), [], np.array([], dtype=np.int64)])
def test_each_kind_of_data_set_returns_samples_in_the_given_order(indices, tmp_path: Path) -> None:
    values = np.arange(100).reshape(20, 5)
    mapped = np.memmap(tmp_path / "values", dtype=values.dtype, shape=values.shape, mode="w+")
    mapped[:] = values
    expected = values[np.asarray(indices, dtype=np.int64)]
    for dataset in (values, mapped, torch.from_numpy(values)):
        found = fetch(dataset, indices)
        assert type(found) is (torch.Tensor if isinstance(dataset, torch.Tensor) else np.ndarray)
        assert found.shape == expected.shape
        assert found.tolist() == expected.tolist()
    for kind in (list, Many, InOrder):
        assert fetch(kind(values.tolist()), indices) == expected.tolist()


def test_many_samples_are_read_at_once_and_for_hugging_face_in_ascending_order() -> None:
    plain, arrow = Many(range(20)), InOrder(range(20))
    assert fetch(plain, INDICES) == fetch(arrow, INDICES) == INDICES
    assert plain.calls == [INDICES]
    assert arrow.calls == [sorted(INDICES)]


def test_a_hugging_face_data_set_is_read_unchanged(tmp_path: Path) -> None:
    rows = [{"ids": [number, number + 1], "name": f"protein {number}"} for number in range(20)]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "rows")
    stored = datasets.load_from_disk(tmp_path / "rows")
    for step in range(7):
        assert batch_at(make(stored), step) == batch_at(make(rows), step)
    assert fetch(stored, np.array(INDICES)) == [rows[index] for index in INDICES]
    tensors = batch_at(make(stored.with_format("torch")), 0)
    assert [row["ids"].tolist() for row in tensors] == [row["ids"] for row in batch_at(make(rows), 0)]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_batch_is_the_same_from_every_kind_of_data_set(rank: int) -> None:
    batches = [batch_at(make(kind(range(20)), collate=list), 2, rank, 2) for kind in (list, Many, InOrder)]
    gathered = batch_at(make(torch.arange(20)), 2, rank, 2)
    assert batches[0] == batches[1] == batches[2] == gathered.tolist()
    assert batch_at(make(np.arange(20)), 2, rank, 2).tolist() == batches[0]


def test_without_collate_a_batch_is_the_samples_as_they_are_read() -> None:
    rows = torch.arange(100.0).reshape(20, 5)
    batch = batch_at(make(rows), 0)
    assert torch.equal(batch, torch.stack([sample_at(make(rows), position) for position in range(8)]))
    assert batch_at(make(rows), 0, 0, 9).shape == (0, 5)
    assert isinstance(batch_at(make(list(range(20))), 0), list)
    transformed = make(Source(rows, transform=lambda row, *, generator: row * 2))
    assert [row.tolist() for row in batch_at(transformed, 0)] == (batch * 2).tolist()


def test_collate_receives_a_list() -> None:
    kinds = []
    batch = batch_at(make(torch.arange(20), collate=lambda rows: kinds.append(type(rows)) or torch.stack(rows)), 0)
    assert kinds == [list]
    assert torch.equal(batch, batch_at(make(torch.arange(20)), 0))


def test_a_data_set_may_be_indexed_by_epoch_and_index() -> None:
    pipeline = make(Source(Epochs(), index="epoch"))
    samples = [sample for step in range(7) for sample in batch_at(pipeline, step)]
    assert samples == [tuple(index_at(pipeline.order, position)[1:]) for position in range(50)]
    assert [sample_at(pipeline, position) for position in range(50)] == samples


def test_sources_of_several_kinds_are_read_together() -> None:
    parts = (EpochOrder(length=20, seed=1), EpochOrder(length=20, seed=2), EpochOrder(length=20, seed=3))
    order = MixtureOrder(orders=parts, weights=(3, 2, 1), num_samples=50)
    sources = (
        torch.arange(20),
        Source(Many(range(100, 120)), transform=lambda sample, *, generator: -sample),
        range(200, 220),
    )
    pipeline = make(sources, order=order, collate=lambda samples: [int(sample) for sample in samples])
    for step in range(7):
        expected = []
        for position in range(8 * step, min(8 * step + 8, 50)):
            source, _, idx = index_at(order, position)
            expected.append((idx, -(100 + idx), 200 + idx)[source])
        assert batch_at(pipeline, step) == expected


class Broken(list):
    def __getitem__(self, index: int):
        if index == 3:
            raise OSError("disk on fire")
        return super().__getitem__(index)


def fail(sample, **_):
    if sample == 3:
        raise ValueError("no such residue")
    return sample


@pytest.mark.parametrize(
    "dataset",
    [Broken(range(20)), Source(list(range(20)), transform=fail), (Broken(range(20)), list(range(20)))],
    ids=["read", "transform", "two sources"],
)
def test_an_error_names_the_sample_and_keeps_its_type(dataset) -> None:
    orders = [EpochOrder(length=20, seed=seed) for seed in (42, 43)]
    mixture = MixtureOrder(orders=orders, weights=(1, 1), num_samples=50)
    pipeline = make(dataset, order=mixture) if isinstance(dataset, tuple) else make(dataset)
    position = next(p for p in range(50) if index_at(pipeline.order, p)[::2] == (0, 3))
    with pytest.raises((OSError, ValueError), match="disk on fire|no such residue") as caught:
        batch_at(pipeline, position // 8)
    assert caught.value.__notes__ == [f"while reading position {position}: {index_at(pipeline.order, position)}"]


def test_an_error_in_a_collate_names_the_positions() -> None:
    def collate(samples: list):
        raise ValueError("rows of different lengths")

    with pytest.raises(ValueError, match="rows of different lengths") as caught:
        batch_at(make(list(range(20)), collate=collate), 6)
    order = make([0] * 20).order
    parts = ", ".join(f"position {position}: {index_at(order, position)}" for position in (48, 49))
    assert caught.value.__notes__ == [f"while collating {parts}"]


def test_an_empty_data_set_is_refused() -> None:
    class Endless:
        num_samples, num_sources = None, 1

        def index_at(self, position, /):
            return position

    with pytest.raises(ValueError, match=r"at least one sample each, got data sets of lengths \(0,\)"):
        make([], order=Endless())


@pytest.mark.parametrize("position", [-1, 50])
def test_a_sample_out_of_range_is_named(position: int) -> None:
    with pytest.raises(IndexError, match=rf"position must be in 0\.\.49, got position={position}"):
        sample_at(make(list(range(20))), position)


class Stacked(list):
    """A data set whose `__getitems__` fails without indices."""

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return torch.stack([torch.tensor(self[index]) for index in indices])


def test_a_rank_without_samples_does_not_call_getitems() -> None:
    assert len(batch_at(make(Stacked(range(20))), 6, 0, 9)) == 0
    assert batch_at(make(Stacked(range(20))), 0).tolist() == batch_at(make(list(range(20))), 0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.bfloat16])
def test_tensors_of_any_dtype_are_gathered_from(dtype: torch.dtype) -> None:
    found = fetch(torch.arange(20).to(dtype), np.array(INDICES))
    assert found.dtype == dtype
    assert found.tolist() == torch.tensor(INDICES).to(dtype).tolist()


def test_a_memory_mapped_array_is_read_in_ascending_order(tmp_path: Path) -> None:
    indices_read = []

    class Watched(np.memmap):
        def __getitem__(self, index):
            indices_read.append(np.asarray(index).tolist())
            return super().__getitem__(index)

    mapped = Watched(tmp_path / "values", dtype=np.int64, shape=(20,), mode="w+")
    indices_read.clear()
    fetch(mapped, np.array(INDICES))
    assert indices_read[0] == sorted(INDICES)


class Down(Many):
    """A data set that fails when it reads many samples."""

    def __getitems__(self, indices: list[int]) -> list:
        self.calls.append(indices)
        raise OSError("network down")


def test_an_error_of_many_samples_at_once_names_all_and_reads_none_again() -> None:
    dataset = Down(range(20))
    pipeline = make(dataset)
    with pytest.raises(OSError, match="network down") as caught:
        batch_at(pipeline, 1)
    samples = ", ".join(f"position {position}: {index_at(pipeline.order, position)}" for position in range(8, 16))
    assert caught.value.__notes__ == [f"while reading {samples}"]
    assert len(dataset.calls) == 1


def test_a_note_names_at_most_32_samples() -> None:
    with pytest.raises(OSError, match="network down") as caught:
        batch_at(make(Down(range(20)), batch_size=50), 0)
    (note,) = caught.value.__notes__
    assert note.count("SampleIndex") == 32
    assert note.endswith(", and 18 more")


class Short(list):
    def __getitems__(self, indices: list[int]) -> list:
        return [self[index] for index in indices[:-1]]


class Long(list):
    def __getitems__(self, indices: list[int]) -> list:
        return [self[index] for index in [*indices, 0]]


@pytest.mark.parametrize(("kind", "number"), [(Short, 7), (Long, 9)])
def test_a_data_set_that_returns_too_few_or_too_many_samples_is_refused(kind, number: int) -> None:
    with pytest.raises(ValueError, match=f"one sample per index, got {number} samples for 8 indices"):
        batch_at(make(kind(range(20))), 0)


@pytest.mark.parametrize("dataset", [np.arange(20), torch.arange(20)])
def test_an_array_can_not_be_indexed_by_epoch(dataset) -> None:
    with pytest.raises(ValueError, match='index must be "idx" for an array or tensor, got index="epoch"'):
        Source(dataset, index="epoch")


def mapped(path, mode: str = "r") -> np.ndarray:
    np.save(path, np.arange(600_000).reshape(-1, 2))
    return np.load(path, mmap_mode=mode)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_memory_map_is_opened_again_where_its_source_is_unpickled(tmp_path, mode: str) -> None:
    source = Source(mapped(tmp_path / "rows.npy", mode), fingerprint="a", transform=abs)
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert isinstance(copy.dataset, np.memmap)
    assert not copy.dataset.flags.writeable
    assert np.array_equal(copy.dataset, source.dataset)
    assert (copy.fingerprint, copy.transform, copy.index) == ("a", abs, "idx")


def test_a_view_of_a_memory_map_is_copied(tmp_path) -> None:
    source = Source(mapped(tmp_path / "rows.npy")[5:9])
    copy = pickle.loads(pickle.dumps(source))
    assert np.array_equal(copy.dataset, [[10, 11], [12, 13], [14, 15], [16, 17]])
    changed = mapped(tmp_path / "rows.npy", "c")
    changed[0] = -1
    assert pickle.loads(pickle.dumps(Source(changed))).dataset[0].tolist() == [-1, -1]
