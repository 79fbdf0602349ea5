"""Several orders interleaved by weight."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import attrs
import numpy as np
from torch import Tensor

from bionemo.core.arrays import by_group, listed, take
from bionemo.core.checks import AnyInt, IntArray, as_int, check_index, check_int, check_integer, shown
from bionemo.core.record import given_fields
from bionemo.data.orders.base import OrderBase, check_num_samples, num_levels, short_repr
from bionemo.data.orders.by_length.windows import WindowOrder
from bionemo.data.orders.interleave import Interleaving, counts_among, item_at, make_interleaving, position_of_item
from bionemo.data.orders.order import Order, SampleIndex, check_is_order, position_of
from bionemo.data.orders.weights import MAX_TOTAL, IntegerWeights
from bionemo.data.permute import MAX_LENGTH

__all__ = ["MixtureOrder"]


_Weights: TypeAlias = IntegerWeights | Iterable[AnyInt] | Tensor


def _to_orders(orders: Iterable[Order]) -> tuple[Order, ...]:
    return tuple(listed(orders, name="orders"))


def _check_integer_weights(weights: _Weights, *, name: str = "weights") -> tuple[int, ...]:
    given = weights.weights if isinstance(weights, IntegerWeights) else listed(weights, name=name)
    checked = []
    for number, weight in enumerate(given):
        if isinstance(weight, float | np.floating):
            message = f"weights must be integers, got weights[{number}]={weight}. Scale them with integer_weights."
            raise TypeError(message)
        if (count := check_integer(weight, name=f"weights[{number}]")) < 1:
            message = (
                f"weights must be at least 1, got weights[{number}]={count}. Leave the order out, or give it 1 and "
                "multiply the other weights: (8, 2, 0) becomes (800000, 200000, 1)."
            )
            raise ValueError(message)
        checked.append(count)
    if sum(checked) > MAX_TOTAL:
        message = f"weights must sum to less than 2**31, got {sum(checked)}. Scale them with integer_weights."
        raise ValueError(message)
    return tuple(checked)


def _check_changes(changes: Iterable[tuple[AnyInt, _Weights]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    checked = []
    for number, change in enumerate(listed(changes, name="changes")):
        if not isinstance(change, tuple | list) or len(change) != 2:  # noqa: PLR2004 - a pair
            message = f"changes must hold pairs (position, weights), got changes[{number}]={shown(change)}."
            raise TypeError(message)
        position = check_int(change[0], name="changes' position", low=1, high=MAX_LENGTH)
        checked.append((position, _check_integer_weights(change[1], name="changes")))
    positions = [position for position, _ in checked]
    if sorted(set(positions)) != positions:
        message = f"changes must be at increasing positions, got {shown(positions)}."
        raise ValueError(message)
    return tuple(checked)


@attrs.frozen(kw_only=True, repr=False)
class MixtureOrder(OrderBase):
    """Several orders interleaved by integer weights; any of them may be a mixture itself.

    Laws: the samples of each order come in that order, and all of them. Among the first n positions, the count of
    an order differs from `n * weight / total` by less than 1.68 (`error_bounds` in `bionemo.data.orders.interleave` is
    sharper; after changes of weights, the bounds of all stretches add up, and for a source within a nested mixture its
    own bound and its fraction of the nested mixture's). The interleaving repeats after `total` positions. Time and
    memory depend only on the numbers of orders and of changes.

    Args:
        orders: one per source; the sources of a nested mixture are numbered through. No two may be equal: they would
            draw the same samples at the same time. Give each its own seed, `fold_in(seed, "source", number)`. Mixtures
            may be nested 32 levels deep.
        weights: positive integers, one per order, with a sum below 2**31, or what `integer_weights` returned.
        num_samples: total number of positions; None for as many as there are until the first order ends.
        changes: `(position, weights)` at increasing positions: the weights from that position on. Earlier positions
            don't change, and each order continues with its next sample.

    Raises:
        ValueError: if a number is out of range, the numbers of weights and orders differ, two orders are equal, or
            `num_samples` is larger than the number of positions until the first order ends, which the message names.
        TypeError: if a weight is not an integer, an order is not an `Order` or not hashable, or orders, weights or
            changes are not in a sequence.

    Source: the algorithm is described in `bionemo.data.orders.interleave`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> proteins, genes = EpochOrder(length=100, seed=1), EpochOrder(length=200, seed=2)
        >>> order = MixtureOrder(orders=(proteins, genes), weights=(2, 1), num_samples=6)
        >>> [order.index_at(position).source for position in range(len(order))]
        [0, 1, 0, 0, 1, 0]
    """

    orders: tuple[Order, ...] = attrs.field(converter=_to_orders)
    weights: tuple[int, ...] = attrs.field(converter=_check_integer_weights)
    _num_samples: int | None = attrs.field(default=None, converter=check_num_samples, alias="num_samples")
    changes: tuple[tuple[int, tuple[int, ...]], ...] = attrs.field(default=(), converter=_check_changes)

    @orders.validator
    def _check_orders(self, _: "attrs.Attribute[Any]", orders: tuple[Order, ...]) -> None:
        if not orders:
            message = "orders must hold at least one, got none."
            raise ValueError(message)
        for number, order in enumerate(orders):
            check_is_order(order, name=f"orders[{number}]")
        self.num_levels  # noqa: B018 - raises if they are nested too deeply
        repeated = _first_repeated(_leaves(orders))
        if repeated is not None:
            message = (
                f"orders must not be equal, got {shown(repeated)} twice: both would draw the same samples at the same "
                'time. Give each a seed of its own, fold_in(seed, "source", number).'
            )
            raise ValueError(message)

    def __attrs_post_init__(self) -> None:
        for weights in (self.weights, *(weights for _, weights in self.changes)):
            if len(weights) != len(self.orders):
                message = f"weights must be one per order, got {len(weights)} for {len(self.orders)} orders."
                raise ValueError(message)
        if self._end is not None and self._num_samples is not None and self._num_samples > self._end:
            message = (
                f"num_samples must be at most {self._end}, where the first order ends, "
                f"got num_samples={self._num_samples}."
            )
            raise ValueError(message)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={short_repr(value)}" for name, value in given_fields(self).items())
        return f"{type(self).__name__}({fields})"

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """Number of positions; None if the order never ends."""
        if self._num_samples is None and self._end is not None:
            return min(self._end, MAX_LENGTH)
        return self._num_samples

    @property
    def num_sources(self) -> int:
        """Number of data sets that all orders together draw from."""
        return int(self._first_sources[-1])

    @cached_property
    def num_levels(self) -> int:
        """Number of levels that orders are nested in."""
        return num_levels(self.orders)

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """Expected length of each data set; None if unknown."""
        return tuple(
            length for order in self.orders for length in getattr(order, "source_lengths", (None,) * order.num_sources)
        )

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        child, count = item_at(position, *self._interleaving)
        return SampleIndex(*by_group(self._index_of, child, count, num_results=3))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the mixture's end: call `bionemo.data.position_of`.

        Raises:
            TypeError: if an order has no inverse.
            IndexError: if the order that the source belongs to never reaches that sample.
        """
        child = as_int(np.searchsorted(self._first_sources[1:], index.source, side="right"))
        (count,) = by_group(self._count_of, child, *index, num_results=1)
        return position_of_item(child, count, *self._interleaving)

    @cached_property
    def _interleaving(self) -> tuple[Interleaving, int]:
        return make_interleaving([(0, self.weights), *self.changes])

    @cached_property
    def _end(self) -> int | None:
        """The first position at which an order has no sample left; None if no order ends."""
        lengths = [(child, order.num_samples) for child, order in enumerate(self.orders)]
        ends = [position_of_item(child, length, *self._interleaving) for child, length in lengths if length is not None]
        return min(ends, default=None)

    @cached_property
    def _limits(self) -> tuple[int, ...]:
        """Number of samples of each order at positions below 2**63."""
        start, weights = [(0, self.weights), *self.changes][-1]
        before = self._interleaving[0].before[-len(weights) :].tolist()
        return tuple(done + more for done, more in zip(before, counts_among(2**63 - start, weights), strict=True))

    @cached_property
    def _first_sources(self) -> IntArray:
        """Number of each order's first source, and the total."""
        return np.cumsum([0, *(order.num_sources for order in self.orders)])

    def _index_of(self, child: int, count: Any) -> SampleIndex:
        """Return a sample of an order, with its source numbered among those of all orders."""
        source, epoch, idx = self.orders[child].index_at(count)
        return SampleIndex(source + take(self._first_sources, child), epoch, idx)

    def _count_of(self, child: int, source: Any, epoch: Any, idx: Any) -> tuple[Any]:
        """Return the number of samples of an order before one of them."""
        count = position_of(self.orders[child], SampleIndex(source - take(self._first_sources, child), epoch, idx))
        # Checked here, because a product of int64 wraps around from 2**63 on.
        return (check_index(count, stop=self._limits[child], name=f"index among the samples of order {child}"),)


def _leaves(orders: Sequence[Order]) -> list[Order]:
    """Return the orders that draw from the sources, also those within mixtures and length-grouped orders."""
    found: list[Order] = []
    for order in orders:
        if isinstance(order, MixtureOrder | WindowOrder):
            found.extend(_leaves(order.orders if isinstance(order, MixtureOrder) else (order.order,)))
        else:
            found.append(order)
    return found


def _first_repeated(orders: Iterable[Order]) -> Order | None:
    """Return the first order that draws what an earlier one draws: they differ at most in `num_samples`."""
    seen = set()
    for order in orders:
        fields = given_fields(order) if isinstance(order, OrderBase) else {"order": order}
        drawn = type(order), *(value for name, value in fields.items() if name != "num_samples")
        try:
            is_new = drawn not in seen
        except TypeError as error:
            message = f"orders must be hashable, got {shown(order)}. Make it a frozen attrs record without lists."
            raise TypeError(message) from error
        if not is_new:
            return order
        seen.add(drawn)
    return None
