"""Loaders of shuffled batches of 32 from memory, their resumes and their workers."""

import importlib
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, drain, limited, race, timed
from benchmarks.record import Measurement
from bionemo.data import EpochOrder, Pipeline, Source
from bionemo.data.pipes import loader

LENGTH = 200_000
BATCH = 32
FEW = 10_000
"""Samples read of a loader that takes tens of microseconds per sample, however many there are."""


class WithGetitems:
    """A data set with `__getitems__`. Its numbers are contiguous: cache misses would slow down both sides alike."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = array("q", numbers)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> int:
        """Return one sample."""
        return self.numbers[index]

    def __getitems__(self, indices: list[int]) -> list[int]:
        """Return several samples."""
        return [self.numbers[index] for index in indices]


def slow(sample: int, *, generator: torch.Generator) -> int:  # noqa: ARG001 - the signature of a transform
    """Return the sample after a millisecond."""
    time.sleep(0.001)
    return sample


def make(dataset: Any, length: int = LENGTH, **fields: Any) -> Pipeline[Any]:
    """Return a pipeline over one shuffled epoch. As in the others, nothing here draws from the global states."""
    order = EpochOrder(length=length, seed=42, num_samples=length)
    given = {"seed_global_states": False} | fields
    return Pipeline(order=order, sources=dataset, batch_size=BATCH, seed=42, **given)


def of_torch(kind: Any, dataset: Any, collate: Any = None, length: int = LENGTH) -> Callable[[], Iterable[Any]]:
    """Return a function that makes torch's DataLoader, or torchdata's StatefulDataLoader, and some of its batches."""
    options = {"batch_size": BATCH, "shuffle": True, "collate_fn": collate}
    return lambda: islice(kind(dataset, generator=torch.Generator(), **options), length // BATCH)


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare loaders of each kind of data set, then seeding, resumes and workers."""
    yield from kinds(effort)
    yield from seeding(effort)
    yield from resumes(effort)
    if not effort.is_quick:
        yield from workers(effort)


def kinds(effort: Effort) -> Iterator[Measurement]:
    """Compare each kind of data set with torch's loaders, and a range with grain and datasets."""
    for name, dataset, collate, target in (
        ("a list", list(range(LENGTH)), list, 1.2),
        ("a data set with __getitems__", WithGetitems(range(LENGTH)), list, 1.5),
        ("a tensor", torch.arange(LENGTH * 8).reshape(LENGTH, 8), None, 4),
    ):
        mine = partial(loader, make(dataset, collate=collate))
        yield from race(
            f"time per sample, {name}",
            Call("loader", partial(drain, mine), per=LENGTH),
            Call("DataLoader(shuffle=True)", partial(drain, of_torch(DataLoader, dataset, collate)), LENGTH, target),
            Call(
                "StatefulDataLoader(shuffle=True)",
                partial(drain, of_torch(StatefulDataLoader, dataset, collate)),
                per=LENGTH,
            ),
            effort=effort,
        )
    yield from race(
        "time per sample, a range",
        Call("loader, batches of 32", partial(drain, partial(loader, make(range(LENGTH), collate=list))), per=LENGTH),
        call_of(
            peers.grain_dataset(),
            lambda dataset: partial(drain, lambda: without_threads(dataset.range(FEW).shuffle(seed=42))),
            "range(n).shuffle, without batches, without threads",
            per=FEW,
            least_ratio=5,
        ),
        call_of(
            peers.grain_dataset(),
            lambda dataset: partial(drain, lambda: without_threads(batches_of_grain(dataset, FEW))),
            "range(n).shuffle.batch(32), without threads",
            per=FEW,
            least_ratio=5,
        ),
        call_of(
            peers.huggingface_dataset(),
            lambda datasets: partial(drain, of_torch(DataLoader, shuffled(datasets), list, FEW)),
            "in NumPy format, with DataLoader",
            per=FEW,
        ),
        effort=effort,
    )


def batches_of_grain(dataset: Any, length: int) -> Any:
    """Return grain's batches of a shuffled range."""
    return dataset.range(length).shuffle(seed=42).batch(BATCH, batch_fn=list)


def without_threads(dataset: Any) -> Any:
    """Return grain's data set as an iterable that reads in this thread: the fastest way if reading takes no time."""
    options = importlib.import_module("grain").ReadOptions(num_threads=0, prefetch_buffer_size=0)
    return dataset.to_iter_dataset(options)


def shuffled(datasets: Any) -> Any:
    """Return a Hugging Face data set of numbers in memory."""
    return datasets.Dataset.from_dict({"idx": np.arange(LENGTH)}).with_format("numpy")


def seeding(effort: Effort) -> Iterator[Measurement]:
    """Measure what seeding the global random states costs, which our loader does unless it is told not to."""
    dataset = WithGetitems(range(LENGTH))
    seeded, unseeded = (make(dataset, collate=list, seed_global_states=is_seeded) for is_seeded in (True, False))
    (found,) = race(
        "seeding",
        Call("with", partial(drain, partial(loader, seeded)), per=LENGTH / BATCH),
        Call("without", partial(drain, partial(loader, unseeded)), per=LENGTH / BATCH, is_ours=True),
        effort=effort,
    )
    assert found.peer is not None  # noqa: S101 - race returns a peer for each
    differences = [with_ - without for with_, without in zip(found.ours.rounds, found.peer.rounds, strict=True)]
    what = "seeding the global random states, time per batch"
    yield limited(what, "loader, with less without", *differences, unit="s", limit=100e-6)


def resumes(effort: Effort) -> Iterator[Measurement]:
    """Compare the time to the first batch after a resume in the middle of an epoch of a list."""
    long = make(range(10**9), 10**9)
    state = loader(long, start=5 * 10**8).state_dict()

    def resume() -> None:
        batches = loader(long)
        batches.load_state_dict(state)
        next(iter(batches))

    first = lambda: next(iter(loader(long)))  # noqa: E731 - one line says it
    yield timed("first batch of 10**9 samples", "loader", first, effort=effort, limit=50e-3)
    yield timed("first batch of 10**9 samples, resumed at 5 * 10**8", "loader", resume, effort=effort, limit=5e-3)
    length = effort.pick(10**6, LENGTH)
    dataset, middle = range(length), length // 2
    pipeline = make(dataset, length, collate=list)
    ours = loader(pipeline, start=middle).state_dict()

    def mine() -> None:
        batches = loader(pipeline)
        batches.load_state_dict(ours)
        next(iter(batches))

    yield from race(
        f"first batch of {length:,} samples, resumed in the middle",
        Call("loader.load_state_dict", mine),
        Call("StatefulDataLoader.load_state_dict, which draws the order and replays it", resumed_by_torch(dataset)),
        call_of(peers.grain_dataset(), partial(resumed_by_grain, length=length), "iterator, set_state"),
        effort=effort,
    )


def resumed_by_torch(dataset: Any) -> Callable[[], None]:
    """Return a function that resumes a StatefulDataLoader in the middle."""
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "collate_fn": list}
    before = StatefulDataLoader(dataset, generator=torch.Generator(), **options)
    iterator = iter(before)
    for _ in islice(iterator, len(dataset) // 2 // BATCH):
        pass
    state = before.state_dict()

    def resume() -> None:
        batches = StatefulDataLoader(dataset, generator=torch.Generator(), **options)
        batches.load_state_dict(state)
        next(iter(batches))

    return resume


def resumed_by_grain(dataset: Any, length: int) -> Callable[[], None]:
    """Return a function that resumes grain's iterator in the middle."""
    batches = without_threads(batches_of_grain(dataset, length))
    iterator = iter(batches)
    next(iterator)
    state = iterator.get_state()
    state["next_index"] = length // 2 // BATCH

    def resume() -> None:
        again = iter(batches)
        again.set_state(state)
        next(again)

    return resume


def workers(effort: Effort) -> Iterator[Measurement]:
    """Compare two worker processes with one, for a transform that takes a millisecond."""
    pipelines = [make(Source(range(2000), transform=slow), 2000) for _ in range(2)]
    batches = [loader(one, restart=True, num_workers=number) for one, number in zip(pipelines, (2, 1), strict=True)]
    two, one = (partial(drain, lambda held=held: held) for held in batches)
    calls = (Call("two workers", two, 2000), Call("one worker", one, 2000, 1.6, is_ours=True))
    found = race("time per sample, a transform of 1 ms", *calls, effort=effort)
    for held in batches:
        held.close()
    yield from found
