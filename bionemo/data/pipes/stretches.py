"""Batches that are planned before anything is read, in stretches whose samples are read together."""

from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any, Final

import numpy as np

from bionemo.core.arrays import BLOCK
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.assemble import StageSeconds, no_stop_iteration, read_ahead
from bionemo.data.pipeline.empty_ranks import Read
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import num_alike, rank_positions, step_bounds
from bionemo.data.pipes.delivery import Delivery, Planned, size_of
from bionemo.data.reading.together import announce

__all__ = ["deliver", "deliver_stretch", "ends_stretch", "plan_batches", "plan_stretches"]


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
    while (stop := (bounds := step_bounds(pipeline, start))[-1]) > start:
        # Look up the indices of many batches at once, as many as fit a block. Begin with one batch and double, so that
        # the first one doesn't wait for all.
        size = stop - start
        part = rank_positions(bounds, rank=rank, world_size=world_size)
        count = min(most, max(BLOCK // max(len(part), 1), 1), num_alike(pipeline, bounds))
        most *= 2
        index = index_at(pipeline.order, np.add.outer(size * np.arange(count), np.array(part, dtype=np.int64)))
        for number, one in enumerate(map(_sample_index, zip(*index, strict=True))):
            start += size
            positions = range(part.start + number * size, part.stop + number * size)
            yield start, positions, one
            if start == pause:
                return


def ends_stretch(pipeline: Pipeline[Any], stop: int, num_batches: int, read_ahead: int) -> bool:
    """Return whether a stretch ends with a batch: after `read_ahead` batches, or at a multiple of so many steps.

    With a batch size, stretches are the same wherever a run resumes. If `read_ahead` batches hold a window of a
    `BlockShuffleOrder`, each of its blocks is read once.

    Args:
        pipeline: what is read.
        stop: position after the batch.
        num_batches: number of batches of the stretch so far.
        read_ahead: largest number of batches in a stretch.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=99, seed=7), sources=range(99), batch_size=2, seed=42)
        >>> [ends_stretch(pipeline, stop, 1, 4) for stop in (8, 10)]
        [True, False]
    """
    size = read_ahead * (pipeline.batch_size or 0)
    return num_batches == read_ahead or (size > 0 and stop % size == 0)


def plan_stretches(pipeline: Pipeline[Any], plan: Iterator[Planned], read_ahead: int) -> Iterator[list[Planned]]:
    """Yield stretches of planned batches: at most `read_ahead` each, and ending where `ends_stretch` says.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=9, seed=7, num_samples=9)
        >>> pipeline = Pipeline(order=order, sources="abcdefghi", batch_size=2, seed=42)
        >>> plan = plan_batches(pipeline, rank=0, world_size=1, start=2)
        >>> [len(stretch) for stretch in plan_stretches(pipeline, plan, 2)]
        [1, 2, 1]
    """
    stretch: list[Planned] = []
    for planned in plan:
        stretch.append(planned)
        if ends_stretch(pipeline, planned[0], len(stretch), read_ahead):
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
