"""Samples in proportion to their weights, spread evenly: without the gaps and clumps of random draws."""

from functools import cached_property
from typing import Any, Final, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import take
from bionemo.core.checks import IntArray, as_int, check_index, check_seed, shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.hashing import fold_in
from bionemo.data.orders.base import OrderBase, check_num_samples
from bionemo.data.orders.by_weight.interleave import (
    Interleaving,
    counts_among,
    item_at,
    make_interleaving,
    position_of_item,
)
from bionemo.data.orders.by_weight.weighted import to_weights
from bionemo.data.orders.by_weight.weights import MAX_TOTAL, integer_weights
from bionemo.data.orders.order import SampleIndex
from bionemo.data.orders.shuffles import shuffle_in_groups
from bionemo.data.permute import permute_kernel, unpermute_kernel

__all__ = ["ProportionalOrder"]

_MAX_WEIGHTS: Final = 2**16
"""Largest number of different weights: the samples of each are a source of a mixture."""
_TOTAL: Final = 2**30
"""Sum of the integers into which other weights are converted."""


class _Classes(NamedTuple):
    """The samples by weight: those of the c-th weight above 0 are `samples[starts[c]:starts[c + 1]]`."""

    starts: IntArray
    samples: NDArray[Any]
    tables: Interleaving
    depth: int
    last_counts: IntArray
    """Per class: the largest number of earlier draws at a position that fits int64."""


@attrs.frozen(kw_only=True)
class ProportionalOrder(OrderBase):
    """Each sample as often as its weight says, as evenly as can be, and those of equal weight in fresh order each time.

    Like a `WeightedOrder`, but the counts are exact, and there is an inverse: a rare sample comes at regular intervals,
    and a frequent one never twice in a row by chance. A sample's `epoch` is how often it was read before.

    Laws: among the first n positions, the count of a sample differs from `n * weight / total` by less than 2.68, if the
    weights are integers with a sum below 2**31; others are rounded, for all samples of equal weight together, to within
    2**-30 of the total, if none of these parts is smaller than that. The samples of equal weight are all read before
    one of them is read again. A sample of weight 0 is never read. `position_of` inverts `index_at`. Time depends on the
    logarithm of the number of different weights.

    Args:
        weights: one axis of finite, non-negative numbers, not all zero, of at most 65,536 different values.
        seed: 0..2**63-1; determines the order of the samples of equal weight.
        num_samples: total number of positions, 0..2**62. None for no end.

    Raises:
        ValueError: if a number is out of range, a weight is NaN, negative or infinite, all weights are zero, or there
            are too many different ones.
        TypeError: if the weights are not real numbers, or another field is not an integer.

    Source: the samples of equal weight are shuffled as by `EpochOrder`, and interleaved as by `MixtureOrder`.

    Example:
        >>> order = ProportionalOrder(weights=[2, 1, 0, 1], seed=7)
        >>> [order.index_at(position).idx for position in range(8)]
        [0, 3, 0, 1, 0, 1, 0, 3]
    """

    weights: FrozenArray = attrs.field(converter=to_weights)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @weights.validator
    def _check_number(self, _: "attrs.Attribute[Any]", weights: FrozenArray) -> None:
        if (found := len(np.unique(weights.array))) > _MAX_WEIGHTS:
            message = f"weights must have at most {_MAX_WEIGHTS} different values, got {found}. Round them."
            raise ValueError(message)

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples, with those of weight 0."""
        return len(self.weights)

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        classes = self._classes
        kind, count = item_at(position, classes.tables, classes.depth)
        first = take(classes.starts, kind)
        size = take(classes.starts, kind + 1) - first
        epoch = count // size
        number = shuffle_in_groups(permute_kernel, self._shuffle_seed, count % size, size=size, group=kind, again=epoch)
        return SampleIndex(0, epoch, _as_int64(take(classes.samples, first + number)))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if there is no such sample, its weight is 0, or the position doesn't fit int64.
        """
        idx, epoch = as_int(check_index(index.idx, stop=self.length, name="idx")), as_int(index.epoch)
        if not np.all(self.weights.array[idx]):
            message = f"idx must be a sample of weight above 0, got idx={shown(idx)}."
            raise IndexError(message)
        classes = self._classes
        slot = take(self._slots, idx)
        kind = np.searchsorted(classes.starts, slot, side="right") - 1
        kind = kind if isinstance(idx, np.ndarray) else int(kind)
        first, last = take(classes.starts, kind), take(classes.last_counts, kind)
        size = take(classes.starts, kind + 1) - first
        numbers = {"size": size, "group": kind, "again": epoch}
        number = shuffle_in_groups(unpermute_kernel, self._shuffle_seed, slot - first, **numbers)
        if np.any((epoch > last // size) | (number > last - epoch * size)):
            message = f"epoch must be one whose positions fit int64, got epoch={shown(epoch)}."
            raise IndexError(message)
        return position_of_item(kind, epoch * size + number, classes.tables, classes.depth)

    @cached_property
    def _classes(self) -> _Classes:
        weights = self.weights.array
        by_weight = np.argsort(weights, kind="stable")[np.count_nonzero(weights == 0) :]
        ascending = weights[by_weight]
        starts = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
        values = ascending[[0, *starts]].tolist()
        starts = np.array([0, *starts, len(by_weight)])
        sizes = np.diff(starts).tolist()
        totals = [value * size for value, size in zip(values, sizes, strict=True)]
        if all(value == int(value) for value in values) and sum(totals) <= MAX_TOTAL:
            given = tuple(map(int, totals))
        else:  # the largest weight becomes 1: products stay finite, and a weight above 0 stays above it
            fractions = [max(value / values[-1], 1e-300) for value in values]
            scaled = [fraction * size for fraction, size in zip(fractions, sizes, strict=True)]
            given = integer_weights(scaled, _TOTAL).weights
        tables, depth = make_interleaving([(0, given)])
        dtype = np.uint32 if self.length < 2**32 else np.int64
        last_counts = np.array([count - 1 for count in counts_among(2**63, given)])
        return _Classes(starts, by_weight.astype(dtype), tables, depth, last_counts)

    @cached_property
    def _slots(self) -> IntArray:
        """Index of each sample among the classes; that of a sample of weight 0 has no meaning."""
        slots: IntArray = np.zeros(self.length, dtype=np.int64)
        slots[self._classes.samples] = np.arange(len(self._classes.samples))
        return slots

    @cached_property
    def _shuffle_seed(self) -> int:
        return fold_in(self.seed, "proportional")


def _as_int64(values: Any) -> Any:
    return values.astype(np.int64) if isinstance(values, np.ndarray) else values
