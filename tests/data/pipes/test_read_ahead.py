"""The samples of many batches, read by one call."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    ResampleOrder,
    Source,
    batch_at,
    num_batches,
)
from bionemo.data.pipes import loader

pytestmark = [
    pytest.mark.usefixtures("no_type_checks"),  # the checker draws from Python's random state
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # on a machine with one core
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true"),  # on a machine without a GPU
]

ORDER = EpochOrder(length=40, seed=1, num_samples=100)


class Recorded(Dataset):
    """A data set that notes what it was asked for."""

    def __init__(self, length: int = 40) -> None:
        self.length = length
        self.calls: list[list[int]] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, idx: int) -> list[int]:
        return self.__getitems__([idx])[0]

    def __getitems__(self, indices: list[int]) -> list[list[int]]:
        self.calls.append(indices)
        return [[index, index * 10] for index in indices]


class Chunked(Recorded):
    """Its samples lie in chunks of every fourth one."""

    def chunk_of(self, idx: np.ndarray) -> np.ndarray:
        return idx % 4


def make(sources, **fields) -> Pipeline:
    return Pipeline(**{"order": ORDER, "sources": sources, "batch_size": 8, "seed": 2, "collate": list, **fields})


def grow(sample: list, *, generator: torch.Generator) -> list:
    """Change a sample, as no transform should, but some do."""
    sample.append(int(torch.randint(100, (), generator=generator)))
    return sample


@pytest.mark.parametrize("options", [{}, {"num_threads": 2}, {"num_workers": 2}, {"pin_memory": True}])
@pytest.mark.parametrize("read_ahead", [2, 5, 100])
def test_batches_are_the_same_for_any_number(read_ahead: int, options: dict) -> None:
    order = MixtureOrder(orders=[EpochOrder(length=40, seed=1), ResampleOrder(length=5, seed=3)], weights=[2, 1])
    for pipeline in (
        make(Source(Recorded(), transform=grow)),
        make((Recorded(), Source(Recorded(5), transform=grow)), order=order),
        make(torch.arange(80, dtype=torch.uint8).reshape(40, 2)),
        make(
            Recorded(),
            order=PackedOrder(order=ORDER, lengths=[3] * 40, max_tokens=9, bins_per_step=2, window_size=20, seed=1),
            batch_size=None,
        ),
    ):
        batches = loader(pipeline, rank=1, world_size=2, read_ahead=read_ahead, batches_per_epoch=6, **options)
        found, expected = [*batches, *batches], [batch_at(pipeline, step, 1, 2) for step in range(12)]
        assert [list(map(list, batch)) for batch in found] == [list(map(list, batch)) for batch in expected]
        batches.close()


def test_a_call_asks_for_the_samples_of_a_stretch_in_ascending_order_and_once() -> None:
    dataset = Recorded(5)
    list(loader(make(dataset, order=ResampleOrder(length=5, seed=1, num_samples=40)), read_ahead=3))
    assert len(dataset.calls) == 2
    assert all(call == sorted(set(call)) for call in dataset.calls)


def test_stretches_are_the_same_wherever_a_run_resumes() -> None:
    calls = []
    for start in (0, 8, 24, 28, 40):
        dataset = Recorded()
        list(loader(make(dataset), read_ahead=3, start=start))
        calls.append(dataset.calls)
    assert calls[0] == [sorted(ORDER.index_at(np.arange(0, 24)).idx), *calls[2]]
    assert calls[1][1:] == calls[2]
    assert calls[3][1:] == calls[2][1:] == calls[4][1:]


@pytest.mark.parametrize(("length", "batch_size"), [(960, 8), (1000, 5), (960, 80)])
def test_each_block_is_read_once_if_windows_end_with_batches(length: int, batch_size: int) -> None:
    order = BlockShuffleOrder(length=length, block_size=10, blocks_per_window=8, seed=1, num_samples=2 * length)
    dataset = Recorded(length)
    list(loader(make(dataset, order=order, batch_size=batch_size), read_ahead=100))
    assert len(dataset.calls) == 2 * -(-length // 80)
    reads = Counter(block for call in dataset.calls for block in {idx // 10 for idx in call})
    assert set(reads.values()) == {2}  # once per epoch


def test_only_the_last_batch_of_a_window_reads_blocks_again() -> None:
    order = BlockShuffleOrder(length=9_973, block_size=10, blocks_per_window=64, seed=1, num_samples=9_973)
    dataset = Recorded(9_973)
    list(loader(make(dataset, order=order, batch_size=7), read_ahead=1000))
    reads = sum(len({idx // 10 for idx in call}) for call in dataset.calls)
    assert len(dataset.calls) == 16
    assert 998 <= reads <= 998 + 15 * 6


def test_window_stop_is_where_the_blocks_change() -> None:
    for length, block_size, blocks in ((97, 4, 3), (100, 7, 5), (30, 40, 1), (64, 8, 8)):
        order = BlockShuffleOrder(length=length, block_size=block_size, blocks_per_window=blocks, seed=3)
        position = 2 * length
        windows = []
        while position < 3 * length:
            stop = order.window_stop(position)
            assert {order.window_stop(within) for within in range(position, stop)} == {stop}
            windows.append({idx // block_size for idx in order.index_at(np.arange(position, stop)).idx})
            position = stop
        assert position == 3 * length
        assert sum(map(len, windows)) == len(set().union(*windows)) == -(-length // block_size)


def test_samples_are_read_chunk_by_chunk_if_a_data_set_says_how_it_is_chunked() -> None:
    dataset = Chunked()
    list(loader(make(dataset, order=EpochOrder(length=40, seed=1, num_samples=80)), read_ahead=5))
    for call in dataset.calls:
        assert call == sorted(call, key=lambda idx: (idx % 4, idx))


class Failing(Recorded):
    def __getitems__(self, indices: list[int]) -> list[list[int]]:
        if 13 in indices:
            message = "no such residue"
            raise LookupError(message)
        return super().__getitems__(indices)


@pytest.mark.parametrize("options", [{}, {"num_threads": 2}, {"num_workers": 2}])
def test_an_error_is_raised_where_its_batch_would_come(options: dict) -> None:
    order = EpochOrder(length=40, seed=1, num_samples=40, shuffle=False)
    batches = loader(make(Failing(), order=order, batch_size=4), read_ahead=8, **options)
    found = []
    with pytest.raises(LookupError, match="no such residue") as caught:
        found += iter(batches)
    assert "position 13: SampleIndex(source=0, epoch=0, idx=13)" in "".join(caught.value.__notes__) + str(caught.value)
    assert batches.consumed_samples == 12
    batches.close()


class Drawing(Recorded):
    def __getitems__(self, indices: list[int]) -> list:
        return [(index, random.random(), float(np.random.rand()), float(torch.rand(()))) for index in indices]


def test_a_data_set_that_draws_from_a_global_state_is_read_batch_by_batch() -> None:
    pipeline = make(Drawing())
    with pytest.warns(UserWarning, match="read_ahead has no effect: a data set draws from a global random state"):
        found = list(loader(pipeline, read_ahead=4))
    assert found == [batch_at(pipeline, step) for step in range(num_batches(pipeline))]


def test_a_sample_that_occurs_twice_is_read_once_and_is_two_objects() -> None:
    pipeline = make(Recorded(5), order=ResampleOrder(length=5, seed=1, num_samples=40))
    samples = [sample for batch in loader(pipeline, read_ahead=5) for sample in batch]
    assert len({id(sample) for sample in samples}) == 40


def test_a_change_of_a_batch_is_none_of_the_next_one() -> None:
    pipeline = make(torch.arange(40), order=ResampleOrder(length=40, seed=1, num_samples=40), collate=None)
    expected = [batch_at(pipeline, step) for step in range(5)]
    for batch, other in zip(loader(pipeline, read_ahead=5), expected, strict=True):
        assert torch.equal(batch, other)
        batch.fill_(-1)


class Announced(Recorded):
    def __init__(self) -> None:
        super().__init__()
        self.announced: list[list[int]] = []

    def prefetch(self, idx: np.ndarray) -> None:
        self.announced.append(idx.tolist())


@pytest.mark.parametrize("read_ahead", [1, 3])
def test_a_data_set_that_can_prefetch_is_told_what_the_next_stretch_reads(read_ahead: int) -> None:
    dataset = Announced()
    list(loader(make(dataset), read_ahead=read_ahead))
    assert dataset.announced == [sorted(call) for call in dataset.calls[1:]]


@pytest.mark.parametrize("read_ahead", [0, -1])
def test_read_ahead_must_be_positive(read_ahead: int) -> None:
    with pytest.raises(ValueError, match="read_ahead"):
        loader(make(Recorded()), read_ahead=read_ahead)
