"""Lengths of the samples of an order's sources, and the padding that they cause."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import BLOCK
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, check_int, shown
from bionemo.core.frozen_array import FrozenArray, is_read_only_map
from bionemo.core.int64 import as_int64, as_integers
from bionemo.data.orders.order import Order, SampleIndex, check_is_order, index_at

__all__ = ["check_lengths", "frozen_lengths", "lengths_of", "padding_fraction"]

_MAX_POSITIONS: Final = 2**30
"""Largest number of positions that are looked up for one fraction: minutes."""
_MAX_BATCH: Final = 2**24
"""Largest batch, which is looked up at once: a gigabyte."""


def frozen_lengths(lengths: Any, /) -> tuple[FrozenArray, ...]:
    """Return the lengths of the samples of each source as frozen arrays.

    Args:
        lengths: one-dimensional integers, or a tuple of such for several sources. Kept as int64, so that equal lengths
            make equal orders; a memory map of integers that `FrozenArray` keeps is not copied.

    Raises:
        TypeError: if the rows of several sources are not in a tuple.

    Example:
        >>> frozen_lengths([3, 5])
        (FrozenArray(int64[2], sha256=2267ce6f4ec7),)
    """
    if isinstance(lengths, list) and lengths and _is_row(lengths[0]):
        message = (
            "lengths must be one-dimensional integers, or a tuple of such with one row per source, got a list of "
            f"{len(lengths)} rows."
        )
        raise TypeError(message)
    parts = lengths if isinstance(lengths, tuple) and lengths and not np.isscalar(lengths[0]) else (lengths,)
    return tuple(part if isinstance(part, FrozenArray) else FrozenArray(_as_int64(part)) for part in parts)


def _is_row(part: Any) -> bool:
    return hasattr(part, "__len__") and not isinstance(part, str | bytes) and getattr(part, "ndim", 1) > 0


def _as_int64(lengths: Any) -> NDArray[Any]:
    """Return lengths as int64 if they fit, and memory maps unchanged."""
    if is_read_only_map(lengths):
        mapped: NDArray[Any] = lengths
        return mapped
    found = as_integers(lengths, name="lengths")
    return as_int64(found, name="lengths")


def check_lengths(order: Order, lengths: tuple[FrozenArray, ...], /) -> None:
    """Check that there is one length per sample of each source of an order.

    Raises:
        ValueError: if there isn't, or a length is negative or doesn't fit int64.
        TypeError: if they are not one-dimensional integers.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> check_lengths(EpochOrder(length=3, seed=7), frozen_lengths([3, 5]))
        Traceback (most recent call last):
        ValueError: lengths must be one per sample of each source, got (2,) for (3,).
    """
    if any(part.array.ndim != 1 or part.array.dtype.kind not in "iu" for part in lengths):
        message = f"lengths must be one-dimensional integers for each source, got {shown(lengths)}."
        raise TypeError(message)
    found = tuple(map(len, lengths))
    expected = getattr(order, "source_lengths", None) or (None,) * order.num_sources
    if len(found) != len(expected) or any(
        of_order not in {None, length} for length, of_order in zip(found, expected, strict=True)
    ):
        message = f"lengths must be one per sample of each source, got {shown(found)} for {shown(expected)}."
        if len(found) != len(expected):
            message += " Give a tuple with the lengths of each source."
        raise ValueError(message)
    for part in lengths:
        for bound in (int(part.array.min()), int(part.array.max())) if len(part) else ():
            check_int(bound, name="lengths")


def lengths_of(lengths: Sequence[FrozenArray], index: SampleIndex, /) -> IntArray:
    """Return the lengths of samples, given in int64 arrays.

    Example:
        >>> index = SampleIndex(source=np.array([0, 0]), epoch=np.array([0, 0]), idx=np.array([1, 0]))
        >>> lengths_of(frozen_lengths([3, 5]), index)
        array([5, 3])
    """
    found: IntArray
    if len(lengths) == 1:
        found = lengths[0].array[index.idx].astype(np.int64)
        return found
    found = np.empty(index.idx.shape, dtype=np.int64)
    for source, part in enumerate(lengths):
        members = index.source == source
        found[members] = part.array[index.idx[members]]
    return found


@checked
def padding_fraction(order: Order, lengths: Any, *, batch_size: AnyInt, num_batches: AnyInt | None = None) -> float:
    """Return the fraction of an order's batches that is padding, each batch as wide as its longest sample.

    Args:
        order: any order.
        lengths: length of each sample, as in a `LengthGroupedOrder`.
        batch_size: samples per batch, 1..2**24.
        num_batches: number of batches, counted from the first; by default all full ones of a finite order. A few
            thousand are enough for an estimate; together they may hold at most 2**30 samples.

    Returns:
        0..1; 0 if the batches have no cells.

    Raises:
        IndexError: if the order has fewer batches.
        ValueError: if `num_batches` is needed and not given, the batches are too many, or there isn't one length
            per sample.
        TypeError: if the lengths are not integers, or `order` is not an order.

    Example:
        >>> from bionemo.data import EpochOrder, LengthGroupedOrder
        >>> lengths = [30, 10, 50, 20, 40, 60]
        >>> base = EpochOrder(length=6, seed=7, num_samples=6)
        >>> order = LengthGroupedOrder(order=base, lengths=lengths, window_size=6, batch_size=2, seed=4)
        >>> padding_fraction(base, lengths, batch_size=2), padding_fraction(order, lengths, batch_size=2)
        (0.25, 0.125)
    """
    check_is_order(order, name="order")
    batch_size = check_int(batch_size, name="batch_size", low=1, high=_MAX_BATCH)
    if num_batches is None:
        if order.num_samples is None:
            message = "num_batches must be given for an order without end, got num_batches=None."
            raise ValueError(message)
        num_batches = order.num_samples // batch_size
    num_batches = check_int(num_batches, name="num_batches")
    if order.num_samples is not None and num_batches * batch_size > order.num_samples:
        most = f"{order.num_samples // batch_size} batches of {batch_size}"
        message = f"num_batches must be at most the order's {most}, got num_batches={shown(num_batches)}."
        raise IndexError(message)
    if num_batches * batch_size > _MAX_POSITIONS:
        message = (
            f"num_batches must be of at most {_MAX_POSITIONS} samples together, got num_batches={num_batches} of "
            f"{batch_size}. A few thousand batches are enough for an estimate."
        )
        raise ValueError(message)
    frozen = frozen_lengths(lengths)
    check_lengths(order, frozen)
    tokens = cells = 0
    step = max(BLOCK // batch_size, 1)
    for first in range(0, num_batches, step):
        stop = min(first + step, num_batches)
        rows = lengths_of(frozen, index_at(order, range(first * batch_size, stop * batch_size)))
        rows = rows.reshape(stop - first, batch_size)
        tokens += int(rows.sum())
        cells += int(rows.max(1, initial=0).sum()) * batch_size
    return 1 - tokens / cells if cells else 0.0
