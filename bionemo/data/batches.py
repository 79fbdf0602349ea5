"""A pipeline is a function: the batch at a step, on a rank."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, IntArray, check_int
from bionemo.core.utils.hashing import fold_in
from bionemo.core.utils.random_utils import make_generator
from bionemo.data.multi_epoch_dataset import EpochIndex
from bionemo.data.order import Order, SampleIndex, index_at
from bionemo.data.pipeline import Pipeline, Source
from bionemo.data.reading import fetch

__all__ = [
    "assemble",
    "batch_at",
    "batch_from",
    "batch_stop",
    "check_step",
    "collating_note",
    "columns_at",
    "num_batches",
    "rank_positions",
    "read_sample",
    "read_samples",
    "read_source",
    "sample_at",
    "transform_batch",
    "transform_sample",
]

Batch = TypeVar("Batch")


def num_batches(pipeline: Pipeline[Any], /) -> int | None:
    """Return how many batches a pipeline has; None for no end.

    Law: every rank of any world size has as many.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> num_batches(pipeline)
        3
    """
    if pipeline.order.num_samples is None:
        return None
    full, rest = divmod(pipeline.order.num_samples, pipeline.batch_size)
    return full + (rest > 0 and pipeline.tail == "short")


def batch_stop(pipeline: Pipeline[Any], start: int, /) -> int:
    """Return the position behind the batch that starts at a position, which is `start` itself where nothing is left.

    A batch ends at the next multiple of the batch size: one that starts between two is short, and the next is on the
    grid again.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_stop(pipeline, 2), batch_stop(pipeline, 3), batch_stop(pipeline, 4), batch_stop(pipeline, 5)
        (4, 4, 5, 5)
    """
    stop = (start // pipeline.batch_size + 1) * pipeline.batch_size
    if pipeline.order.num_samples is None or stop <= pipeline.order.num_samples:
        return stop
    return max(start, pipeline.order.num_samples) if pipeline.tail == "short" else start


def rank_positions(start: int, stop: int, *, rank: AnyInt, world_size: AnyInt) -> range:
    """Return the positions of a batch that a rank reads.

    Law: the slices of all ranks, one after the other, are `range(start, stop)`, and their sizes differ by at most one.

    Raises:
        ValueError: if `rank` is not in `0..world_size-1`.

    Example:
        >>> [rank_positions(10, 15, rank=rank, world_size=2) for rank in range(2)]
        [range(10, 12), range(12, 15)]
    """
    world_size = check_int(world_size, name="world_size", low=1)
    rank = check_int(rank, name="rank", high=world_size - 1)
    size = stop - start
    return range(start + rank * size // world_size, start + (rank + 1) * size // world_size)


def read_sample(source: Source, index: SampleIndex, /) -> Any:
    """Return one sample as its data set holds it.

    Example:
        >>> read_sample(Source("xyz"), SampleIndex(source=0, epoch=0, idx=2))
        'z'
    """
    dataset: Any = source.dataset
    return dataset[index.idx] if source.index == "idx" else dataset[EpochIndex(index.epoch, index.idx)]


def read_source(source: Source, index: SampleIndex, /) -> Any:
    """Return samples of one source as its data set holds them.

    Args:
        source: what is read.
        index: which samples, in one-axis int64 arrays; the source in it isn't looked at.

    Returns:
        A tensor of a tensor, an array of an array, and a list of anything else.

    Raises:
        Exception: what the data set raises, with a note that names the sample.

    Example:
        >>> read_source(Source("xyz"), SampleIndex(source=np.zeros(2), epoch=np.zeros(2), idx=np.array([2, 0])))
        ['z', 'x']
    """
    if source.index == "idx":
        return fetch(source.dataset, index.idx)
    return fetch(source.dataset, list(map(EpochIndex, index.epoch.tolist(), index.idx.tolist())))


def read_samples(sources: Sequence[Source], index: SampleIndex, /) -> Any:
    """Return samples of several sources as their data sets hold them.

    Args:
        sources: what is read.
        index: which samples, in one-axis int64 arrays.

    Returns:
        What `read_source` answers for the one source, or a list.

    Example:
        >>> index = SampleIndex(source=np.array([1, 0]), epoch=np.zeros(2), idx=np.array([2, 0]))
        >>> read_samples([Source("abc"), Source("xyz")], index)
        ['z', 'a']
    """
    if len(sources) == 1:
        return read_source(sources[0], index)
    samples: list[Any] = [None] * len(index.source)
    for number in np.unique(index.source).tolist():
        places = np.flatnonzero(index.source == number)
        found = read_source(sources[number], SampleIndex(*(part[places] for part in index)))
        for place, sample in zip(places.tolist(), found, strict=True):
            samples[place] = sample
    return samples


def transform_sample(transform: Callable[..., Any], sample: Any, /, *, seed: int, position: int) -> Any:
    """Return a sample transformed with its own generator, made from the pipeline's seed and the sample's position.

    Example:
        >>> def jitter(sample, *, generator):
        ...     return sample + int(torch.randint(100, (), generator=generator))
        >>> transform_sample(jitter, 1000, seed=42, position=3)
        1036
    """
    return transform(sample, generator=make_generator(seed, "sample", position))


def transform_batch(
    batch_transform: Callable[..., Batch], batch: Any, /, *, seed: int, positions: Sequence[int]
) -> Batch:
    """Return a batch transformed with a seed a row, made from the pipeline's seed and each row's position.

    Example:
        >>> transform_batch(lambda batch, *, seeds: seeds % 100, None, seed=42, positions=[3, 4])
        tensor([ 5, 46])
    """
    return batch_transform(batch, seeds=_seeds(seed, "row", positions))


def _seeds(seed: int, purpose: str, positions: Sequence[int]) -> Tensor:
    seeds: Tensor = fold_in(seed, purpose, torch.tensor(positions, dtype=torch.int64, device="cpu"))
    return seeds


def _with_transforms(pipeline: Pipeline[Any], samples: Any, positions: Sequence[int], index: SampleIndex) -> list[Any]:
    """Return samples, each transformed with its own generator."""
    sources, transformed = pipeline.sources, []
    numbers = index.source.tolist()
    for place, (sample, seed) in enumerate(
        zip(samples, _seeds(pipeline.seed, "sample", positions).tolist(), strict=True)
    ):
        transform = sources[numbers[place]].transform
        generator = torch.Generator().manual_seed(seed)
        try:
            transformed.append(sample if transform is None else transform(sample, generator=generator))
        except Exception as error:
            _blame(error, positions, index, place)
            raise
    return transformed


def _blame(error: Exception, positions: Sequence[int], index: SampleIndex, place: int) -> None:
    """Add to an error which sample it came from."""
    where = SampleIndex(*(int(part[place]) for part in index))
    error.add_note(f"while reading position {positions[place]}: {where}")


def _first_that_fails(sources: Sequence[Source], index: SampleIndex) -> int | None:
    """Return the place of the first sample that can't be read alone; None if each can."""
    for place in range(len(index.idx)):
        try:
            read_samples(sources, SampleIndex(*(part[place : place + 1] for part in index)))
        except Exception:  # noqa: BLE001 - whatever it is, it is looked for
            return place
    return None


def collating_note(places: Iterable[tuple[int, SampleIndex]], /) -> str:
    """Return what an error in a collate is noted with: what it was handed.

    Example:
        >>> collating_note([(7, SampleIndex(source=0, epoch=1, idx=2))])
        'while collating position 7: SampleIndex(source=0, epoch=1, idx=2)'
    """
    return "while collating " + ", ".join(f"position {position}: {index}" for position, index in places)


def assemble(pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex, /) -> Batch:
    """Return the batch of some positions, given what stands there: the one function below every way to a batch.

    Args:
        pipeline: what is read.
        positions: places in the training order.
        index: what stands there, in one-axis int64 arrays.

    Raises:
        Exception: what a data set or transform raises, with a note that names the position, source, epoch and idx, and
            what a collate raises, with one that names those of all its samples.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> assemble(pipeline, range(2), columns_at(order, range(2))) == batch_at(pipeline, 0)
        True
    """
    try:
        samples = read_samples(pipeline.sources, index)
    except Exception as error:
        place = _first_that_fails(pipeline.sources, index)
        if place is None:
            error.add_note(f"while reading positions {list(positions)}: each can be read alone")
        else:
            _blame(error, positions, index, place)
        raise
    if len(samples) != len(positions):
        message = f"a data set must give as many samples as it is asked for, got {len(samples)} for {len(positions)}."
        raise ValueError(message)
    if any([source.transform is not None for source in pipeline.sources]):  # noqa: C419 - faster than a generator
        samples = _with_transforms(pipeline, samples, positions, index)
    try:
        batch = samples if pipeline.collate is None else pipeline.collate(list(samples))
        if pipeline.batch_transform is None:
            return batch
        return transform_batch(pipeline.batch_transform, batch, seed=pipeline.seed, positions=positions)
    except Exception as error:
        places = zip(positions, zip(*(part.tolist() for part in index), strict=True), strict=True)
        error.add_note(collating_note((position, SampleIndex(*place)) for position, place in places))
        raise


def columns_at(order: Order, positions: Sequence[int] | IntArray, /) -> SampleIndex:
    """Return what stands at many positions, in one-axis int64 arrays.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> columns_at(EpochOrder(length=5, seed=7), range(5)).idx
        array([0, 1, 4, 3, 2])
    """
    if isinstance(positions, range):
        places = torch.arange(positions.start, positions.stop, positions.step, device="cpu")
    else:
        places = torch.as_tensor(positions, dtype=torch.int64, device="cpu")
    return SampleIndex(*(part.numpy() for part in index_at(order, places)))


def sample_at(pipeline: Pipeline[Any], position: AnyInt, /) -> Any:
    """Return the sample at a position, read and transformed, without reading any other.

    Law: sample `k` of the batch that starts at position `p` is `sample_at(pipeline, p + k)`.

    Raises:
        IndexError: if the order has no such position.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> [sample_at(pipeline, position) for position in range(5)]
        ['a', 'b', 'e', 'd', 'c']
    """
    single = attrs.evolve(pipeline, collate=list, batch_transform=None)
    place = check_int(position, name="position", low=-(2**63))
    index_at(pipeline.order, place)
    return assemble(single, (place,), columns_at(pipeline.order, (place,)))[0]


def check_step(pipeline: Pipeline[Any], step: AnyInt, /) -> int:
    """Return the number of a batch as a Python int.

    Raises:
        IndexError: if the pipeline has no such batch.
        TypeError: if it is no integer.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> check_step(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42), 3)
        3
    """
    step = check_int(step, name="step", low=-(2**63))
    count = num_batches(pipeline)
    if step < 0 or (count is not None and step >= count):
        message = f"step must be in 0..{'' if count is None else count - 1}, got step={step}."
        raise IndexError(message)
    return step


def batch_from(pipeline: Pipeline[Batch], start: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch that starts at a position.

    Laws: it depends on nothing but the arguments; the parts of all ranks together hold the samples of the batch, each
    once, whatever the world size.

    Args:
        pipeline: what is read.
        start: position of the batch's first sample. Between two multiples of the batch size, the batch is the short one
            that returns to that grid.
        rank: data-parallel place, 0..world_size-1.
        world_size: how many ranks share the batch.

    Returns:
        What the pipeline's `collate` (and `batch_transform`) make of the samples.

    Raises:
        IndexError: if no batch starts there.
        ValueError: if the rank isn't below the world size.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_from(pipeline, 0), batch_from(pipeline, 1), batch_from(pipeline, 0, rank=1, world_size=2)
        ('ab', 'b', 'b')
    """
    start = check_int(start, name="start", low=-(2**63))
    stop = batch_stop(pipeline, start) if start >= 0 else start
    if stop <= start:
        message = (
            f"start must be a position at which a batch starts, got start={start} "
            f"of an order with num_samples={pipeline.order.num_samples} and tail={pipeline.tail!r}."
        )
        raise IndexError(message)
    positions = rank_positions(start, stop, rank=rank, world_size=world_size)
    return assemble(pipeline, positions, columns_at(pipeline.order, positions))


def batch_at(pipeline: Pipeline[Batch], step: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch of a step, without reading any other.

    Law: `batch_at(pipeline, step) == batch_from(pipeline, step * pipeline.batch_size)`, and what a loader yields at
    that step.

    Args:
        pipeline: what is read.
        step: 0-based number of the batch.
        rank: data-parallel place, 0..world_size-1.
        world_size: how many ranks share the batch.

    Raises:
        IndexError: if there is no such step.
        ValueError: if the rank isn't below the world size.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_at(pipeline, 2), batch_at(pipeline, 1, rank=0, world_size=2)
        ('c', 'e')
    """
    return batch_from(pipeline, check_step(pipeline, step) * pipeline.batch_size, rank, world_size)
