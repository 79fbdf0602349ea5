"""Samples of a data set, many at once where it can give them so."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import IntArray

__all__ = ["fetch"]


def fetch(dataset: Any, indices: Any, /) -> Any:
    """Return samples of a data set.

    A tensor or array is gathered from; of one that is mapped from a file, and of a Hugging Face data set, the samples
    are read in rising order. A data set with `__getitems__` is called once; any other is asked for one after the other.

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
        return dataset.index_select(0, torch.from_numpy(places).to(dataset.device))
    if isinstance(dataset, np.memmap):
        rising, back = _sort(np.asarray(indices, dtype=np.int64))
        return np.asarray(dataset[rising])[back]
    if isinstance(dataset, np.ndarray):
        return dataset[np.asarray(indices, dtype=np.int64)]
    keys = indices.tolist() if isinstance(indices, np.ndarray) else indices
    if not hasattr(dataset, "__getitems__"):
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
