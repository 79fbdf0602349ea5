"""The batches of a pipeline from a position on, read in this process."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from threading import current_thread
from typing import Any, Final, TypeAlias

import numpy as np

from bionemo.core.arrays import BLOCK
from bionemo.core.checks import shown
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.assemble import StageSeconds, no_stop_iteration
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import end_position, num_alike, rank_positions, step_bounds
from bionemo.data.pipes.delivery import Delivery, Planned, size_of

__all__ = ["Read", "check_every_rank_reads", "deliver", "plan_batches", "raise_again", "read_batches"]

Read: TypeAlias = Callable[[Pipeline[Any], Sequence[int], SampleIndex], tuple[Any, StageSeconds]]
"""Makes a batch from positions and the samples there: `assemble_timed`, or for a sampler the keys of a data set."""


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


def read_batches(
    pipeline: Pipeline[Any],
    read: Read,
    *,
    rank: int,
    world_size: int,
    start: int,
    pause: int | None = None,
    num_threads: int = 0,
    prefetch_factor: int = 2,
) -> Iterator[Delivery]:
    """Yield a rank's parts of the batches from a position to a pause, one by one or read ahead by threads.

    Law: the batches and their order are the same for any number of threads; an error is raised where its batch would
    come.

    Args:
        pipeline: what is read. Threads share its data sets, transforms and collator.
        read: makes a batch.
        rank: data-parallel rank.
        world_size: number of ranks.
        start: position of the first batch.
        pause: position at which to end; None for the end of the order.
        num_threads: number of batches that are made at the same time; 0 makes them in the consumer's thread.
        prefetch_factor: batches per thread that are made ahead.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batches = read_batches(pipeline, assemble_timed, rank=0, world_size=1, start=2)
        >>> [(delivery.stop, delivery.batch) for delivery in batches]
        [(4, 'ed'), (5, 'c')]
    """
    plan = plan_batches(pipeline, rank=rank, world_size=world_size, start=start, pause=pause)
    make = partial(deliver, pipeline, read)
    return _read_in_threads(make, plan, num_threads, num_threads * prefetch_factor) if num_threads else map(make, plan)


def _read_in_threads(
    make: Callable[[Planned], Delivery], plan: Iterator[Planned], num_threads: int, num_ahead: int
) -> Iterator[Delivery]:
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="loader")
    try:
        made = deque(pool.submit(_with_number, make, planned) for planned in islice(plan, num_ahead))
        while made:
            num_ready, next_one = sum(map(Future.done, made)), made.popleft()
            made.extend(pool.submit(_with_number, make, planned) for planned in islice(plan, 1))
            yield next_one.result()._replace(num_ready=num_ready)
    finally:  # also if the consumer stops, or Ctrl-C interrupts it: what has begun is finished, and nothing else begins
        pool.shutdown(wait=False, cancel_futures=True)


def _with_number(make: Callable[[Planned], Delivery], planned: Planned) -> Delivery:
    """Return a batch with the number of the thread that made it, which the pool puts at the end of its name."""
    return make(planned)._replace(worker=int(current_thread().name.rpartition("_")[2]))


def plan_batches(
    pipeline: Pipeline[Any], *, rank: int, world_size: int, start: int, pause: int | None = None
) -> Iterator[Planned]:
    """Yield a rank's parts of the batches from a position to a pause, before anything is read.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42)
        >>> [samples.idx.tolist() for _, _, samples in plan_batches(pipeline, rank=0, world_size=1, start=2)]
        [[4, 3], [2]]
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
        for number, one in enumerate(map(_sample_index, zip(*index, strict=True))):
            start += size
            positions = range(part.start + number * size, part.stop + number * size)
            yield start, positions, one
            if start == pause:
                return


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
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=9, seed=7, num_samples=9)
        >>> pipeline = Pipeline(order=order, sources="abcdefghi", batch_size=4, seed=42, collate=max)
        >>> check_every_rank_reads(pipeline, assemble_timed, world_size=2, start=0)
        Traceback (most recent call last):
        ValueError: each step must have a sample per rank, or collate must take an empty list, got a step of 1 sample
        for 2 ranks (batch_size=4, num_samples=9), and ValueError: max() arg is an empty sequence. Use drop_last=True,
        another batch_size, or a collate that returns an empty batch.
    """
    bounds = step_bounds(pipeline, start)
    first = bounds[-1]
    short_steps = getattr(pipeline.order, "short_steps", None)
    has_bins = pipeline.batch_size is None and short_steps is None
    if has_bins and start < first and len(bounds) <= world_size:
        message = (
            f"a step must have a bin per rank, got {len(bounds) - 1} for world_size={world_size}. Raise bins_per_step."
        )
        raise ValueError(message)
    sizes = {_num_units(pipeline, start), _num_units(pipeline, first), *(short_steps or ())}
    if first > start and pipeline.order.num_samples is not None and pipeline.batch_size and not pipeline.drop_last:
        sizes.add(end_position(pipeline) % pipeline.batch_size)  # the last step's
    smallest = min(sizes - {0}, default=world_size)
    if smallest >= world_size:
        return
    unit = "bin" if has_bins else "sample"
    size = f"batch_size={pipeline.batch_size}" if pipeline.batch_size else "a planned order"
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


def raise_again(batches: Iterator[Any], /) -> Iterator[Any]:
    """Yield what a generator yields; after an error in it, each further request raises another error.

    A generator that has raised an error says StopIteration from then on, which a caller that catches errors would take
    for the end of the data.

    Example:
        >>> batches = raise_again(1 // number for number in (1, 0, 1))
        >>> next(batches)
        1
    """
    errors: list[str] = []  # as text: the error itself would keep the frames that it passed through alive

    def note_error() -> Iterator[Any]:
        try:
            yield from batches
        except BaseException as error:
            errors.append(shown(error))
            raise

    def check_no_error() -> None:
        if errors:
            message = f"this iteration ended with {errors[0]}. Begin a new one by iter(loader): it tries again there."
            raise RuntimeError(message)

    return chain(note_error(), iter(check_no_error, None))  # the second ends at once, or raises an error each time
