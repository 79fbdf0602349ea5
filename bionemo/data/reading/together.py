"""The samples of several batches, read by one call per data set: each sample once, and each chunk of a file once."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from bionemo.core.checks import IntArray
from bionemo.data.orders.order import SampleIndex
from bionemo.data.reading.dataset import Source
from bionemo.data.reading.read import fetch, keys_of

__all__ = ["announce", "can_prefetch", "chunks_of", "read_together"]


def read_together(sources: Sequence[Source], batches: Sequence[SampleIndex], /) -> list[Any]:
    """Return the samples of several batches, read by one call per source.

    Each source is asked for its samples in ascending order, without duplicates, or chunk by chunk if its data set has a
    `chunk_of`. A sample that occurs twice is copied, so that a change of one is none of the other.

    Law: `read_together(sources, batches)[k]` equals `read(sources, batches[k])`.

    Args:
        sources: what is read.
        batches: which samples, in one-axis int64 arrays.

    Raises:
        Exception: what a data set raises.
        TypeError: if a `__getitems__` returns a container that can't be divided into batches.

    Example:
        >>> zeros = np.zeros(2, dtype=np.int64)
        >>> batches = [SampleIndex(zeros, zeros, np.array(idx)) for idx in ([2, 0], [1, 2])]
        >>> read_together([Source("xyz")], batches)
        [['z', 'x'], ['y', 'z']]
    """
    index = SampleIndex(*map(np.concatenate, zip(*batches, strict=True)))
    stops = np.cumsum([len(batch.idx) for batch in batches])
    bounds = list(zip([0, *stops[:-1].tolist()], stops.tolist(), strict=True))
    if len(sources) == 1:
        found, back = _read_once(sources[0], index)
        deal = _dealer(found, back)
        return [deal(back[first:stop]) for first, stop in bounds]
    samples: list[Any] = [None] * len(index.idx)
    for number in np.unique(index.source).tolist():
        members = np.flatnonzero(index.source == number)
        found, back = _read_once(sources[number], SampleIndex(*(part[members] for part in index)))
        for member, sample in zip(members.tolist(), _dealer(found, back)(back), strict=True):
            samples[member] = sample
    return [samples[first:stop] for first, stop in bounds]


def chunks_of(dataset: Any, idx: IntArray, /) -> IntArray | None:
    """Return the number of the chunk that each sample is in; None if a data set doesn't say.

    A data set says it by a method `chunk_of`, which takes and returns an int64 array.

    Example:
        >>> class Chunked(list):
        ...     def chunk_of(self, idx):
        ...         return idx // 100
        >>> chunks_of(Chunked(range(1000)), np.array([5, 99, 100, 734]))
        array([0, 0, 1, 7])
    """
    if not callable(getattr(type(dataset), "chunk_of", None)):
        return None
    return np.asarray(dataset.chunk_of(idx), dtype=np.int64)


def can_prefetch(dataset: Any, /) -> bool:
    """Return whether a data set has a method `prefetch`, which takes the samples that will be read next.

    Example:
        >>> can_prefetch([1, 2])
        False
    """
    return callable(getattr(type(dataset), "prefetch", None))


def announce(sources: Sequence[Source], batches: Sequence[SampleIndex], /) -> None:
    """Tell data sets that can prefetch which samples will be read next: a sorted int64 array, without duplicates.

    Example:
        >>> class Remote(list):
        ...     def prefetch(self, idx):
        ...         print(idx)
        >>> announce([Source(Remote("xyz"))], [SampleIndex(np.zeros(2), np.zeros(2), np.array([2, 0]))])
        [0 2]
    """
    index = SampleIndex(*map(np.concatenate, zip(*batches, strict=True)))
    for number, source in enumerate(sources):
        if can_prefetch(source.dataset):
            source.dataset.prefetch(np.unique(index.idx[index.source == number]))  # type: ignore[attr-defined]


def _read_once(source: Source, index: SampleIndex) -> tuple[Any, IntArray]:
    """Return the different samples among those of an index, and where each one is among them."""
    sort_by = [index.idx] if source.index == "idx" else [index.epoch, index.idx]
    chunks = chunks_of(source.dataset, index.idx)
    order = np.lexsort(sort_by if chunks is None else [*sort_by, chunks])
    is_new = np.zeros(len(order), dtype=np.bool_)
    is_new[:1] = True
    for part in sort_by:
        is_new[1:] |= part[order[1:]] != part[order[:-1]]
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.cumsum(is_new) - 1
    chosen = order[is_new]
    return fetch(source.dataset, keys_of(source, SampleIndex(*(part[chosen] for part in index)))), back


def _dealer(found: Any, numbers: IntArray) -> Callable[[IntArray], Any]:
    """Return a function that returns the samples of some of the numbers, each time it is called other objects."""
    if isinstance(found, Tensor | np.ndarray):
        return partial(fetch, found)
    if not isinstance(found, list):
        message = f"__getitems__ must return a list, a tensor or an array to be read ahead, got {type(found).__name__}."
        raise TypeError(message)
    if len(found) == len(numbers):  # none occurs twice
        return lambda numbers: [found[number] for number in numbers.tolist()]
    was_dealt = [False] * len(found)

    def deal(numbers: IntArray) -> list[Any]:
        samples = []
        for number in numbers.tolist():
            samples.append(deepcopy(found[number]) if was_dealt[number] else found[number])
            was_dealt[number] = True
        return samples

    return deal
