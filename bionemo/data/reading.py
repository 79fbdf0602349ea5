"""Samples of a data set, many at once where it can give them so."""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import IntArray

__all__ = ["fetch"]

_SIGNED: Final = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""What torch gathers in place of the unsigned types, which it doesn't: the bits are the same."""


def fetch(dataset: Any, indices: Any, /) -> Any:
    """Return samples of a data set.

    A tensor or array is gathered from. Memory-mapped arrays and Hugging Face data sets are read in rising order, and
    put back in the sequence asked for. A data set with `__getitems__` is called once; any other is asked for one after
    the other.

    Law: sample `k` of the answer is `dataset[indices[k]]`.

    Args:
        dataset: random access by integer, or by whatever `indices` holds.
        indices: an int64 array, or a list of what the data set is indexed by.

    Returns:
        A tensor of a tensor, an array of an array, and a list of anything else.

    Example:
        >>> fetch("abc", [2, 0]), fetch(torch.tensor([5, 6, 7]), np.array([2, 0]))
        (['c', 'a'], tensor([7, 5]))
    """
    if isinstance(dataset, Tensor):
        places = np.asarray(indices, dtype=np.int64)
        signed = dataset.view(_SIGNED[dataset.dtype]) if dataset.dtype in _SIGNED else dataset
        return signed.index_select(0, torch.from_numpy(places).to(dataset.device)).view(dataset.dtype)
    if isinstance(dataset, np.memmap):
        rising, back = _sort(np.asarray(indices, dtype=np.int64))
        return np.asarray(dataset[rising])[back]
    if isinstance(dataset, np.ndarray):
        return dataset[np.asarray(indices, dtype=np.int64)]
    keys = indices.tolist() if isinstance(indices, np.ndarray) else indices
    if not keys or not hasattr(dataset, "__getitems__"):
        return [dataset[key] for key in keys]
    if not type(dataset).__module__.startswith("datasets."):
        return dataset.__getitems__(keys)
    rising, back = _sort(np.asarray(keys, dtype=np.int64))
    samples = dataset.__getitems__(rising.tolist())
    return [samples[place] for place in back.tolist()]


def _sort(indices: IntArray) -> tuple[IntArray, IntArray]:
    """Return indices in rising order, and the place there of each."""
    order = np.argsort(indices, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return indices[order], back
