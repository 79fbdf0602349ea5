"""Reading samples: of one data set by its keys, and of a pipeline's sources by `SampleIndex`."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import length_hint
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import StackDataset, Subset

from bionemo.core.arrays import groups
from bionemo.core.checks import IntArray, as_int
from bionemo.data.orders.order import SampleIndex
from bionemo.data.reading.dataset import EpochIndex, Source
from bionemo.data.reading.indexing import gives_many, is_labelled

__all__ = ["describe_members", "fetch", "keys_of", "read", "read_sample"]

_SIGNED: Final = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Signed dtypes as wide as the unsigned ones, for which torch has no `index_select`."""

_TOGETHER: Final = frozenset({"many", "parts"})
"""Ways to read in which `__getitems__` gives all samples of a batch."""

_WHOLE: Final = frozenset({"arrow", "pandas", "polars"})
"""Formats of Hugging Face data sets in which `dataset[index]` is a frame of one row, but `__getitems__` gives dicts."""


def keys_of(source: Source, index: SampleIndex, /) -> Any:
    """Return what a source's data set is indexed by: indices, or a list of `EpochIndex`.

    Args:
        source: says which of the two.
        index: one-axis int64 arrays.

    Example:
        >>> keys_of(Source("xyz", index="epoch"), SampleIndex(np.zeros(1), np.array([3]), np.array([2])))
        [EpochIndex(epoch=3, idx=2)]
    """
    if source.index == "idx":
        return index.idx
    return list(map(EpochIndex, index.epoch.tolist(), index.idx.tolist()))


def read_sample(source: Source, index: SampleIndex, /) -> Any:
    """Return one sample as its data set holds it.

    Args:
        source: what is read.
        index: which sample, as ints; its `source` is ignored.

    Example:
        >>> read_sample(Source("xyz"), SampleIndex(source=0, epoch=0, idx=2))
        'z'
    """
    key = index.idx if source.index == "idx" else EpochIndex(as_int(index.epoch), as_int(index.idx))
    (sample,) = fetch(source.dataset, [key])
    return sample


def read(sources: Sequence[Source], index: SampleIndex, /, *, describe: Callable[[Any], str]) -> Any:
    """Return samples of several sources as their data sets hold them.

    Args:
        sources: what is read.
        index: which samples, in one-axis int64 arrays.
        describe: returns the note for an error; called with an int64 array or slice, which selects the samples that
            were being read.

    Returns:
        What `fetch` returns if there is one source, else a list.

    Raises:
        Exception: what a data set raises, with the note.

    Example:
        >>> index = SampleIndex(source=np.array([1, 0]), epoch=np.zeros(2), idx=np.array([2, 0]))
        >>> read([Source("abc"), Source("xyz")], index, describe=str)
        ['z', 'a']
    """
    if len(sources) == 1:
        return fetch(sources[0].dataset, keys_of(sources[0], index), describe=describe)
    samples: list[Any] = [None] * len(index.source)
    for number, members in groups(index.source):
        keys = keys_of(sources[number], SampleIndex(*(part[members] for part in index)))
        found = fetch(sources[number].dataset, keys, describe=partial(describe_members, describe, members))
        for member, sample in zip(members.tolist(), found, strict=True):
            samples[member] = sample
    return samples


def describe_members(describe: Callable[[Any], str], members: IntArray, numbers: Any, /) -> str:
    """Return the note for an error in some members of a batch, of which `numbers` selects those that it names.

    Example:
        >>> describe_members(str, np.array([3, 5, 8]), slice(1, 2))
        '[5]'
    """
    return describe(members[numbers])


def fetch(dataset: Any, keys: Any, /, *, describe: Callable[[Any], str] | None = None) -> Any:
    """Return samples of a data set.

    A tensor or array is gathered from. Memory-mapped arrays and Hugging Face data sets are read in ascending order.
    `__getitems__` is called once if a data set has it, unless a more derived class overrides `__getitem__`; other data
    sets are read one sample at a time. A pandas Series or DataFrame is read by position.

    Law: sample `k` of the result is `dataset[keys[k]]`, or `dataset.iloc[keys[k]]` of a Series or DataFrame.

    Args:
        dataset: random access by integer, or by whatever `keys` holds.
        keys: integers in an array, or a list of what the data set is indexed by.
        describe: returns the note for an error, as in `read`; it is called for one sample, or for all if they were read
            at once.

    Returns:
        A tensor for a tensor, an array for an array, and a list for anything else.

    Example:
        >>> fetch("abc", [2, 0]), fetch(torch.tensor([5, 6, 7]), np.array([2, 0]))
        (['c', 'a'], tensor([7, 5]))
    """
    unread: Any = None  # the keys that are read one by one, and not yet
    try:
        kind: Any = type(dataset)
        way = _way_to_read(kind)
        if way == "array" or (way == "tensor" and _is_dense(dataset)):
            indices = np.array(keys, dtype=np.int64)
            return _gather(dataset, indices) if way == "tensor" else _take(dataset, indices)
        keys = keys.tolist() if isinstance(keys, np.ndarray) else [as_int(key) for key in keys]
        if keys and (way in _TOGETHER or (way == "hugging_face" and _gives_dicts(dataset))):
            return _getitems(dataset, keys, way)
        rows, unread = dataset.iloc if way == "frame" else dataset, iter(keys)
        return [rows[key] for key in unread]
    except Exception as error:
        if describe is not None:
            error.add_note(describe(slice(None) if unread is None else np.array([len(keys) - 1 - length_hint(unread)])))
        raise


@lru_cache(maxsize=256)
def _way_to_read(kind: Any) -> Literal["tensor", "array", "many", "parts", "hugging_face", "frame", "one"]:
    """Return how samples of a type of data set are read."""
    if issubclass(kind, Tensor) and kind.__getitem__ is Tensor.__getitem__:
        return "tensor"
    is_plain = issubclass(kind, np.ndarray) and (
        kind.__getitem__ is np.ndarray.__getitem__ or kind.__module__.startswith("numpy")
    )
    if is_plain or issubclass(kind, np.memmap):
        return "array"
    if gives_many(kind):
        if kind.__getitems__ in {Subset.__getitems__, StackDataset.__getitems__}:
            return "parts"
        return "hugging_face" if any(base.__module__ == "datasets.arrow_dataset" for base in kind.__mro__) else "many"
    return "frame" if is_labelled(kind) else "one"


def _is_dense(dataset: Tensor) -> bool:
    return dataset.layout is torch.strided and not dataset.is_nested


def _gives_dicts(dataset: Any) -> bool:
    """Return whether the samples that `__getitems__` of a Hugging Face data set returns are those of `[...]`."""
    return (getattr(dataset, "format", None) or {}).get("type") not in _WHOLE


def _getitems(dataset: Any, keys: list[Any], way: str) -> Any:
    """Return samples of a data set by its `__getitems__`."""
    if way == "parts":
        return _from_parts(dataset, keys)
    kind: Any = type(dataset)
    if way == "hugging_face":
        ascending, back = _sort(np.asarray(keys, dtype=np.int64))
        samples = kind.__getitems__(dataset, ascending.tolist())
        return [samples[number] for number in back.tolist()]
    samples = kind.__getitems__(dataset, keys)
    if len(samples) != len(keys):
        message = f"a data set must return one sample per index, got {len(samples)} samples for {len(keys)} indices."
        raise ValueError(message)
    return samples


def _gather(dataset: Tensor, indices: IntArray) -> Tensor:
    rows = torch.from_numpy(indices)
    if not dataset.is_cpu:
        rows = rows.to(dataset.device)
    if dataset.dtype not in _SIGNED:
        return dataset.index_select(0, rows)
    return dataset.view(_SIGNED[dataset.dtype]).index_select(0, rows).view(dataset.dtype)


def _take(dataset: NDArray[Any], indices: IntArray) -> NDArray[Any]:
    if not isinstance(dataset, np.memmap):
        found: NDArray[Any] = dataset[indices]
        return found
    ascending, back = _sort(indices)
    return np.asarray(dataset[ascending])[back]


def _from_parts(dataset: Any, keys: list[int]) -> list[Any]:
    """Return samples of a `Subset` or `StackDataset` by reading its parts.

    Torch's own `__getitems__` would look the method up on the parts' instances, see `gives_many`.
    """
    if isinstance(dataset, Subset):
        return list(fetch(dataset.dataset, [dataset.indices[key] for key in keys]))
    if isinstance(dataset.datasets, dict):
        columns = [fetch(part, keys) for part in dataset.datasets.values()]
        return [dict(zip(dataset.datasets, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(zip(*(fetch(part, keys) for part in dataset.datasets), strict=True))


def _sort(indices: IntArray) -> tuple[IntArray, IntArray]:
    """Return sorted indices, and where each of the given indices is among them."""
    order = np.argsort(indices, kind="stable")
    return indices[order], np.argsort(order)
