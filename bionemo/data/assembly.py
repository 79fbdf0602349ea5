"""From what stands at some positions to their batch: read, transform, collate."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, IntArray, as_int
from bionemo.core.utils.hashing import fold_in
from bionemo.core.utils.random_utils import make_generator, random_global_context
from bionemo.data.indexing import by_position
from bionemo.data.multi_epoch_dataset import EpochIndex
from bionemo.data.order import Order, SampleIndex, index_at
from bionemo.data.pipeline import Pipeline, Source
from bionemo.data.reading import fetch

__all__ = [
    "assemble",
    "collating_note",
    "columns_at",
    "read_sample",
    "read_samples",
    "read_source",
    "transform_batch",
    "transform_sample",
]

Batch = TypeVar("Batch")


def read_sample(source: Source, index: SampleIndex, /) -> Any:
    """Return one sample as its data set holds it.

    Example:
        >>> read_sample(Source("xyz"), SampleIndex(source=0, epoch=0, idx=2))
        'z'
    """
    dataset: Any = source.dataset
    if source.index == "idx":
        return by_position(dataset)[as_int(index.idx)]
    return dataset[EpochIndex(as_int(index.epoch), as_int(index.idx))]


def read_source(source: Source, index: SampleIndex, /) -> Any:
    """Return samples of one source as its data set holds them.

    Args:
        source: what is read.
        index: which samples, in one-axis int64 arrays; the source in it isn't looked at.

    Returns:
        A tensor of a tensor, an array of an array, and a list of anything else.

    Raises:
        Exception: what the data set raises, with a note that names the sample.

    Example:
        >>> read_source(Source("xyz"), SampleIndex(source=np.zeros(2), epoch=np.zeros(2), idx=np.array([2, 0])))
        ['z', 'x']
    """
    if source.index == "idx":
        return fetch(source.dataset, index.idx)
    return fetch(source.dataset, list(map(EpochIndex, index.epoch.tolist(), index.idx.tolist())))


def read_samples(sources: Sequence[Source], index: SampleIndex, /) -> Any:
    """Return samples of several sources as their data sets hold them.

    Args:
        sources: what is read.
        index: which samples, in one-axis int64 arrays.

    Returns:
        What `read_source` answers for the one source, or a list.

    Example:
        >>> index = SampleIndex(source=np.array([1, 0]), epoch=np.zeros(2), idx=np.array([2, 0]))
        >>> read_samples([Source("abc"), Source("xyz")], index)
        ['z', 'a']
    """
    if len(sources) == 1:
        return read_source(sources[0], index)
    samples: list[Any] = [None] * len(index.source)
    for number in np.unique(index.source).tolist():
        places = np.flatnonzero(index.source == number)
        found = read_source(sources[number], SampleIndex(*(part[places] for part in index)))
        for place, sample in zip(places.tolist(), found, strict=True):
            samples[place] = sample
    return samples


def transform_sample(transform: Callable[..., Any], sample: Any, /, *, seed: AnyInt, position: AnyInt) -> Any:
    """Return a sample transformed with its own generator, made from the pipeline's seed and the sample's position.

    Example:
        >>> def jitter(sample, *, generator):
        ...     return sample + int(torch.randint(100, (), generator=generator))
        >>> transform_sample(jitter, 1000, seed=42, position=3)
        1036
    """
    return transform(sample, generator=make_generator(seed, "sample", position))


def transform_batch(
    batch_transform: Callable[..., Batch], batch: Any, /, *, seed: AnyInt, positions: Collection[AnyInt]
) -> Batch:
    """Return a batch transformed with a seed a row, made from the pipeline's seed and each row's position.

    Example:
        >>> transform_batch(lambda batch, *, seeds: seeds % 100, None, seed=42, positions=[3, 4])
        tensor([ 5, 46])
    """
    return batch_transform(batch, seeds=_seeds(seed, "row", positions))


def _seeds(seed: AnyInt, purpose: str, positions: Collection[AnyInt]) -> Tensor:
    seeds: Tensor = fold_in(seed, purpose, _as_positions(positions))
    return seeds


def _as_positions(positions: Collection[AnyInt] | IntArray) -> Tensor:
    """Return positions as an int64 tensor; by way of NumPy, as torch reads a Series of pandas by label."""
    return torch.from_numpy(np.array(positions, dtype=np.int64))


def _with_transforms(pipeline: Pipeline[Any], samples: Any, positions: Sequence[int], index: SampleIndex) -> list[Any]:
    """Return samples, each transformed with its own generator."""
    sources, transformed = pipeline.sources, []
    numbers = index.source.tolist()
    for place, (sample, seed) in enumerate(
        zip(samples, _seeds(pipeline.seed, "sample", positions).tolist(), strict=True)
    ):
        transform = sources[numbers[place]].transform
        generator = torch.Generator().manual_seed(seed)
        try:
            transformed.append(sample if transform is None else transform(sample, generator=generator))
        except Exception as error:
            _blame(error, positions, index, place)
            raise
    return transformed


def _blame(error: Exception, positions: Sequence[int], index: SampleIndex, place: int) -> None:
    """Add to an error which sample it came from."""
    where = SampleIndex(*(int(part[place]) for part in index))
    error.add_note(f"while reading position {positions[place]}: {where}")


def _first_that_fails(sources: Sequence[Source], index: SampleIndex) -> int | None:
    """Return the place of the first sample that can't be read alone; None if each can."""
    for place in range(len(index.idx)):
        try:
            read_samples(sources, SampleIndex(*(part[place : place + 1] for part in index)))
        except Exception:  # noqa: BLE001 - whatever it is, it is looked for
            return place
    return None


def collating_note(places: Iterable[tuple[int, SampleIndex]], /) -> str:
    """Return what an error in a collate is noted with: what it was handed.

    Example:
        >>> collating_note([(7, SampleIndex(source=0, epoch=1, idx=2))])
        'while collating position 7: SampleIndex(source=0, epoch=1, idx=2)'
    """
    return "while collating " + ", ".join(f"position {position}: {index}" for position, index in places)


_PURE: Final = frozenset({Tensor, np.ndarray, np.memmap, list, tuple, str, bytes, range})
"""Data sets that draw nothing from a global state."""


def _is_pure(function: Any) -> bool:
    """Return whether a function is known to draw nothing from a global state: one of this library, or a container."""
    if function is None or (isinstance(function, type) and function in _PURE):
        return True
    if isinstance(function, partial):
        return _is_pure(function.func) and not any(map(callable, (*function.args, *function.keywords.values())))
    return str(getattr(function, "__module__", None)).startswith(("bionemo.core.", "bionemo.data."))


def _draws_nothing(pipeline: Pipeline[Any]) -> bool:
    """Return whether nothing that a pipeline calls can draw from a global state: then no state has to be kept."""
    sources = all(type(source.dataset) in _PURE and _is_pure(source.transform) for source in pipeline.sources)
    return sources and _is_pure(pipeline.collate) and _is_pure(pipeline.batch_transform)


def assemble(pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex, /) -> Batch:
    """Return the batch of some positions, given what stands there: the one function below every way to a batch.

    What data sets, transforms and collators draw from the global states of torch, NumPy and Python is seeded by the
    pipeline's seed and the first position, in any process, and the states are put back.

    Args:
        pipeline: what is read.
        positions: places in the training order.
        index: what stands there, in one-axis int64 arrays.

    Raises:
        Exception: what a data set or transform raises, with a note that names the position, source, epoch and idx, and
            what a collate raises, with one that names those of all its samples.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, batch_at
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> assemble(pipeline, range(2), columns_at(order, range(2))) == batch_at(pipeline, 0)
        True
    """
    if _draws_nothing(pipeline):
        return _assemble(pipeline, positions, index)
    with random_global_context(fold_in(pipeline.seed, "global", *positions[:1])):
        return _assemble(pipeline, positions, index)


def _assemble(pipeline: Pipeline[Batch], positions: Sequence[int], index: SampleIndex) -> Batch:
    try:
        samples = read_samples(pipeline.sources, index)
    except Exception as error:
        place = _first_that_fails(pipeline.sources, index)
        if place is None:
            error.add_note(f"while reading positions {list(positions)}: each can be read alone")
        else:
            _blame(error, positions, index, place)
        raise
    if len(samples) != len(positions):
        message = f"a data set must give as many samples as it is asked for, got {len(samples)} for {len(positions)}."
        raise ValueError(message)
    if any([source.transform is not None for source in pipeline.sources]):  # noqa: C419 - faster than a generator
        samples = _with_transforms(pipeline, samples, positions, index)
    try:
        batch = samples if pipeline.collate is None else pipeline.collate(list(samples))
        if pipeline.batch_transform is None:
            return batch
        return transform_batch(pipeline.batch_transform, batch, seed=pipeline.seed, positions=positions)
    except Exception as error:
        places = zip(positions, zip(*(part.tolist() for part in index), strict=True), strict=True)
        error.add_note(collating_note((position, SampleIndex(*place)) for position, place in places))
        raise


def columns_at(order: Order, positions: Collection[AnyInt] | IntArray, /) -> SampleIndex:
    """Return what stands at many positions, in one-axis int64 arrays.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> columns_at(EpochOrder(length=5, seed=7), range(5)).idx
        array([0, 1, 4, 3, 2])
    """
    if isinstance(positions, range):
        places = torch.arange(positions.start, positions.stop, positions.step, device="cpu")
    else:
        places = _as_positions(positions)
    return SampleIndex(*(part.numpy() for part in index_at(order, places)))
