"""An order without some of its positions: batches on which a run diverged, samples that can't be read."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import take
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, as_int, check_int, shown
from bionemo.core.int64 import listed
from bionemo.data.orders.base import OrderOver, check_order
from bionemo.data.orders.order import Order, PlannedOrder, SampleIndex, position_of

__all__ = ["Ranges", "SkipOrder", "count_up_to", "to_ranges"]

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Starts and stops of ranges, ascending, with gaps between them."""


def to_ranges(positions: Iterable[AnyInt | Iterable[AnyInt]] | NDArray[Any], /) -> Ranges:
    """Return positions as ranges: equal sets of positions give equal ranges.

    Args:
        positions: integers, and pairs (start, stop) of ranges, in any order; they may overlap.

    Raises:
        ValueError: if a position is negative, or a range ends before it starts.
        TypeError: if an element is neither an integer nor a pair of integers.

    Example:
        >>> to_ranges([7, (2, 4), 4, (10, 12)])
        ((2, 5), (7, 8), (10, 12))
    """
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(
        _as_range(number, part) for number, part in enumerate(listed(positions, name="positions"))
    ):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        elif start < stop:
            merged.append((start, stop))
    return tuple(merged)


def _as_range(number: int, part: Any) -> tuple[int, int]:
    name = f"positions[{number}]"
    is_row = isinstance(part, tuple | list) or getattr(part, "ndim", None) == 1
    if is_row and len(part) == 2:  # noqa: PLR2004 - a pair
        start = check_int(part[0], name=name)
        return start, check_int(part[1], name=name, low=start)
    if isinstance(part, int | np.integer) and not isinstance(part, bool):
        start = check_int(part, name=name, high=MAX_INT - 1)
        return start, start + 1
    message = f"positions must hold integers and pairs (start, stop), got {name}={shown(part)}."
    raise TypeError(message)


class _Holes(NamedTuple):
    """The ranges that are skipped, in one-axis int64 arrays."""

    starts: IntArray
    sizes: IntArray
    before: IntArray
    """Number of positions that are skipped before each range, and in all."""
    seen_at: IntArray
    """Position of this order at which each range is skipped."""


@attrs.frozen(kw_only=True, repr=False)
class SkipOrder(OrderOver):
    """Another order without some of its positions: what comes after them moves up.

    To leave out whole batches, skip the positions `step * batch_size` to `(step + 1) * batch_size - 1`: all other
    batches stay as they are. To leave out samples, skip where they are read:
    `position_of(order, SampleIndex(source=0, epoch=np.arange(10)[:, None], idx=[3, 17])).ravel()`.

    A run may skip more positions when it is resumed, if it hasn't reached them yet.

    Laws: it has the samples of the other positions, in their order, and equals the order before the first one skipped.
    Time grows with the logarithm of the number of ranges.

    Args:
        order: any order but one that makes the steps itself: for this, see `PlannedSkipOrder`.
        positions: of the order: integers, and pairs (start, stop) of ranges. They are kept as ranges with gaps between.

    Raises:
        ValueError: if a position is negative or not below `order.num_samples`.
        TypeError: if a position is not an integer, `order` is not an order, or it makes the steps itself.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = SkipOrder(order=EpochOrder(length=5, seed=7, shuffle=False), positions=[1, (3, 5)])
        >>> [order.index_at(position).idx for position in range(4)]
        [0, 2, 0, 1]
    """

    order: Order = attrs.field(validator=check_order)
    positions: Ranges = attrs.field(converter=to_ranges)

    _makes_steps: ClassVar = False

    @order.validator
    def _check_kind(self, _: "attrs.Attribute[Any]", order: Order) -> None:
        self.num_levels  # noqa: B018 - raises if they are nested too deeply
        if isinstance(order, PlannedOrder) != self._makes_steps:
            kind, other = ("", "SkipOrder") if self._makes_steps else ("not ", "PlannedSkipOrder")
            message = f"order must {kind}make the steps itself, got {shown(order)}. Skip its positions with {other}."
            raise TypeError(message)

    @positions.validator
    def _check_positions(self, _: "attrs.Attribute[Any]", positions: Ranges) -> None:
        end = self.order.num_samples
        if positions and end is not None and positions[-1][1] > end:
            message = f"positions must be below num_samples={end}, got {positions[-1][1] - 1}."
            raise ValueError(message)

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """Number of positions that are left; None if the order never ends."""
        return None if self.order.num_samples is None else self.order.num_samples - int(self._holes.before[-1])

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`.

        Raises:
            IndexError: if the position in the order that it skips positions of doesn't fit int64.
        """
        return self.order.index_at(self.position_before(position))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample: call `bionemo.data.position_of`.

        Raises:
            TypeError: if the order has no inverse.
            IndexError: if the order never reaches that sample, or it is skipped.
        """
        before = position_of(self.order, index)
        position = self.position_after(before)
        is_skipped = self.position_before(position) != before
        if np.any(is_skipped):
            message = f"index must be of a sample that isn't skipped, got one at position {shown(before)} of the order."
            raise IndexError(message)
        return position

    def position_before(self, position: Any, /) -> Any:
        """Return the positions that some had before others were skipped; for ints and one-axis int64 arrays.

        Raises:
            IndexError: if one doesn't fit int64.

        Example:
            >>> from bionemo.data import EpochOrder
            >>> order = SkipOrder(order=EpochOrder(length=5, seed=7), positions=[1, (3, 5)])
            >>> [order.position_before(position) for position in range(4)]
            [0, 2, 5, 6]
        """
        position, holes = as_int(position), self._holes
        if np.any(position > MAX_INT - int(holes.before[-1])):
            message = f"position must be at most {MAX_INT - int(holes.before[-1])}, got position={shown(position)}."
            raise IndexError(message)
        return position + take(holes.before, count_up_to(holes.seen_at, position))

    def position_after(self, position: Any, /) -> Any:
        """Return the positions of the order after others were skipped; that of a skipped one is where it was skipped.

        Example:
            >>> from bionemo.data import EpochOrder
            >>> order = SkipOrder(order=EpochOrder(length=5, seed=7), positions=[1, (3, 5)])
            >>> [order.position_after(position) for position in range(7)]
            [0, 1, 1, 2, 2, 2, 3]
        """
        position, holes = as_int(position), self._holes
        count = count_up_to(holes.starts, position)
        if not len(holes.starts):
            return position
        last = count - (count > 0)  # the range that the position is in or after, if there is one
        inside = position - take(holes.starts, last)
        size = take(holes.sizes, last)
        skipped = take(holes.before, last) + inside + (inside > size) * (size - inside)
        return position - (count > 0) * skipped

    @cached_property
    def _holes(self) -> _Holes:
        starts, stops = np.array(self.positions, dtype=np.int64).reshape(-1, 2).T
        before = np.concatenate(([0], np.cumsum(stops - starts)))
        return _Holes(starts, stops - starts, before, starts - before[:-1])


def count_up_to(sorted_values: IntArray, value: Any) -> Any:
    """Return how many of some ascending values are at most a given one; for ints and one-axis int64 arrays.

    Example:
        >>> count_up_to(np.array([2, 5]), 5)
        2
    """
    found = np.searchsorted(sorted_values, value, side="right")
    return found if isinstance(value, np.ndarray) else int(found)
