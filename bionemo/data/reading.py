"""Samples of a data set, many at once where it can give them so."""

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import StackDataset, Subset

from bionemo.core.utils.checks import IntArray, as_int
from bionemo.data.indexing import by_position, gives_many

__all__ = ["fetch"]

_SIGNED: Final = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""What torch gathers in place of the unsigned types, which it doesn't: the bits are the same."""


_WHOLE: Final = frozenset({"arrow", "pandas", "polars"})
"""Formats of Hugging Face data sets where `dataset[index]` is a frame of one row, and `__getitems__` gives dicts."""


def fetch(dataset: Any, indices: Any, /) -> Any:
    """Return samples of a data set.

    A tensor or array is gathered from. Memory-mapped arrays and Hugging Face data sets are read in rising order, and
    put back in the sequence asked for. A data set with `__getitems__` is called once, unless a more derived class
    overrides `__getitem__`; any other is asked for one after the other. Series and DataFrames of pandas are read by
    position.

    Law: sample `k` of the answer is `dataset[indices[k]]`, or `dataset.iloc[indices[k]]` of a Series or DataFrame.

    Args:
        dataset: random access by integer, or by whatever `indices` holds.
        indices: integers in an array, or a list of what the data set is indexed by.

    Returns:
        A tensor of a tensor, an array of an array, and a list of anything else.

    Example:
        >>> fetch("abc", [2, 0]), fetch(torch.tensor([5, 6, 7]), np.array([2, 0]))
        (['c', 'a'], tensor([7, 5]))
    """
    if _is_gathered(dataset):
        places = np.array(indices, dtype=np.int64)
        return _gather(dataset, places) if isinstance(dataset, Tensor) else _take(dataset, places)
    keys = indices.tolist() if hasattr(type(indices), "tolist") else [as_int(index) for index in indices]
    if not keys or not _many_at_once(dataset):
        rows = by_position(dataset)
        return [rows[key] for key in keys]
    kind: Any = type(dataset)
    if kind.__getitems__ in {Subset.__getitems__, StackDataset.__getitems__}:
        return _from_parts(dataset, keys)
    if not kind.__module__.startswith("datasets."):
        return kind.__getitems__(dataset, keys)
    rising, back = _sort(np.asarray(keys, dtype=np.int64))
    samples = kind.__getitems__(dataset, rising.tolist())
    return [samples[place] for place in back.tolist()]


def _is_gathered(dataset: object) -> bool:
    """Return whether a data set takes an array of indices: tensors and arrays, with no `__getitem__` of a user's."""
    kind: Any = type(dataset)
    if isinstance(dataset, Tensor):
        is_dense = dataset.layout is torch.strided and not dataset.is_nested
        return is_dense and kind.__getitem__ is Tensor.__getitem__
    if isinstance(dataset, np.memmap):
        return True
    return isinstance(dataset, np.ndarray) and (
        kind.__getitem__ is np.ndarray.__getitem__ or kind.__module__.startswith("numpy")
    )


def _gather(dataset: Tensor, places: IntArray) -> Tensor:
    signed = dataset.view(_SIGNED[dataset.dtype]) if dataset.dtype in _SIGNED else dataset
    return signed.index_select(0, torch.from_numpy(places).to(dataset.device)).view(dataset.dtype)


def _take(dataset: NDArray[Any], places: IntArray) -> NDArray[Any]:
    if not isinstance(dataset, np.memmap):
        found: NDArray[Any] = dataset[places]
        return found
    rising, back = _sort(places)
    return np.asarray(dataset[rising])[back]


def _from_parts(dataset: Any, keys: list[int]) -> list[Any]:
    """Return samples of a combination of torch's, whose `__getitems__` asks the parts' instances for theirs."""
    if isinstance(dataset, Subset):
        return list(fetch(dataset.dataset, [dataset.indices[key] for key in keys]))
    if isinstance(dataset.datasets, dict):
        columns = [fetch(part, keys) for part in dataset.datasets.values()]
        return [dict(zip(dataset.datasets, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(zip(*(fetch(part, keys) for part in dataset.datasets), strict=True))


def _many_at_once(dataset: Any) -> bool:
    """Return whether `__getitems__` gives the samples that `[...]` gives, one by one."""
    if not gives_many(type(dataset)):
        return False
    is_theirs = any(base.__module__.startswith("datasets.") for base in type(dataset).__mro__)
    return not is_theirs or (getattr(dataset, "format", None) or {}).get("type") not in _WHOLE


def _sort(indices: IntArray) -> tuple[IntArray, IntArray]:
    """Return indices in rising order, and the place there of each."""
    order = np.argsort(indices, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return indices[order], back
