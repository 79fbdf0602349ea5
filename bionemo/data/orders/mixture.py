"""Several orders interleaved by weight."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import attrs
import numpy as np

from bionemo.core.arrays import by_group
from bionemo.core.checks import AnyInt, as_int, check_index, check_int
from bionemo.core.record import given_fields
from bionemo.data.orders.base import OrderBase, check_num_samples, check_order
from bionemo.data.orders.interleave import Interleaving, counts_among, item_at, make_interleaving, position_of_item
from bionemo.data.orders.length_grouped import LengthGroupedOrder
from bionemo.data.orders.order import Order, SampleIndex, position_of
from bionemo.data.orders.weights import MAX_TOTAL
from bionemo.data.permute import MAX_LENGTH

__all__ = ["MixtureOrder"]


def _check_integer_weights(weights: Iterable[AnyInt]) -> tuple[int, ...]:
    checked = []
    for number, weight in enumerate(weights):
        if isinstance(weight, float | np.floating):
            message = f"weights must be integers, got weights[{number}]={weight}. Scale them with integer_weights."
            raise TypeError(message)
        checked.append(check_int(weight, name=f"weights[{number}]", low=1, high=MAX_TOTAL))
    if sum(checked) > MAX_TOTAL:
        message = f"weights must sum to less than 2**31, got {sum(checked)}. Scale them with integer_weights."
        raise ValueError(message)
    return tuple(checked)


def _check_changes(changes: Iterable[tuple[AnyInt, Iterable[AnyInt]]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    checked = tuple(
        (check_int(position, name="changes' position", low=1, high=MAX_LENGTH), _check_integer_weights(weights))
        for position, weights in changes
    )
    positions = [position for position, _ in checked]
    if sorted(set(positions)) != positions:
        message = f"changes must be at rising positions, got {positions}."
        raise ValueError(message)
    return checked


@attrs.frozen(kw_only=True, repr=False)
class MixtureOrder(OrderBase):
    """Several orders interleaved by integer weights; any of them may be a mixture itself.

    Laws: the samples of each order come in that order, and none is left out. Among the first n positions, the count of
    an order differs from `n * weight / total` by less than 1.68 (`error_bounds` in `bionemo.data.orders.interleave` is
    sharper; after changes of weights, the bounds of all stretches add up, and for a source within a nested mixture its
    own bound and its fraction of the nested mixture's). The interleaving repeats after `total` positions. Time and
    memory depend only on the numbers of orders and of changes.

    Args:
        orders: one per source; the sources of a nested mixture are numbered through. No two may be equal: they would
            draw the same samples at the same time. Give each its own seed, `fold_in(seed, "source", number)`.
        weights: positive integers, one per order, with a sum below 2**31; see `integer_weights`.
        num_samples: total number of positions; None for as many as there are until the first order ends.
        changes: `(position, weights)` at increasing positions: the weights from that position on. Earlier positions
            don't change, and each order continues with its next sample.

    Raises:
        ValueError: if a number is out of range, the numbers of weights and orders differ, two orders are equal, or
            `num_samples` is larger than the number of positions until the first order ends, which the message names.
        TypeError: if a weight is not an integer, or an order is not an `Order` or not hashable.

    Source: the algorithm is described in `bionemo.data.orders.interleave`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> proteins, genes = EpochOrder(length=100, seed=1), EpochOrder(length=200, seed=2)
        >>> order = MixtureOrder(orders=(proteins, genes), weights=(2, 1), num_samples=6)
        >>> [order.index_at(position).source for position in range(len(order))]
        [0, 1, 0, 0, 1, 0]
    """

    orders: tuple[Order, ...] = attrs.field(converter=tuple)
    weights: tuple[int, ...] = attrs.field(converter=_check_integer_weights)
    _num_samples: int | None = attrs.field(default=None, converter=check_num_samples, alias="num_samples")
    changes: tuple[tuple[int, tuple[int, ...]], ...] = attrs.field(default=(), converter=_check_changes)

    @orders.validator
    def _check_orders(self, field: "attrs.Attribute[Any]", orders: tuple[Order, ...]) -> None:
        if not orders:
            message = "orders must hold at least one, got none."
            raise ValueError(message)
        for order in orders:
            check_order(self, field, order)
        repeated = _first_repeated(_leaves(orders))
        if repeated is not None:
            message = (
                f"orders must not be equal, got {repeated} twice: both would draw the same samples at the same time. "
                'Give each a seed of its own, fold_in(seed, "source", number).'
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
        fields = ", ".join(f"{name}={value!r}" for name, value in given_fields(self).items())
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
        return self._first_sources[-1]

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
        source = as_int(index.source)
        child: Any = sum(((source >= first) * 1 for first in self._first_sources[1:-1]), source * 0)
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
    def _first_sources(self) -> tuple[int, ...]:
        """Number of each order's first source, and the total."""
        return tuple(accumulate((order.num_sources for order in self.orders), initial=0))

    def _index_of(self, child: int, count: Any) -> SampleIndex:
        """Return a sample of an order, with its source numbered among those of all orders."""
        source, epoch, idx = self.orders[child].index_at(count)
        return SampleIndex(source + self._first_sources[child], epoch, idx)

    def _count_of(self, child: int, source: Any, epoch: Any, idx: Any) -> tuple[Any]:
        """Return the number of samples of an order before one of them."""
        count = position_of(self.orders[child], SampleIndex(source - self._first_sources[child], epoch, idx))
        # Checked here, because a product of int64 wraps around from 2**63 on.
        return (check_index(count, stop=self._limits[child], name=f"index among the samples of order {child}"),)


def _leaves(orders: Sequence[Order]) -> list[Order]:
    """Return the orders that draw from the sources, also those within mixtures and length-grouped orders."""
    found: list[Order] = []
    for order in orders:
        if isinstance(order, MixtureOrder | LengthGroupedOrder):
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
        if drawn in seen:
            return order
        seen.add(drawn)
    return None
