"""Batches that are planned before anything is read, in stretches whose samples are read together."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from time import perf_counter
from typing import Any, Final

import numpy as np

from bionemo.core.arrays import BLOCK
from bionemo.core.checks import MAX_INT
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.assemble import StageSeconds, no_stop_iteration, read_ahead
from bionemo.data.pipeline.empty_ranks import Read
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import end_position, rank_positions, step_bounds
from bionemo.data.pipes.delivery import Delivery, Planned, size_of
from bionemo.data.reading.together import announce

__all__ = ["deliver", "deliver_stretch", "plan_batches", "plan_stretches", "stretch_stop"]

_PLANNED: Final = 4
"""Steps of a planned order that are looked up at once: the order keeps the plans of as many windows."""


def plan_batches(
    pipeline: Pipeline[Any], *, rank: int, world_size: int, start: int, pause: int | None = None, at_once: int = 1
) -> Iterator[Planned]:
    """Yield a rank's parts of the batches from a position to a pause, before anything is read.

    Args:
        pipeline: what is read.
        rank: data-parallel rank.
        world_size: number of ranks.
        start: position of the first batch.
        pause: position at which to end; None for the end of the order.
        at_once: batches that are looked up first; each further lookup is of twice as many.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42)
        >>> [samples.idx.tolist() for _, _, samples in plan_batches(pipeline, rank=0, world_size=1, start=2)]
        [[4, 3], [2]]
    """
    most = at_once
    while (bounds := step_bounds(pipeline, start))[-1] > start:
        # Look up the samples of many batches at once. Begin with one batch and double, so that the first one doesn't
        # wait for all.
        for stop, positions, index in _look_up(pipeline, bounds, most, rank=rank, world_size=world_size):
            yield stop, positions, _sample_index(index)
            if stop == pause:
                return
        start = stop
        most *= 2


def _look_up(
    pipeline: Pipeline[Any], bounds: Sequence[int], most: int, *, rank: int, world_size: int
) -> Iterable[tuple[int, range, Any]]:
    """Return where the next steps end, and a rank's positions and samples in each, for at most a number of steps."""
    stop, size = bounds[-1], bounds[-1] - bounds[0]
    part = rank_positions(bounds, rank=rank, world_size=world_size)
    if size == pipeline.batch_size:  # the steps that follow are cut alike: take as many as fit a block
        count = min(most, max(BLOCK // max(len(part), 1), 1), (end_position(pipeline) - bounds[0]) // size)
        index = index_at(pipeline.order, np.add.outer(size * np.arange(count), np.array(part, dtype=np.int64)))
        ahead = range(0, count * size, size)
        alike = (range(part.start + number, part.stop + number) for number in ahead)
        return zip(range(stop, stop + count * size, size), alike, zip(*index, strict=True), strict=True)
    stops, parts = [stop], [part]
    while len(stops) < min(most, _PLANNED) and (bounds := step_bounds(pipeline, stops[-1]))[-1] > stops[-1]:
        stops.append(bounds[-1])
        parts.append(rank_positions(bounds, rank=rank, world_size=world_size))
    index = index_at(pipeline.order, np.concatenate([np.arange(part.start, part.stop) for part in parts]))
    cuts = pairwise(accumulate(map(len, parts), initial=0))
    return zip(stops, parts, ([column[first:last] for column in index] for first, last in cuts), strict=True)


def stretch_stop(pipeline: Pipeline[Any], start: int, read_ahead: int) -> int:
    """Return the position that ends a stretch: with the batch that reaches it, or after `read_ahead` batches.

    It is where the order's window ends, if the order has windows, so that each block of a `BlockShuffleOrder` is read
    once, but for the last batch of a window. Otherwise it is a multiple of `read_ahead` steps, so that stretches are
    the same wherever a run resumes.

    Args:
        pipeline: what is read.
        start: position of the stretch's first batch.
        read_ahead: largest number of batches in a stretch.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=99, seed=7), sources=range(99), batch_size=2, seed=42)
        >>> [stretch_stop(pipeline, start, 4) for start in (0, 6, 8)]
        [8, 8, 16]
    """
    if hasattr(pipeline.order, "window_stop"):
        return int(pipeline.order.window_stop(start))
    size = read_ahead * (pipeline.batch_size or 0)
    return (start // size + 1) * size if size else MAX_INT


def plan_stretches(
    pipeline: Pipeline[Any], plan: Iterator[Planned], start: int, read_ahead: int
) -> Iterator[list[Planned]]:
    """Yield stretches of planned batches: at most `read_ahead` each, and ending where `stretch_stop` says.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=9, seed=7, num_samples=9)
        >>> pipeline = Pipeline(order=order, sources="abcdefghi", batch_size=2, seed=42)
        >>> plan = plan_batches(pipeline, rank=0, world_size=1, start=2)
        >>> [len(stretch) for stretch in plan_stretches(pipeline, plan, 2, 2)]
        [1, 2, 1]
    """
    stretch: list[Planned] = []
    for planned in plan:
        if not stretch:
            end = stretch_stop(pipeline, start, read_ahead)
        stretch.append(planned)
        start = planned[0]
        if len(stretch) == read_ahead or start >= end:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def deliver(pipeline: Pipeline[Any], read: Read, planned: Planned, /) -> Delivery:
    """Return a batch that was planned.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> deliver(pipeline, assemble_timed, next(plan_batches(pipeline, rank=0, world_size=1, start=0))).batch
        'ab'
    """
    stop, positions, samples = planned
    batch, seconds = no_stop_iteration(read, pipeline, positions, samples)
    return _delivery((stop, positions.start, len(positions), batch, seconds, size_of(batch), 0, 0))


_delivery: Final = partial(tuple.__new__, Delivery)  # its own constructor takes three times as long
_sample_index: Final = partial(tuple.__new__, SampleIndex)


def deliver_stretch(
    pipeline: Pipeline[Any], read: Read, stretch: list[Planned], following: list[Planned], /
) -> Iterator[Delivery]:
    """Yield batches that were planned, whose samples are read by one call per source.

    Args:
        pipeline: what is read.
        read: makes a batch.
        stretch: the batches; those of the next stretch are announced to data sets that can prefetch.
        following: the next stretch, which may be empty.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> fields = {"batch_size": 2, "seed": 42, "collate": "".join, "seed_global_states": False}
        >>> pipeline = Pipeline(order=order, sources="abcde", **fields)
        >>> stretch = list(plan_batches(pipeline, rank=0, world_size=1, start=0))
        >>> [delivery.batch for delivery in deliver_stretch(pipeline, assemble_timed, stretch, [])]
        ['ab', 'ed', 'c']
    """
    began = perf_counter()
    if following and pipeline.can_prefetch:
        announce(pipeline.sources, [samples for _, _, samples in following])
    together = None
    if len(stretch) > 1:
        together = read_ahead(pipeline, stretch[0][1].start, [samples for _, _, samples in stretch])
    reading = (perf_counter() - began) / len(stretch)
    for number, planned in enumerate(stretch):
        make = read if together is None else partial(_make_of, read, together[number])
        delivery = deliver(pipeline, make, planned)
        yield delivery._replace(seconds=(reading + delivery.seconds[0], *delivery.seconds[1:]))


def _make_of(read: Any, samples: Any, *arguments: Any) -> tuple[Any, StageSeconds]:
    made: tuple[Any, StageSeconds] = read(*arguments, samples)
    return made
