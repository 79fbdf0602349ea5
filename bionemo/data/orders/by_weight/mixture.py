"""Several orders interleaved by weight."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import attrs
import numpy as np
from torch import Tensor

from bionemo.core.arrays import by_group, take
from bionemo.core.checks import AnyInt, IntArray, as_int, check_index, check_int, shown
from bionemo.core.fields import check_choice
from bionemo.core.int64 import listed
from bionemo.core.record import ADDED
from bionemo.data.orders.base import OrderBase, check_num_samples, first_repeated, leaves, num_levels
from bionemo.data.orders.by_weight.endings import (
    STOPPING_STRATEGIES,
    Endings,
    StoppingStrategy,
    leave_out_exhausted,
    without_end,
)
from bionemo.data.orders.by_weight.interleave import (
    Interleaving,
    counts_among,
    item_at,
    make_interleaving,
    position_of_item,
)
from bionemo.data.orders.by_weight.weights import IntegerWeights, check_integer_weights
from bionemo.data.orders.order import Order, SampleIndex, check_is_order, position_of
from bionemo.data.permute import MAX_LENGTH

__all__ = ["MixtureOrder"]


def _to_orders(orders: Iterable[Order]) -> tuple[Order, ...]:
    return tuple(listed(orders, name="orders"))


def _check_changes(
    changes: Iterable[tuple[AnyInt, IntegerWeights | Iterable[AnyInt] | Tensor] | list[Any]],
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    checked = []
    for number, change in enumerate(listed(changes, name="changes")):
        if not isinstance(change, tuple | list) or len(change) != 2:  # noqa: PLR2004 - a pair
            message = f"changes must hold pairs (position, weights), got changes[{number}]={shown(change)}."
            raise TypeError(message)
        position = check_int(change[0], name="changes' position", low=1, high=MAX_LENGTH)
        checked.append((position, check_integer_weights(change[1], name=f"weights of changes[{number}]")))
    positions = [position for position, _ in checked]
    if sorted(set(positions)) != positions:
        message = f"changes must be at increasing positions, got {shown(positions)}."
        raise ValueError(message)
    return tuple(checked)


@attrs.frozen(kw_only=True, repr=False)
class MixtureOrder(OrderBase):
    """Several orders interleaved by integer weights; any of them may be a mixture itself.

    Laws: the samples of each order come in that order, and all of them. Among the first n positions, the count of
    an order differs from `n * weight / total` by less than 1.68 (`error_bounds`, where the algorithm is, is sharper;
    after changes of weights, the bounds of all stretches add up, and for a source within a nested mixture its own bound
    and its fraction of the nested mixture's). The interleaving repeats after `total` positions. Memory grows
    with the number of orders times that of changes, and time per position with their logarithms.

    Args:
        orders: one per source; the sources of a nested mixture are numbered through. No two may be equal: they would
            draw the same samples at the same time. Give each its own seed, `fold_in(seed, "source", number)`. Mixtures
            may be nested 32 levels deep.
        weights: integers, one per order, with a sum of 1 to 2**31-1, or what `integer_weights` or `token_weights`
            returned. An order is not drawn from while its weight is 0.
        num_samples: total number of positions; None for as many as there are until the mixture ends.
        changes: `(position, weights)` at increasing positions: the weights from that position on. Earlier positions
            don't change, and each order continues with its next sample.
        stopping_strategy: where the mixture ends. "first_exhausted": where an order has no sample left.
            "all_exhausted_without_replacement": where none has; an order that ends leaves its positions to the others,
            in proportion to their weights, which is one more change. "all_exhausted": where each was drawn to its end
            once; one that ends earlier begins its next epoch.

    Raises:
        ValueError: if a number is out of range, the numbers of weights and orders differ, two orders are equal,
            `num_samples` is larger than the number of positions until the mixture ends, which the message names, or an
            order that is to begin its next epoch has none.
        TypeError: if a weight is not an integer, an order is not an `Order` or not hashable, or orders, weights or
            changes are not in a sequence.

    Source: the algorithm is described in `bionemo.data.orders.by_weight.interleave`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> proteins, genes = EpochOrder(length=100, seed=1), EpochOrder(length=200, seed=2)
        >>> order = MixtureOrder(orders=(proteins, genes), weights=(2, 1), num_samples=6)
        >>> [order.index_at(position).source for position in range(len(order))]
        [0, 1, 0, 0, 1, 0]
    """

    orders: tuple[Order, ...] = attrs.field(converter=_to_orders)
    weights: tuple[int, ...] = attrs.field(converter=check_integer_weights)
    _num_samples: int | None = attrs.field(default=None, converter=check_num_samples, alias="num_samples")
    changes: tuple[tuple[int, tuple[int, ...]], ...] = attrs.field(default=(), converter=_check_changes)
    stopping_strategy: StoppingStrategy = attrs.field(
        default="first_exhausted", validator=check_choice(*STOPPING_STRATEGIES), metadata=ADDED
    )

    @orders.validator
    def _check_orders(self, _: "attrs.Attribute[Any]", orders: tuple[Order, ...]) -> None:
        if not orders:
            message = "orders must hold at least one, got none."
            raise ValueError(message)
        for number, order in enumerate(orders):
            check_is_order(order, name=f"orders[{number}]")
        self.num_levels  # noqa: B018 - raises if they are nested too deeply
        repeated = first_repeated(leaves(orders))
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
        self._drawn  # noqa: B018 - raises if an order can't begin its next epoch
        if self._end is not None and self._num_samples is not None and self._num_samples > self._end:
            where = "the first order ends" if self.stopping_strategy == "first_exhausted" else "all orders have ended"
            message = f"num_samples must be at most {self._end}, where {where}, got num_samples={self._num_samples}."
            raise ValueError(message)

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

    @property
    def stretches(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Positions from which on weights hold, and the weights: also where an order that has ended is left out."""
        return tuple((position, tuple(weights)) for position, weights in self._endings.stretches)

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

    def position_of_draw(self, child: int, count: int, /) -> int | None:
        """Return the position at which an order is drawn from after some samples of it, or left out; None if never.

        Example:
            >>> from bionemo.data import EpochOrder
            >>> orders = EpochOrder(length=4, seed=1), EpochOrder(length=4, seed=2)
            >>> [MixtureOrder(orders=orders, weights=(2, 1)).position_of_draw(0, count) for count in range(4)]
            [0, 2, 3, 5]
        """
        end, length = self._endings.ends[child], self.orders[child].num_samples
        if end is not None and count >= (length or 0):
            return end
        before = self._interleaving[0].before[-len(self.orders) :]
        if not self._endings.stretches[-1][1][child] and count >= before[child]:
            return None
        return int(position_of_item(child, count, *self._interleaving))

    @cached_property
    def _endings(self) -> Endings:
        stretches = [(0, self.weights), *self.changes]
        if self.stopping_strategy == "all_exhausted_without_replacement":
            return leave_out_exhausted(stretches, [order.num_samples for order in self.orders])
        return Endings(stretches, [None] * len(self.orders), None)

    @cached_property
    def _interleaving(self) -> tuple[Interleaving, int]:
        return make_interleaving(self._endings.stretches)

    @cached_property
    def _drawn(self) -> tuple[Order, ...]:
        """The orders as they are drawn from: without their ends, if they begin their next epochs there."""
        return tuple(map(without_end, self.orders)) if self.stopping_strategy == "all_exhausted" else self.orders

    @cached_property
    def _end(self) -> int | None:
        """The first position without a sample; None if the mixture never ends."""
        if self.stopping_strategy == "all_exhausted_without_replacement":
            return self._endings.end
        lengths = [order.num_samples for order in self.orders]
        if self.stopping_strategy == "first_exhausted":
            draws = [self.position_of_draw(child, length) for child, length in enumerate(lengths) if length is not None]
            return min((draw for draw in draws if draw is not None), default=None)
        lasts = [length and self.position_of_draw(child, length - 1) for child, length in enumerate(lengths)]
        return None if None in lasts else max(last + 1 for last in lasts if last is not None)

    @cached_property
    def _limits(self) -> tuple[int, ...]:
        """Number of samples of each order at positions below 2**63."""
        start, weights = self._endings.stretches[-1]
        before = self._interleaving[0].before[-len(weights) :].tolist()
        return tuple(done + more for done, more in zip(before, counts_among(2**63 - start, weights), strict=True))

    @cached_property
    def _first_sources(self) -> IntArray:
        """Number of each order's first source, and the total."""
        return np.cumsum([0, *(order.num_sources for order in self.orders)])

    def _index_of(self, child: int, count: Any) -> SampleIndex:
        """Return a sample of an order, with its source numbered among those of all orders."""
        source, epoch, idx = self._drawn[child].index_at(count)
        return SampleIndex(source + take(self._first_sources, child), epoch, idx)

    def _count_of(self, child: int, source: Any, epoch: Any, idx: Any) -> tuple[Any]:
        """Return the number of samples of an order before one of them."""
        count = position_of(self._drawn[child], SampleIndex(source - take(self._first_sources, child), epoch, idx))
        # Checked here, because a product of int64 wraps around from 2**63 on.
        return (check_index(count, stop=self._limits[child], name=f"index among the samples of order {child}"),)
