"""The batches of a pipeline from a position on, read in this process."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from bionemo.core.arrays import BLOCK
from bionemo.core.checks import shown
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.assemble import no_stop_iteration
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import end_position, num_alike, rank_positions, step_bounds

__all__ = ["Batches", "Read", "check_every_rank_reads", "read_batches"]

Read: TypeAlias = Callable[[Pipeline[Any], Sequence[int], SampleIndex], Any]
"""Makes a batch from positions and the samples there: `assemble`, or for a sampler the keys of a data set."""


def read_batches(
    pipeline: Pipeline[Any], read: Read, *, rank: int, world_size: int, start: int
) -> Iterator[tuple[int, Any]]:
    """Yield a rank's parts of the batches from a position on, each with the position after the whole batch.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> list(read_batches(pipeline, assemble, rank=0, world_size=1, start=2))
        [(4, 'ed'), (5, 'c')]
    """
    most = 1
    while (stop := (bounds := step_bounds(pipeline, start))[-1]) > start:
        # Look up the indices of many batches at once, as many as fit a block. Begin with one batch and double, so that
        # the first one doesn't wait for all.
        size = stop - start
        part = rank_positions(bounds, rank=rank, world_size=world_size)
        count = min(most, max(BLOCK // max(len(part), 1), 1), num_alike(pipeline, bounds))
        most *= 2
        index = index_at(pipeline.order, np.add.outer(size * np.arange(count), np.array(part, dtype=np.int64)))
        for number, one in enumerate(map(SampleIndex, *index)):
            start += size
            positions = range(part.start + number * size, part.stop + number * size)
            yield start, no_stop_iteration(read, pipeline, positions, one)


def check_every_rank_reads(pipeline: Pipeline[Any], read: Read, *, world_size: int, start: int) -> None:
    """Check that no rank fails for want of samples: each step has as many as ranks, or an empty batch can be made.

    An empty batch is made only if a step will need one, and on all ranks alike, before the first step.

    Warns:
        UserWarning: if some ranks will get an empty batch.

    Raises:
        ValueError: if a step from `start` on has fewer samples than ranks, and no empty batch can be made, or a planned
            step has fewer bins than ranks.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble
        >>> order = EpochOrder(length=9, seed=7, num_samples=9)
        >>> pipeline = Pipeline(order=order, sources="abcdefghi", batch_size=4, seed=42, collate=max)
        >>> check_every_rank_reads(pipeline, assemble, world_size=2, start=0)
        Traceback (most recent call last):
        ValueError: each step must have a sample per rank, or collate must take an empty list, got a step of 1 sample
        for 2 ranks (batch_size=4, num_samples=9), and ValueError: max() arg is an empty sequence. Use drop_last=True,
        another batch_size, or a collate that returns an empty batch.
    """
    bounds = step_bounds(pipeline, start)
    first = bounds[-1]
    if pipeline.batch_size is None and start < first and len(bounds) <= world_size:
        message = (
            f"a step must have a bin per rank, got {len(bounds) - 1} for world_size={world_size}. Raise bins_per_step."
        )
        raise ValueError(message)
    sizes = {_num_units(pipeline, start), _num_units(pipeline, first)}
    if first > start and pipeline.order.num_samples is not None and pipeline.batch_size and not pipeline.drop_last:
        sizes.add(end_position(pipeline) % pipeline.batch_size)  # the last step's
    smallest = min(sizes - {0}, default=world_size)
    if smallest >= world_size:
        return
    unit, size = ("sample", f"batch_size={pipeline.batch_size}") if pipeline.batch_size else ("bin", "a planned order")
    nothing = np.empty(0, dtype=np.int64)
    try:
        read(pipeline, range(0), SampleIndex(nothing, nothing, nothing))
    except Exception as error:
        message = (
            f"each step must have a sample per rank, or collate must take an empty list, got a step of {smallest} "
            f"{unit}{'s' * (smallest > 1)} for {world_size} ranks ({size}, "
            f"num_samples={pipeline.order.num_samples}), and {type(error).__name__}: {error}. "
            "Use drop_last=True, another batch_size, or a collate that returns an empty batch."
        )
        raise ValueError(message) from error
    message = (
        f"a step of {smallest} {unit}{'s' * (smallest > 1)} leaves ranks of {world_size} without any. They get an "
        "empty batch, which collate, model and loss must take. Use drop_last=True or another batch_size to avoid it."
    )
    warnings.warn(message, UserWarning, stacklevel=4)


def _num_units(pipeline: Pipeline[Any], start: int) -> int:
    bounds = step_bounds(pipeline, start)
    return len(bounds if isinstance(bounds, range) else {*bounds}) - 1


class Batches(Iterator[Any]):
    """An iterator over batches that ends only at the end: after an error, it raises another one.

    A generator that has raised an error says StopIteration from then on, which a caller that catches errors would take
    for the end of the data.

    Example:
        >>> batches = Batches(1 // number for number in (1, 0, 1))
        >>> next(batches)
        1
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._error = ""  # as text: the error itself would keep the frames that it passed through alive

    def __next__(self) -> Any:
        if self._error:
            message = f"this iteration ended with {self._error}. Begin a new one by iter(loader): it tries again there."
            raise RuntimeError(message)
        try:
            return next(self._batches)
        except StopIteration:
            raise
        except BaseException as error:
            self._error = shown(error)
            raise
