"""Several sources blended by weight."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.blocks import in_blocks
from bionemo.core.utils.checks import AnyInt, check_index, check_int, is_concrete
from bionemo.data.feistel import MAX_LENGTH
from bionemo.data.length_order import LengthOrder
from bionemo.data.order import Order, SampleIndex, position_of
from bionemo.data.order_base import OrderBase, check_num_samples
from bionemo.data.proportions import MAX_TOTAL, integer_weights
from bionemo.data.record import given_fields
from bionemo.data.turns import Turns, counts_among, make_turns, position_of_turn, turn_at

__all__ = ["MixtureOrder", "integer_weights"]


def _check_integer_weights(weights: Iterable[AnyInt]) -> tuple[int, ...]:
    checked = []
    for place, weight in enumerate(weights):
        if isinstance(weight, float | np.floating):
            message = f"weights must be integers, got weights[{place}]={weight}. Let integer_weights scale them."
            raise TypeError(message)
        checked.append(check_int(weight, name=f"weights[{place}]", low=1, high=MAX_TOTAL))
    if sum(checked) > MAX_TOTAL:
        message = f"weights must sum to less than 2**31, got {sum(checked)}. Let integer_weights scale them."
        raise ValueError(message)
    return tuple(checked)


def _check_changes(changes: Iterable[tuple[AnyInt, Iterable[AnyInt]]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    checked = tuple(
        (check_int(position, name="changes' position", low=1, high=MAX_LENGTH), _check_integer_weights(weights))
        for position, weights in changes
    )
    positions = [position for position, _ in checked]
    if sorted(set(positions)) != positions:
        message = f"changes must stand at rising positions, got {positions}."
        raise ValueError(message)
    return checked


@attrs.frozen(kw_only=True, repr=False)
class MixtureOrder(OrderBase):
    """Several orders blended by integer weights, any of them a mixture itself.

    Laws: each order's own samples come in its own sequence, none left out; among the first n positions, the count of an
    order differs from `n * weight / total` by less than 1.68 (by `bionemo.data.turns.error_bounds`, which is sharper;
    with changes of weights, the bounds of the stretches begun add up, and for a source within a mixture its own bound
    and its share of the mixture's). The blend repeats after `total` positions. Time and memory depend on the numbers of
    orders and of changes alone.

    Args:
        orders: one a source, or more where one is a mixture: its sources are numbered through. No two may be equal:
            they would draw the same places in step. Give each a seed of its own, `fold_in(seed, "source", number)`.
        weights: positive integers, one an order, of sum below 2**31; see `integer_weights`.
        num_samples: positions in all; None for as many as there are until the first order ends, without end where none
            does.
        changes: `(position, weights)`, at rising positions: from there on, these weights count. What stands before
            doesn't move, and each order goes on with its next sample.

    Raises:
        ValueError: if a number is out of range, the numbers of weights and orders differ, two orders are equal, or
            `num_samples` is more than there are until the first order ends; the message says how many that is.
        TypeError: if a weight is no integer, or an order is none.

    Source: the tree is described in `bionemo.data.turns`.

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
    def _check_orders(self, _: "attrs.Attribute[tuple[Order, ...]]", orders: tuple[Order, ...]) -> None:
        if not orders:
            message = "orders must hold at least one, got none."
            raise ValueError(message)
        for order in orders:
            if not isinstance(order, Order):
                message = f"orders must have num_samples, num_sources and index_at, got {order!r}."  # type: ignore[unreachable]
                raise TypeError(message)
        seen: list[Order] = []
        for order in map(_without_end, _leaves(orders)):
            if order in seen:
                message = (
                    f"orders must not be equal, got {order} twice: both would draw the same places in step. "
                    'Give each a seed of its own, fold_in(seed, "source", number).'
                )
                raise ValueError(message)
            seen.append(order)

    def __attrs_post_init__(self) -> None:
        for weights in (self.weights, *(weights for _, weights in self.changes)):
            if len(weights) != len(self.orders):
                message = f"weights must be one an order, got {len(weights)} for {len(self.orders)} orders."
                raise ValueError(message)
        if self._end is not None and self._num_samples is not None and self._num_samples > self._end:
            message = (
                f"num_samples must be at most {self._end}, where the first order ends, "
                f"got num_samples={self._num_samples}."
            )
            raise ValueError(message)
        self._tensors, self._first_sources, self._limits  # noqa: B018 - made before a graph could read them

    @cached_property
    def _end(self) -> int | None:
        """The first position at which an order is asked for more than it has; None where that is never."""
        turns, depth = self._turns
        lengths = [(child, order.num_samples) for child, order in enumerate(self.orders)]
        ends = [position_of_turn(child, length, turns, depth) for child, length in lengths if length is not None]
        return min(ends, default=None)

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """How many positions there are; None for no end."""
        if self._num_samples is None and self._end is not None:
            return min(self._end, MAX_LENGTH)
        return self._num_samples

    @property
    def num_sources(self) -> int:
        """How many data sets all orders together draw from."""
        return sum(order.num_sources for order in self.orders)

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """The lengths that the data sets must have; None where an order doesn't say."""
        return tuple(
            length for order in self.orders for length in getattr(order, "source_lengths", (None,) * order.num_sources)
        )

    @cached_property
    def _turns(self) -> tuple[Turns, int]:
        return make_turns([(0, self.weights), *self.changes])

    @cached_property
    def _tensors(self) -> Turns:
        return Turns(*map(torch.from_numpy, self._turns[0]))

    @cached_property
    def _limits(self) -> tuple[int, ...]:
        """How many samples of each order stand at positions below 2**63."""
        start, weights = [(0, self.weights), *self.changes][-1]
        before = self._turns[0].before[-len(weights) :].tolist()
        return tuple(done + more for done, more in zip(before, counts_among(2**63 - start, weights), strict=True))

    @cached_property
    def _first_sources(self) -> tuple[int, ...]:
        """The number of each order's first source."""
        return tuple(accumulate((order.num_sources for order in self.orders), initial=0))

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        turns, depth = self._read_turns(position)
        child, count = in_blocks(partial(turn_at, turns=turns, depth=depth), position)
        if isinstance(child, int):
            return self._index_of(child, count)
        if is_concrete(child):
            of_group: SampleIndex = _by_group(self._index_of, child, count)
            return of_group
        found = self._index_of(0, count * (child == 0))
        for number in range(1, len(self.orders)):
            other = self._index_of(number, count * (child == number))
            found = SampleIndex(*(torch.where(child == number, *pair) for pair in zip(other, found, strict=True)))
        return found

    def _index_of(self, child: int, count: Any) -> SampleIndex:
        """Return an order's sample, its source numbered among those of all orders."""
        index = self.orders[child].index_at(count)
        return index._replace(source=index.source + self._first_sources[child])

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also past the mixture's end: call `bionemo.data.position_of`.

        Raises:
            TypeError: if an order has no inverse.
            IndexError: if the order that the source belongs to never comes to that sample.
        """
        child: Any = index.source * 0
        for first in self._first_sources[1:-1]:
            child = child + (index.source >= first)
        if isinstance(child, int):
            (count,) = self._count_of(child, *index)
        elif all([is_concrete(part) for part in index]):  # noqa: C419 - dynamo follows a list
            (count,) = _by_group(self._count_of, child, *index)
        else:
            count = child * 0
            for number in range(len(self.orders)):
                (found,) = self._count_of(number, *(part.where(child == number, 0) for part in index))
                count = torch.where(child == number, found, count)
        turns, depth = self._read_turns(child)
        return in_blocks(partial(position_of_turn, turns=turns, depth=depth), child, count)

    def _count_of(self, child: int, source: Any, epoch: Any, idx: Any) -> tuple[Any]:
        """Return how many samples an order has before one of its own."""
        count = position_of(self.orders[child], SampleIndex(source - self._first_sources[child], epoch, idx))
        # Checked here: as a product of int64 a position from 2**63 on would pass for another.
        return (check_index(count, stop=self._limits[child], name=f"place among the samples of order {child}"),)

    def _read_turns(self, position: Any) -> tuple[Turns, int]:
        """Return the tables of the blend, as tensors where a graph is made."""
        traced = torch.compiler.is_compiling() and isinstance(position, Tensor)
        return (self._tensors if traced else self._turns[0]), self._turns[1]


def _without_end(order: Order) -> Order:
    """Return an order without its end, which doesn't change what it draws."""
    fields = given_fields(order) if isinstance(order, OrderBase) else {}
    return type(order)(**fields | {"num_samples": None}) if "num_samples" in fields else order


def _leaves(orders: Sequence[Order]) -> list[Order]:
    """Return the orders that draw from the sources, also those within mixtures and within sorted orders."""
    found: list[Order] = []
    for order in orders:
        if isinstance(order, MixtureOrder | LengthOrder):
            found.extend(_leaves(order.orders if isinstance(order, MixtureOrder) else (order.order,)))
        else:
            found.append(order)
    return found


def _by_group(function: Callable[..., Any], group: Tensor, /, *words: Any) -> Any:
    """Return what a function of a number and of tensors answers, each element by the number of its group."""
    numbers = group.reshape(-1).numpy()
    last = int(numbers.max(initial=0))
    # NumPy sorts short integers by their digits, in linear time.
    order = np.argsort(numbers.astype(np.uint16) if last < 2**16 else numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=last + 1)).tolist()
    flat = [word.expand(group.shape).reshape(-1) for word in words]
    answers: Any = None
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if start < end or not numbers.size:
            members = torch.from_numpy(order[start:end])
            found = function(number, *(word[members] for word in flat))
            if answers is None:
                answers = type(found), [torch.empty_like(flat[0]) for _ in found]
            for whole, part in zip(answers[1], found, strict=True):
                whole[members] = part
    kind, wholes = answers
    parts = [whole.reshape(group.shape) for whole in wholes]
    return kind(*parts) if hasattr(kind, "_fields") else tuple(parts)
