"""A pipeline as a function: the batch at a step, on a rank."""

from typing import Any, TypeVar

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_index, check_int
from bionemo.data.orders.order import index_at
from bionemo.data.pipeline.assemble import assemble, assemble_sample
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import rank_positions, step_bounds, step_start

__all__ = ["batch_at", "batch_from", "sample_at"]

Batch = TypeVar("Batch")


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


@checked
def batch_from(pipeline: Pipeline[Batch], start: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch that starts at a position.

    Laws: it depends only on the arguments; the parts of all ranks together hold each sample of the batch once, whatever
    the world size.

    Args:
        pipeline: what is read.
        start: position of the batch's first sample. The batch ends where its step does, so it is short if it starts
            within one.
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
    bounds = step_bounds(pipeline, start) if start >= 0 else (start,)
    if bounds[-1] <= start:
        message = (
            f"start must be a position at which a batch starts, got start={start} with "
            f"num_samples={pipeline.order.num_samples} and drop_last={pipeline.drop_last}."
        )
        raise IndexError(message)
    positions = rank_positions(bounds, rank=rank, world_size=world_size)
    return assemble(pipeline, positions, index_at(pipeline.order, positions))


@checked
def batch_at(pipeline: Pipeline[Batch], step: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1) -> Batch:
    """Return a rank's part of the batch at a step; nothing else is read.

    Law: it equals `batch_from(pipeline, step * pipeline.batch_size, rank, world_size)`, and what a loader yields there.
    For a planned order, where a step begins is known after planning the windows before it, at 0.1 to 6 us per sample;
    what was planned is kept.

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
    return batch_from(pipeline, step_start(pipeline, step), rank, world_size)
