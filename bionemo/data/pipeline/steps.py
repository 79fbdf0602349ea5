"""Where steps begin and end: the only code that knows how they are cut.

With a `batch_size`, steps end at its multiples. A planned order makes its own steps, out of bins.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, as_int, check_index, check_int
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.fixed_steps import num_fixed_steps
from bionemo.data.pipeline.pipeline import Pipeline

__all__ = [
    "batch_stop",
    "check_step",
    "end_position",
    "next_pause",
    "num_batches",
    "planned_bins",
    "rank_positions",
    "slot_of",
    "step_bounds",
    "step_of",
    "step_start",
]


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
    multiples is short, and the next one starts at a multiple again. A planned order ends it with the step's last bin.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch_stop(pipeline, 2), batch_stop(pipeline, 3), batch_stop(pipeline, 4), batch_stop(pipeline, 5)
        (4, 4, 5, 5)
    """
    start, end = as_int(start), end_position(pipeline)
    if pipeline.batch_size is None:
        return start if start >= end else int(pipeline.planned_order.step_bounds(start)[-1])
    # Not `start + batch_size`: where a step ends must not depend on where an earlier run stopped.
    stop = (start // pipeline.batch_size + 1) * pipeline.batch_size
    if stop <= end:
        return stop
    # The order ends before the batch is full. `start` may also lie at or after the end: then nothing is left.
    return start if pipeline.drop_last else max(start, end)


def step_bounds(pipeline: Pipeline[Any], start: AnyInt, /) -> Sequence[int]:
    """Return the positions at which the units of a step begin, and its end: its samples, or a planned order's bins.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> step_bounds(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=4, seed=42), 2)
        range(2, 5)
    """
    start = as_int(start)
    if pipeline.batch_size is not None or start >= end_position(pipeline):
        return range(start, batch_stop(pipeline, start) + 1)
    bounds: list[int] = pipeline.planned_order.step_bounds(start).tolist()
    return bounds


def rank_positions(bounds: Sequence[int], *, rank: AnyInt, world_size: AnyInt) -> range:
    """Return the positions of a step that a rank reads.

    Law: the parts of all ranks, in the order of the ranks, make up the step; their numbers of units differ by at most
    one.

    Args:
        bounds: what `step_bounds` returned.
        rank: data-parallel rank, 0..world_size-1.
        world_size: number of ranks that share the step.

    Raises:
        ValueError: if `rank` is not in `0..world_size-1`.

    Example:
        >>> [rank_positions(range(10, 16), rank=rank, world_size=2) for rank in range(2)]
        [range(10, 12), range(12, 15)]
    """
    world_size = check_int(world_size, name="world_size", low=1)
    rank = check_int(rank, name="rank", high=world_size - 1)
    size = len(bounds) - 1
    # Rank r begins at floor(r * size / world_size), which is where rank r - 1 ends: no gap and no overlap. Two floors
    # of numbers that are size / world_size apart differ by the floor or the ceiling of that.
    return range(bounds[rank * size // world_size], bounds[(rank + 1) * size // world_size])


def slot_of(bounds: Sequence[int], position: AnyInt, *, world_size: AnyInt) -> tuple[int, int]:
    """Return the rank that reads a position of a step, and the position's index in that rank's part.

    Law: `rank_positions(bounds, rank=rank, world_size=world_size)[slot]` is the position.

    Example:
        >>> slot_of(range(10, 16), 13, world_size=2)
        (1, 1)
    """
    position, world_size = as_int(position), as_int(world_size)
    unit = bisect_right(bounds, position) - 1
    # The rank is the last one whose part begins at the unit or before it. The part of rank r begins at unit
    # r * size // world_size, so r is the largest int with r * size < (unit + 1) * world_size.
    rank = ((unit + 1) * world_size - 1) // (len(bounds) - 1)
    return rank, position - rank_positions(bounds, rank=rank, world_size=world_size).start


@checked
def num_batches(pipeline: Pipeline[Any], /) -> int | None:
    """Return the number of batches, without the one that `drop_last` drops; None for an order without end.

    A planned order plans all its windows for it, at 0.1 to 6 us per sample.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> num_batches(pipeline)
        3
    """
    if pipeline.order.num_samples is None:
        return None
    if pipeline.batch_size is None:
        return pipeline.planned_order.step_of(end_position(pipeline))
    return num_fixed_steps(end_position(pipeline), batch_size=pipeline.batch_size, drop_last=pipeline.drop_last)


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
    if count is None:
        count = MAX_INT // (pipeline.batch_size or 1)
    return int(check_index(step, stop=count, name="step"))


def step_start(pipeline: Pipeline[Any], step: AnyInt, /) -> int:
    """Return the position at which a step begins.

    A planned order plans all windows up to there for it, at 0.1 to 6 us per sample; what it found is kept.

    Raises:
        IndexError: if the pipeline has no such step.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> step_start(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42), 3)
        6
    """
    if pipeline.batch_size is not None:
        return check_step(pipeline, step) * pipeline.batch_size
    return pipeline.planned_order.step_start(check_int(step, name="step", low=-MAX_INT))


@checked
def step_of(pipeline: Pipeline[Any], position: AnyInt, /) -> int:
    """Return the step that a position belongs to; where the order ends, the number of steps.

    So a loader has `range(step_of(pipeline, batches.consumed_samples), 1000)` left of a thousand steps. A planned order
    plans all windows up to there for it.

    Law: `batch_at(pipeline, step)` has the sample at the position, over all ranks together.

    Raises:
        ValueError: if the position is negative or doesn't fit int64.
        TypeError: if it is not an integer.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> step_of(pipeline, 6), step_of(pipeline, 7)
        (3, 3)
    """
    position = check_int(position, name="position")
    if pipeline.order.num_samples is not None and position >= end_position(pipeline):
        return num_batches(pipeline) or 0
    if pipeline.batch_size is not None:
        return position // pipeline.batch_size
    return pipeline.planned_order.step_of(position)


def next_pause(pipeline: Pipeline[Any], position: AnyInt, /, batches_per_epoch: AnyInt) -> int:
    """Return the first position after a given one at which a multiple of some steps has ended.

    It may be after the end of the order.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> next_pause(Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42), 7, 3)
        12
    """
    steps = (step_of(pipeline, position) // as_int(batches_per_epoch) + 1) * as_int(batches_per_epoch)
    if pipeline.batch_size is not None:
        return steps * pipeline.batch_size
    try:
        return step_start(pipeline, steps)
    except IndexError:
        return end_position(pipeline)


def planned_bins(pipeline: Pipeline[Any], positions: Sequence[int], index: SampleIndex, /) -> list[list[int]]:
    """Return the number of tokens that a planned order plans for each sample of a rank's part, in a list per bin.

    Args:
        pipeline: of a planned order.
        positions: consecutive positions of one step.
        index: the samples there, in one-axis int64 arrays.

    Example:
        >>> from bionemo.data import EpochOrder, PackedOrder, Pipeline, index_at
        >>> base = EpochOrder(length=4, seed=7, num_samples=4)
        >>> order = PackedOrder(order=base, lengths=[5, 4, 3, 2], max_tokens=8, bins_per_step=2, window_size=4, seed=1)
        >>> pipeline = Pipeline(order=order, sources="abcd", seed=42)
        >>> planned_bins(pipeline, range(4), index_at(order, range(4)))
        [[2, 5], [3, 4]]
    """
    if not len(positions):
        return []
    tokens = pipeline.planned_order.tokens_of(index).tolist()
    bounds = [bound - positions[0] for bound in step_bounds(pipeline, positions[0]) if bound <= positions[-1] + 1]
    bins = [tokens[first:stop] for first, stop in pairwise(bounds)]
    return [part for part in bins if part]
