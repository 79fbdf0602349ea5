"""Lookup for debugging: what a batch reads, where a sample is read, and where two orders diverge."""

from typing import Any, NamedTuple

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.data.orders.order import Order, SampleIndex, index_at, position_of
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import batch_stop, rank_positions, slot_of, step_bounds, step_of, step_start

__all__ = ["PositionedIndex", "SampleLocation", "describe_batch", "find_sample", "first_divergence"]

_CHUNK = 2**16
"""Number of positions that are compared at once."""


class PositionedIndex(NamedTuple):
    """A position, and the sample there."""

    position: int
    source: int
    epoch: int
    idx: int


class SampleLocation(NamedTuple):
    """Where a sample is read."""

    position: int
    step: int
    rank: int
    slot: int
    """Index of the sample in the rank's part of the batch."""


@checked
def describe_batch(
    pipeline: Pipeline[Any], step: AnyInt, rank: AnyInt = 0, world_size: AnyInt = 1
) -> list[PositionedIndex]:
    """Return the positions and samples that a rank reads at a step; no data is read.

    Law: `batch_at(pipeline, step, rank, world_size)` is made from these samples, in this order.

    Raises:
        IndexError: if the pipeline has no such step.
        ValueError: if `rank` is not in `0..world_size-1`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> describe_batch(pipeline, 3)
        [PositionedIndex(position=6, source=0, epoch=1, idx=2), PositionedIndex(position=7, source=0, epoch=1, idx=3)]
    """
    bounds = step_bounds(pipeline, step_start(pipeline, step))
    positions = rank_positions(bounds, rank=rank, world_size=world_size)
    columns = [part.tolist() for part in index_at(pipeline.order, positions)]
    return [PositionedIndex(*row) for row in zip(positions, *columns, strict=True)]


@checked
def find_sample(pipeline: Pipeline[Any], index: SampleIndex, *, world_size: AnyInt = 1) -> SampleLocation:
    """Return the position, step, rank and slot at which a sample is read.

    Law: the inverse of `describe_batch`: the sample is number `slot` of `describe_batch(pipeline, step, rank,
    world_size)`.

    Raises:
        TypeError: if the order has no inverse.
        IndexError: if the order never reaches that sample, or the pipeline drops it with its last batch.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> find_sample(pipeline, SampleIndex(source=0, epoch=1, idx=3))
        SampleLocation(position=7, step=3, rank=0, slot=1)
    """
    world_size = check_int(world_size, name="world_size", low=1)
    position = int(position_of(pipeline.order, index))
    step = step_of(pipeline, position)
    if batch_stop(pipeline, position) == position:
        message = f"index must be of a sample that is read, got {index} at position {position}, in a dropped batch."
        raise IndexError(message)
    bounds = step_bounds(pipeline, step_start(pipeline, step))
    return SampleLocation(position, step, *slot_of(bounds, position, world_size=world_size))


@checked
def first_divergence(order: Order, other: Order, *, limit: AnyInt = 10**7) -> int | None:
    """Return the first position at which two orders differ: their samples differ, or only one of the orders ends.

    Args:
        order: one order.
        other: another order.
        limit: number of positions to compare.

    Returns:
        The position, or None if the orders are equal below `limit`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> first_divergence(EpochOrder(length=5, seed=7), EpochOrder(length=5, seed=7, num_samples=12))
        12
    """
    limit = check_int(limit, name="limit")
    if order == other:
        return None
    ends = [end for end in (order.num_samples, other.num_samples) if end is not None]
    stop = min([limit, *ends])
    for start in range(0, stop, _CHUNK):
        positions = range(start, min(start + _CHUNK, stop))
        pairs = zip(index_at(order, positions), index_at(other, positions), strict=True)
        differs = np.any([one != two for one, two in pairs], axis=0)
        if differs.any():
            return start + int(differs.argmax())
    return stop if stop < limit and order.num_samples != other.num_samples else None
