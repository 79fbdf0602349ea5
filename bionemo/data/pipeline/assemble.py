"""From positions to a batch: read, transform, collate."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from bionemo.core.random import fold_in, random_global_context
from bionemo.core.random.contexts import global_states
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import planned_bins
from bionemo.data.pipeline.transform import check_number, position_seeds, transform_sample, transform_samples
from bionemo.data.reading.read import read, read_sample
from bionemo.data.reading.together import read_together

__all__ = [
    "STAGES",
    "StageSeconds",
    "assemble",
    "assemble_sample",
    "assemble_timed",
    "no_stop_iteration",
    "note",
    "read_ahead",
]

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_MAX_NAMED: Final = 32
"""Largest number of samples that a note on an error names."""


STAGES: Final = ("read", "transform", "collate", "batch_transform", "transfer")
"""The stages of a batch: reading its samples, their transforms, collation, the transform of the batch, and moving it
between processes and to a device."""

StageSeconds: TypeAlias = tuple[float, float, float, float, float]
"""How long the stages of a batch took, in seconds: a plain tuple, which takes no time to make."""


def note(doing: str, positions: Sequence[int], index: SampleIndex, numbers: Any = slice(None), /) -> str:
    """Return a note for an error: what was being done with which samples.

    Args:
        doing: "reading" or "collating".
        positions: positions of a batch.
        index: the samples there, in one-axis int64 arrays.
        numbers: an int64 array or slice that selects some of them; by default all.

    Example:
        >>> index = SampleIndex(*map(np.array, ([0, 0], [1, 1], [2, 5])))
        >>> note("reading", range(7, 9), index, np.array([0]))
        'while reading position 7: SampleIndex(source=0, epoch=1, idx=2)'
    """
    if not len(positions):
        return f"while {doing} an empty list: this rank has no samples of the step"
    columns = [part[numbers].tolist() for part in (np.array(positions, dtype=np.int64), *index)]
    named = zip(*(column[:_MAX_NAMED] for column in columns), strict=True)
    samples = ", ".join(f"position {position}: {SampleIndex(*sample)}" for position, *sample in named)
    others = len(columns[0]) - _MAX_NAMED
    return f"while {doing} {samples}{f', and {others} more' if others > 0 else ''}"


def no_stop_iteration(function: Callable[..., Result], /, *arguments: Any) -> Result:
    """Return the result of a user's function; a StopIteration in it becomes a RuntimeError.

    An iterator that calls the function would take it for the end of the data.

    Example:
        >>> no_stop_iteration(next, iter([]))
        Traceback (most recent call last):
        RuntimeError: a data set, transform or collate raised StopIteration: an iterator in it has ended.
    """
    try:
        return function(*arguments)
    except StopIteration as error:
        message = "a data set, transform or collate raised StopIteration: an iterator in it has ended."
        raise RuntimeError(message) from error


def _global_context(pipeline: Pipeline[Any], *positions: int) -> AbstractContextManager[None]:
    """Return the context in which samples are read: it seeds the global random states for third-party code."""
    if not pipeline.draws_globally:
        return nullcontext()
    return random_global_context(fold_in(pipeline.seed, "global", *positions))


def assemble(pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex, /) -> Batch:
    """Return the batch of some positions; everything that makes a batch calls this function.

    The global random states of torch, NumPy and Python are seeded with the pipeline's seed and the first position, for
    data sets, transforms and collators that draw from them, and restored afterwards.

    Args:
        pipeline: what is read.
        positions: positions in the training order.
        index: the samples there, in one-axis int64 arrays.

    Raises:
        Exception: what a data set or transform raises, with a note of the position, source, epoch and idx (of all
            samples if they were read at once), and what a collate raises, with a note of all its samples.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, batch_at, index_at
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> assemble(pipeline, range(2), index_at(order, range(2))) == batch_at(pipeline, 0)
        True
    """
    return assemble_timed(pipeline, positions, index)[0]


def assemble_timed(
    pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex, samples: Any = None, /
) -> tuple[Batch, StageSeconds]:
    """Return what `assemble` returns, and how long each stage took.

    Args:
        pipeline: what is read.
        positions: positions in the training order.
        index: the samples there, in one-axis int64 arrays.
        samples: what `read` returns for them, if they were read ahead; None reads them.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, index_at
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batch, seconds = assemble_timed(pipeline, range(2), index_at(order, range(2)))
        >>> batch, len(seconds) == len(STAGES)
        ('ab', True)
    """
    if not pipeline.draws_globally:
        return _assemble(pipeline, positions, index, samples)
    with _global_context(pipeline, *positions[:1]):
        return _assemble(pipeline, positions, index, samples)


def _assemble(
    pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex, samples: Any
) -> tuple[Batch, StageSeconds]:
    began = perf_counter()
    if samples is None:
        samples = read(pipeline.sources, index, describe=partial(note, "reading", positions, index))
    was_read = was_transformed = perf_counter()
    if pipeline.has_transforms:
        seeds = position_seeds(pipeline.seed, "sample", positions)
        describe = partial(note, "reading", positions, index)
        samples = transform_samples(pipeline.sources, samples, seeds, index.source, describe=describe)
        was_transformed = perf_counter()
    try:
        batch: Any = samples
        if pipeline.batch_size is None and pipeline.apply_collate is not None:
            batch = pipeline.apply_collate(list(samples), bins=planned_bins(pipeline, positions, index))
        elif pipeline.collate is not None:
            batch = pipeline.collate(list(samples))
        was_collated = was_made = perf_counter()
        if pipeline.apply_to_batch is not None:
            batch = pipeline.apply_to_batch(batch, seeds=position_seeds(pipeline.seed, "row", positions))
            was_made = perf_counter()
    except Exception as error:
        error.add_note(note("collating", positions, index))
        raise
    making = was_made - was_collated
    seconds = (was_read - began, was_transformed - was_read, was_collated - was_transformed, making, 0.0)
    return batch, seconds


def read_ahead(pipeline: Pipeline[Any], first: int, batches: Sequence[SampleIndex], /) -> list[Any] | None:
    """Return the samples of several batches, read by one call per source; None if each batch must be read alone.

    That is so if a data set raises an error, which belongs to one of the batches, or if it draws from a global random
    state, which is seeded for each batch.

    Args:
        pipeline: what is read.
        first: position of the first sample.
        batches: which samples, in one-axis int64 arrays.

    Warns:
        UserWarning: if a data set draws from a global random state.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, index_at
        >>> order = EpochOrder(length=5, seed=7)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, seed_global_states=False)
        >>> read_ahead(pipeline, 0, [index_at(order, range(2)), index_at(order, range(2, 4))])
        [['a', 'b'], ['e', 'd']]
    """
    with _global_context(pipeline, first):
        before = global_states() if pipeline.draws_globally else ()
        try:
            samples = read_together(pipeline.sources, batches)
        except Exception:  # noqa: BLE001 - raised again, with its position, when its batch is read alone
            return None
        if not pipeline.draws_globally or global_states() == before:
            return samples
    message = (
        "read_ahead has no effect: a data set draws from a global random state while it is read, which is seeded for "
        "each batch. Draw in a transform, from the sample's own generator."
    )
    warnings.warn(message, UserWarning, stacklevel=2)
    return None


def assemble_sample(pipeline: Pipeline[Any], position: int, index: SampleIndex, /) -> Any:
    """Return the sample at a position, read and transformed.

    Args:
        pipeline: what is read.
        position: position in the training order.
        index: the sample there, as ints.

    Raises:
        Exception: what a data set or transform raises, with a note of the position, source, epoch and idx.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, index_at
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> assemble_sample(pipeline, 2, index_at(pipeline.order, 2))
        'e'
    """
    source = pipeline.sources[index.source]
    with _global_context(pipeline, position):
        try:
            sample = read_sample(source, index)
            if source.transform is None:
                return sample
            if source.batched:
                seeds = position_seeds(pipeline.seed, "sample", [position])
                transformed = list(source.apply([sample], seeds=seeds))
                check_number(len(transformed), 1)
                return transformed[0]
            return transform_sample(source.apply, sample, seed=pipeline.seed, position=position)
        except Exception as error:
            error.add_note(f"while reading position {position}: {index}")
            raise
