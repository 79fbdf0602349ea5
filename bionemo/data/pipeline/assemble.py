"""From positions to a batch: read, transform, collate."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from bionemo.core.arrays import groups
from bionemo.core.checks import AnyInt, IntArray
from bionemo.core.random import fold_in, make_generator, random_global_context
from bionemo.core.random.hashing import fold_word
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.dataset import Source
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.read import read, read_sample
from bionemo.data.pipeline.steps import planned_bins

__all__ = ["assemble", "assemble_sample", "no_stop_iteration", "note", "position_seeds", "transform_sample"]

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_MAX_NAMED: Final = 32
"""Largest number of samples that a note on an error names."""


def transform_sample(transform: Callable[..., Any], sample: Any, /, *, seed: AnyInt, position: AnyInt) -> Any:
    """Return a sample transformed with its own generator, made from the pipeline's seed and the sample's position.

    Args:
        transform: takes one sample, and its generator by keyword.
        sample: what the data set returned.
        seed: the pipeline's seed.
        position: position in the training order.

    Example:
        >>> def jitter(sample, *, generator):
        ...     return sample + int(torch.randint(100, (), generator=generator))
        >>> transform_sample(jitter, 1000, seed=42, position=3)
        1036
    """
    return transform(sample, generator=make_generator(seed, "sample", position))


def position_seeds(seed: AnyInt, purpose: str, positions: Collection[AnyInt], /) -> Tensor:
    """Return the seed of each sample or row of a batch, made from the pipeline's seed and the position.

    Args:
        seed: the pipeline's seed.
        purpose: "sample" for transforms of samples, "row" for a transform of the batch.
        positions: positions in the training order.

    Example:
        >>> position_seeds(42, "row", [3, 4]) % 100
        tensor([ 5, 46])
    """
    if isinstance(positions, range):  # NumPy would read it element by element
        numbers = np.arange(positions.start, positions.stop, positions.step)
    else:
        numbers = np.array(positions, dtype=np.int64)
    return torch.from_numpy(fold_word(fold_in(seed, purpose), numbers))


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
    if not pipeline.draws_globally:
        return _assemble(pipeline, positions, index)
    with _global_context(pipeline, *positions[:1]):
        return _assemble(pipeline, positions, index)


def _assemble(pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex) -> Batch:
    samples = read(pipeline.sources, index, describe=partial(note, "reading", positions, index))
    if len(samples) != len(positions):
        message = (
            f"a data set must return one sample per index, got {len(samples)} samples for {len(positions)} indices."
        )
        raise ValueError(message)
    if pipeline.has_transforms:
        samples = _with_transforms(pipeline, samples, positions, index)
    try:
        batch: Any = samples
        if pipeline.batch_size is None and pipeline.apply_collate is not None:
            batch = pipeline.apply_collate(list(samples), bins=planned_bins(pipeline, positions, index))
        elif pipeline.collate is not None:
            batch = pipeline.collate(list(samples))
        if pipeline.apply_to_batch is not None:
            batch = pipeline.apply_to_batch(batch, seeds=position_seeds(pipeline.seed, "row", positions))
    except Exception as error:
        error.add_note(note("collating", positions, index))
        raise
    return cast("Batch", batch)


def _with_transforms(pipeline: Pipeline[Any], samples: Any, positions: Sequence[int], index: SampleIndex) -> list[Any]:
    """Return samples transformed by the transforms of their sources."""
    seeds = position_seeds(pipeline.seed, "sample", positions)
    describe = partial(note, "reading", positions, index)
    if len(pipeline.sources) == 1:
        return _transformed(pipeline.sources[0], list(samples), seeds, describe)
    transformed = list(samples)
    for number, members in groups(index.source):
        given = [transformed[member] for member in members.tolist()]
        found = _transformed(
            pipeline.sources[number], given, seeds[members], partial(_describe_members, describe, members)
        )
        for member, sample in zip(members.tolist(), found, strict=True):
            transformed[member] = sample
    return transformed


def _describe_members(describe: Callable[[Any], str], members: IntArray, numbers: Any) -> str:
    return describe(members[numbers])


def _transformed(source: Source, samples: list[Any], seeds: Tensor, describe: Callable[[Any], str]) -> list[Any]:
    """Return samples of one source transformed: one by one with a generator each, or by one call."""
    if source.transform is None or not samples:
        return samples
    transformed: list[Any] = []
    try:
        if source.batched:
            transformed = list(source.apply(samples, seeds=seeds))
            _check_number(len(transformed), len(samples))
        else:
            for sample, seed in zip(samples, seeds.tolist(), strict=True):
                transformed.append(source.apply(sample, generator=torch.Generator().manual_seed(seed)))
    except Exception as error:
        error.add_note(describe(slice(None) if source.batched else slice(len(transformed), len(transformed) + 1)))
        raise
    return transformed


def _check_number(number: int, expected: int) -> None:
    if number != expected:
        message = f"a batched transform must return one sample per sample, got {number} for {expected}."
        raise ValueError(message)


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
                _check_number(len(transformed), 1)
                return transformed[0]
            return transform_sample(source.apply, sample, seed=pipeline.seed, position=position)
        except Exception as error:
            error.add_note(f"while reading position {position}: {index}")
            raise
