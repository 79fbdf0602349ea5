"""Batches read by threads of this process."""

import threading
import time

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, Pipeline, Source, batch_at
from bionemo.data.pipes import loader


def make(sources, **fields) -> Pipeline:
    order = EpochOrder(length=40, seed=1, num_samples=100)
    return Pipeline(**{"order": order, "sources": sources, "batch_size": 8, "seed": 2, "collate": list, **fields})


class Meeting(list):
    """A data set that waits until two threads read at the same time."""

    def __init__(self, values) -> None:
        super().__init__(values)
        self.barrier = threading.Barrier(2, timeout=20)

    def __getitems__(self, indices: list[int]) -> list:
        self.barrier.wait()
        return [self[index] for index in indices]


def test_batches_are_read_at_the_same_time_and_delivered_in_order() -> None:
    order = EpochOrder(length=40, seed=1, num_samples=96)
    pipeline = make(Meeting(range(40)), order=order, seed_global_states=False)
    plain = make(list(range(40)), order=order)
    assert list(loader(pipeline, num_threads=2)) == [batch_at(plain, step) for step in range(12)]


def noisy(sample: int) -> tuple:
    return sample, float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_what_is_drawn_from_global_states_is_the_same_with_any_number_of_threads(num_threads: int) -> None:
    pipeline = make(Source(list(range(40)), transform=noisy))
    expected = [batch_at(pipeline, step) for step in range(13)]
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert list(loader(pipeline, num_threads=num_threads)) == expected
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_stops_resumes_and_pauses_are_as_without_threads() -> None:
    pipeline = make(list(range(40)))
    expected = [batch_at(pipeline, step) for step in range(13)]
    first = loader(pipeline, num_threads=3, batches_per_epoch=4)
    found = list(first)
    iterator = iter(first)
    found += [next(iterator), next(iterator)]
    second = loader(pipeline, num_threads=2)
    second.load_state_dict(first.state_dict())
    assert found + list(second) == expected


class Counted(list):
    """A data set that counts the batches that are read."""

    def __init__(self, values) -> None:
        super().__init__(values)
        self.reads: list[int] = []  # appending is safe from several threads

    broken: int | None = None

    def __getitems__(self, indices: list[int]) -> list:
        self.reads.append(len(indices))
        if self.broken in indices:
            raise OSError("disk on fire")
        return [self[index] for index in indices]


def test_an_error_is_raised_where_its_batch_would_come() -> None:
    dataset = Counted(range(40))
    dataset.broken = 13
    pipeline = make(dataset)
    plain = make(list(range(40)))
    iterator = iter(loader(pipeline, num_threads=4))
    step = next(step for step in range(13) if 13 in batch_at(plain, step))
    assert [next(iterator) for _ in range(step)] == [batch_at(plain, number) for number in range(step)]
    with pytest.raises(OSError, match="disk on fire") as caught:
        next(iterator)
    assert "while reading position" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="this iteration ended with OSError"):
        next(iterator)


def test_only_a_few_batches_are_read_ahead_and_none_after_a_pause_or_a_break() -> None:
    dataset = Counted(range(40))
    iterator = iter(loader(make(dataset), num_threads=2, prefetch_factor=2, batches_per_epoch=9))
    for number in range(1, 4):
        next(iterator)
        assert len(dataset.reads) <= number + 4
    iterator.__next__()
    del iterator
    time.sleep(0.2)
    seen = len(dataset.reads)
    time.sleep(0.2)
    assert len(dataset.reads) == seen <= 8
    dataset.reads.clear()
    assert len(list(loader(make(dataset), num_threads=2, batches_per_epoch=3))) == 3
    assert len(dataset.reads) == 3


def test_threads_and_processes_exclude_each_other() -> None:
    with pytest.raises(
        ValueError, match="num_threads must be 0 with worker processes or pin_memory, got num_threads=2"
    ):
        loader(make(range(40)), num_threads=2, num_workers=1)
    with pytest.raises(ValueError, match="num_threads must be in 0"):
        loader(make(range(40)), num_threads=-1)
