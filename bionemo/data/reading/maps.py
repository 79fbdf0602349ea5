"""Data sets made of parts of others: nothing is read or copied when they are made."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import groups
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, check_index, check_int
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.int64 import as_integers
from bionemo.data.reading.dataset import SizedDataset, shown_dataset
from bionemo.data.reading.indexed import Indexed
from bionemo.data.reading.indexing import check_by_position
from bionemo.data.reading.read import fetch

__all__ = ["Concatenation", "Runs", "Selection", "concat", "filter_idx", "take", "window"]


def _fingerprint(dataset: Any) -> str | None:
    """Return the string by which a data set identifies its data, if it has one."""
    found = getattr(dataset, "fingerprint", None) or getattr(dataset, "_fingerprint", None)
    return found if isinstance(found, str) else None


@attrs.frozen(eq=False, repr=False)
class Selection(Indexed):
    """Some samples of a data set: what `take` and `filter_idx` return."""

    dataset: SizedDataset[Any]
    idx: FrozenArray | range
    """The index of each sample in the data set."""

    def __len__(self) -> int:
        return len(self.idx)

    def read_many(self, indices: IntArray, /) -> Any:
        """Return the samples at indices in one axis, which are not checked."""
        return fetch(self.dataset, indices if isinstance(self.idx, range) else self.idx.array[indices])

    @property
    def fingerprint(self) -> str | None:
        """The data set's fingerprint, and which samples are selected; None if the data set has none."""
        chosen = str(self.idx) if isinstance(self.idx, range) else self.idx.digest
        return _joined("select", [self.dataset], chosen)

    def __repr__(self) -> str:
        return f"{len(self)} samples of {shown_dataset(self.dataset)}"


@attrs.frozen(eq=False, repr=False)
class Concatenation(Indexed):
    """Several data sets, one after the other: what `concat` returns."""

    datasets: tuple[SizedDataset[Any], ...]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read_many(self, indices: IntArray, /) -> Any:
        """Return the samples at indices in one axis, which are not checked."""
        samples: list[Any] = [None] * len(indices)
        for part, members in groups(np.searchsorted(self._ends, indices, side="right")):
            found = fetch(self.datasets[part], indices[members] - (self._ends[part - 1] if part else 0))
            for member, sample in zip(members.tolist(), found, strict=True):
                samples[member] = sample
        return samples

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.array(list(accumulate(map(len, self.datasets))))

    @property
    def fingerprint(self) -> str | None:
        """The fingerprints of all data sets; None if one of them has none."""
        return _joined("concat", self.datasets, "")

    def __repr__(self) -> str:
        return f"{len(self)} samples of {len(self.datasets)} data sets, the first one {shown_dataset(self.datasets[0])}"


@attrs.frozen(eq=False, repr=False)
class Runs(Indexed):
    """Runs of neighbouring samples of a data set, all equally long: what `window` returns."""

    dataset: SizedDataset[Any]
    size: int
    stride: int

    def __len__(self) -> int:
        return max(len(self.dataset) - self.size + self.stride, 0) // self.stride

    def read_many(self, indices: IntArray, /) -> Any:
        """Return the samples at indices in one axis, which are not checked."""
        found = fetch(self.dataset, np.add.outer(indices * self.stride, np.arange(self.size)).ravel())
        return [found[first : first + self.size] for first in range(0, len(found), self.size)]

    @property
    def fingerprint(self) -> str | None:
        """The data set's fingerprint, and the windows; None if the data set has none."""
        return _joined("window", [self.dataset], f"{self.size} {self.stride}")

    def __repr__(self) -> str:
        return f"{len(self)} windows of {self.size} of {shown_dataset(self.dataset)}"


def _joined(name: str, datasets: Any, how: str) -> str | None:
    found = [_fingerprint(dataset) for dataset in datasets]
    return None if None in found else hashlib.sha256(json.dumps([name, found, how]).encode()).hexdigest()


@checked
def take(dataset: SizedDataset[Any], num_samples: AnyInt, /) -> Selection:
    """Return the first samples of a data set.

    Law: sample `k` is `dataset[k]`.

    Args:
        dataset: any data set that is indexed by position.
        num_samples: 0..len(dataset).

    Raises:
        ValueError: if there are fewer samples.
        TypeError: if the data set isn't indexed by position, or the number is not an integer.

    Example:
        >>> list(take("abcde", 3))
        ['a', 'b', 'c']
    """
    check_by_position(dataset)
    return Selection(dataset, range(check_int(num_samples, name="num_samples", high=len(dataset))))


def _as_bools(keep: Any) -> NDArray[np.bool_] | None:
    """Return a mask as an array; None if the elements are something else."""
    if isinstance(keep, Tensor):
        return np.asarray(keep.cpu()) if keep.dtype == torch.bool else None
    if isinstance(keep, np.ndarray):
        return keep if keep.dtype == np.bool_ else None
    is_mask = isinstance(keep, Sequence) and {*map(type, keep)} <= {bool, np.bool_} and len(keep) > 0
    return np.asarray(keep, dtype=np.bool_) if is_mask else None


@checked
def filter_idx(dataset: SizedDataset[Any], keep: Any, /) -> Selection:
    """Return the samples of a data set that a mask or a list of indices names.

    Laws: sample `k` is `dataset[keep[k]]`, or `dataset` at the k-th True of a mask. An index may come several times.

    Args:
        dataset: any data set that is indexed by position.
        keep: one axis of indices, or of bools, one per sample: in a sequence, array or tensor.

    Raises:
        ValueError: if a mask hasn't one element per sample, or there is more than one axis.
        IndexError: if there is no such sample.
        TypeError: if the data set isn't indexed by position, or `keep` holds anything else.

    Example:
        >>> list(filter_idx("abcde", [4, 0])), list(filter_idx("abcde", [True, False, False, True, False]))
        (['e', 'a'], ['a', 'd'])
    """
    check_by_position(dataset)
    found = _as_bools(keep)
    if found is not None:
        if found.shape != (len(dataset),):
            message = f"keep must have one bool per sample, got shape {found.shape} for {len(dataset)} samples."
            raise ValueError(message)
        return Selection(dataset, FrozenArray(np.flatnonzero(found)))
    indices = as_integers(keep, name="keep")
    if indices.ndim != 1:
        message = f"keep must have one axis, got shape {indices.shape}."
        raise ValueError(message)
    check_index(indices, stop=len(dataset), name="keep")
    return Selection(dataset, FrozenArray(indices.astype(np.int64)))


@checked
def concat(*datasets: SizedDataset[Any]) -> Concatenation:
    """Return several data sets as one, one after the other.

    Law: the samples are those of the first data set, then those of the second one, and so on.

    Raises:
        ValueError: if there is no data set.
        TypeError: if one isn't indexed by position.

    Example:
        >>> list(concat("abc", "de"))
        ['a', 'b', 'c', 'd', 'e']
    """
    if not datasets:
        message = "datasets must be at least one, got none."
        raise ValueError(message)
    for dataset in datasets:
        check_by_position(dataset)
    return Concatenation(datasets)


@checked
def window(dataset: SizedDataset[Any], size: AnyInt, /, *, stride: AnyInt | None = None) -> Runs:
    """Return the runs of neighbouring samples of a data set, e.g. of the tokens of a genome, or of frames.

    Laws: sample `k` holds the samples `k * stride` to `k * stride + size - 1`, as `fetch` returns them: a tensor of a
    tensor, an array of an array, and else a list. What doesn't fill a window at the end is left out.

    Args:
        dataset: any data set that is indexed by position.
        size: samples per window, at least 1.
        stride: samples from the start of a window to that of the next one, at least 1; None for `size`.

    Raises:
        ValueError: if a number is below 1.
        TypeError: if the data set isn't indexed by position, or a number is not an integer.

    Example:
        >>> list(window("abcde", 2)), list(window("abcde", 3, stride=1))
        ([['a', 'b'], ['c', 'd']], [['a', 'b', 'c'], ['b', 'c', 'd'], ['c', 'd', 'e']])
    """
    check_by_position(dataset)
    size = check_int(size, name="size", low=1)
    return Runs(dataset, size, size if stride is None else check_int(stride, name="stride", low=1))
