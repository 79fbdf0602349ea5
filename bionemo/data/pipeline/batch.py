"""A pipeline as a function: the batch at a step, on a rank."""

from typing import Any, TypeVar

from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, as_int, check_index, check_int
from bionemo.data.orders.order import index_at
from bionemo.data.pipeline.assemble import assemble, assemble_sample
from bionemo.data.pipeline.pipeline import Pipeline

__all__ = [
    "batch_at",
    "batch_from",
    "batch_stop",
    "check_step",
    "end_position",
    "num_batches",
    "rank_positions",
    "sample_at",
]

Batch = TypeVar("Batch")


@checked
def num_batches(pipeline: Pipeline[Any], /) -> int | None:
    """Return the number of batches of a pipeline; None if it never ends.

    Law: it is the same on every rank, for any world size.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> num_batches(pipeline)
        3
    """
    if pipeline.order.num_samples is None:
        return None
    full, rest = divmod(end_position(pipeline), pipeline.batch_size)
    return full + (rest > 0 and not pipeline.drop_last)


def end_position(pipeline: Pipeline[Any], /) -> int:
    """Return the position after the last sample: the end of the order, or of int64 if it never ends.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> end_position(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42))
        9223372036854775807
    """
    return MAX_INT if pipeline.order.num_samples is None else int(pipeline.order.num_samples)


def batch_stop(pipeline: Pipeline[Any], start: AnyInt, /) -> int:
    """Return the position after the batch that starts at a position; `start` itself if no batch starts there.

    Law: a batch ends at the next multiple of the batch size, or at the end of the order. One that starts between two
    multiples is short, and the next one starts at a multiple again.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_stop(pipeline, 2), batch_stop(pipeline, 3), batch_stop(pipeline, 4), batch_stop(pipeline, 5)
        (4, 4, 5, 5)
    """
    start = as_int(start)
    # Not `start + batch_size`: where a step ends must not depend on where an earlier run stopped.
    stop = (start // pipeline.batch_size + 1) * pipeline.batch_size
    end = end_position(pipeline)
    if stop <= end:
        return stop
    # The order ends before the batch is full. `start` may also lie at or after the end: then nothing is left.
    return start if pipeline.drop_last else max(start, end)


def rank_positions(start: AnyInt, stop: AnyInt, *, rank: AnyInt, world_size: AnyInt) -> range:
    """Return the positions of a batch that a rank reads.

    Law: the parts of all ranks, in the order of the ranks, make up `range(start, stop)`; their sizes differ by at most
    one.

    Raises:
        ValueError: if `rank` is not in `0..world_size-1`.

    Example:
        >>> [rank_positions(10, 15, rank=rank, world_size=2) for rank in range(2)]
        [range(10, 12), range(12, 15)]
    """
    world_size = check_int(world_size, name="world_size", low=1)
    rank = check_int(rank, name="rank", high=world_size - 1)
    start, stop = as_int(start), as_int(stop)
    size = stop - start
    # Rank r begins at floor(r * size / world_size), which is where rank r - 1 ends: no gap and no overlap. Two floors
    # of numbers that are size / world_size apart differ by the floor or the ceiling of that.
    return range(start + rank * size // world_size, start + (rank + 1) * size // world_size)


@checked
def sample_at(pipeline: Pipeline[Any], position: AnyInt, /) -> Any:
    """Return the sample at a position, read and transformed; nothing else is read.

    Law: sample `k` of the batch that starts at position `p` is `sample_at(pipeline, p + k)`, unless the data set or
    transform draws from a global random state, which is seeded once per batch.

    Raises:
        IndexError: if the order has no such position.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> [sample_at(pipeline, position) for position in range(5)]
        ['a', 'b', 'e', 'd', 'c']
    """
    checked = check_index(position, stop=pipeline.order.num_samples, name="position")
    return assemble_sample(pipeline, checked, index_at(pipeline.order, checked))


def check_step(pipeline: Pipeline[Any], step: AnyInt, /) -> int:
    """Return a step, the number of a batch, as a Python int.

    Raises:
        IndexError: if the pipeline has no such step.
        TypeError: if it is not an integer.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> check_step(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42), 3)
        3
    """
    count = num_batches(pipeline)
    return int(check_index(step, stop=MAX_INT // pipeline.batch_size if count is None else count, name="step"))


@checked
def batch_from(pipeline: Pipeline[Batch], start: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch that starts at a position.

    Laws: it depends only on the arguments; the parts of all ranks together hold each sample of the batch once, whatever
    the world size.

    Args:
        pipeline: what is read.
        start: position of the batch's first sample. The batch ends at the next multiple of the batch size, so it is
            short if it starts between two.
        rank: data-parallel rank, 0..world_size-1.
        world_size: number of ranks that share the batch.

    Returns:
        The result of the pipeline's `collate` and `batch_transform`.

    Raises:
        IndexError: if no batch starts there.
        ValueError: if `rank` is not in `0..world_size-1`.

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
            f"start must be a position at which a batch starts, got start={start} with "
            f"num_samples={pipeline.order.num_samples} and drop_last={pipeline.drop_last}."
        )
        raise IndexError(message)
    positions = rank_positions(start, stop, rank=rank, world_size=world_size)
    return assemble(pipeline, positions, index_at(pipeline.order, positions))


@checked
def batch_at(pipeline: Pipeline[Batch], step: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch at a step; nothing else is read.

    Law: it equals `batch_from(pipeline, step * pipeline.batch_size, rank, world_size)`, and what a loader yields there.

    Args:
        pipeline: what is read.
        step: 0-based number of the batch.
        rank: data-parallel rank, 0..world_size-1.
        world_size: number of ranks that share the batch.

    Returns:
        The result of the pipeline's `collate` and `batch_transform`.

    Raises:
        IndexError: if the pipeline has no such step.
        ValueError: if `rank` is not in `0..world_size-1`.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_at(pipeline, 2), batch_at(pipeline, 1, rank=0, world_size=2)
        ('c', 'e')
    """
    return batch_from(pipeline, check_step(pipeline, step) * pipeline.batch_size, rank, world_size)
