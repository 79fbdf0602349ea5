"""A pipeline is a function: the batch at a step, on a rank."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from bionemo.core.utils.checks import AnyInt, check_int
from bionemo.core.utils.hashing import fold_in
from bionemo.core.utils.random_utils import make_generator
from bionemo.data.order import SampleIndex, indices_at
from bionemo.data.pipeline import Pipeline, Source

__all__ = [
    "assemble",
    "batch_at",
    "batch_from",
    "batch_stop",
    "num_batches",
    "rank_positions",
    "read_sample",
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


def read_sample(sources: Sequence[Source], index: SampleIndex, /) -> Any:
    """Return a sample as its data set holds it.

    Example:
        >>> read_sample([Source("abc"), Source("xyz")], SampleIndex(source=1, epoch=0, idx=2))
        'z'
    """
    return sources[index.source].dataset[index.idx]


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
    seeds = fold_in(seed, "row", torch.tensor(positions, dtype=torch.int64, device="cpu"))
    return batch_transform(batch, seeds=seeds)


def assemble(pipeline: Pipeline[Batch], positions: Sequence[int], indices: Sequence[SampleIndex], /) -> Batch:
    """Return the batch of some positions, given what stands there: the one function below every way to a batch.

    Raises:
        Exception: what a data set or transform raises, with a note that names the position, source, epoch and idx.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> assemble(pipeline, range(2), indices_at(order, range(2))) == batch_at(pipeline, 0)
        True
    """
    samples = []
    for position, index in zip(positions, indices, strict=True):
        try:
            sample = read_sample(pipeline.sources, index)
            transform = pipeline.sources[index.source].transform
            if transform is not None:
                sample = transform_sample(transform, sample, seed=pipeline.seed, position=position)
        except Exception as error:
            error.add_note(f"while reading position {position}: {index}")
            raise
        samples.append(sample)
    batch = pipeline.collate(samples)
    if pipeline.batch_transform is None:
        return batch
    return transform_batch(pipeline.batch_transform, batch, seed=pipeline.seed, positions=positions)


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
    return assemble(pipeline, positions, indices_at(pipeline.order, positions))


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
    step = check_int(step, name="step", low=-(2**63))
    count = num_batches(pipeline)
    if step < 0 or (count is not None and step >= count):
        message = f"step must be in 0..{'' if count is None else count - 1}, got step={step}."
        raise IndexError(message)
    return batch_from(pipeline, step * pipeline.batch_size, rank, world_size)
