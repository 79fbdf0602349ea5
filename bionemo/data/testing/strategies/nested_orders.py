"""Strategies for orders over other orders, for orders of every kind, and for their positions."""

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st

from bionemo.core.checks import MAX_INT
from bionemo.data.orders.base import first_repeated, leaves
from bionemo.data.orders.by_length.length_grouped import LengthGroupedOrder
from bionemo.data.orders.by_length.packed import PackedOrder, TokenBudgetOrder
from bionemo.data.orders.by_weight.endings import STOPPING_STRATEGIES
from bionemo.data.orders.by_weight.mixture import MixtureOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.epoch_batches import EpochBatchOrder
from bionemo.data.orders.order import Order, PlannedOrder
from bionemo.data.orders.planned_skip import PlannedSkipOrder
from bionemo.data.orders.skip import SkipOrder
from bionemo.data.permute import MAX_LENGTH
from bionemo.data.testing.strategies.single_orders import (
    block_orders,
    epoch_orders,
    kensler_orders,
    resample_orders,
    short_orders,
    weighted_orders,
)
from bionemo.data.testing.strategies.values import seeds

__all__ = [
    "bin_orders",
    "epoch_batch_orders",
    "invertible_orders",
    "length_orders",
    "mixtures",
    "orders",
    "positions_in",
    "skip_orders",
    "ungrouped_orders",
]


def _has_no_equal_leaves(parts: list[Any]) -> bool:
    return first_repeated(leaves(parts)) is None


@st.composite
def mixtures(draw: Callable[..., Any], parts: st.SearchStrategy[Order] | None = None) -> MixtureOrder:
    """Return a strategy for mixtures, with or without changes of the weights, some of them 0, and any ending.

    Args:
        draw: given by hypothesis.
        parts: strategy for the orders that are mixed; by default of short data sets.

    Example:
        >>> mixtures().validate()
    """
    held = draw(
        st.lists(short_orders() if parts is None else parts, min_size=1, max_size=5, unique=True).filter(
            _has_no_equal_leaves
        )
    )
    weight = st.one_of(st.integers(0, 9), st.integers(1, 2**28))
    weights = st.lists(weight, min_size=len(held), max_size=len(held)).filter(any)
    may_begin_again = all(order.num_samples is None or isinstance(order, EpochOrder) for order in held)
    endings: list[Any] = [name for name in STOPPING_STRATEGIES if may_begin_again or name != "all_exhausted"]
    positions = sorted(draw(st.sets(st.one_of(st.integers(1, 100), st.integers(1, MAX_LENGTH)), max_size=3)))
    changes = [(position, draw(weights)) for position in positions]
    mixture = MixtureOrder(
        orders=held, weights=draw(weights), changes=changes, stopping_strategy=draw(st.sampled_from(endings))
    )
    end = mixture.num_samples
    cut = draw(st.one_of(st.none(), st.integers(0, MAX_LENGTH if end is None else end)))
    return mixture if cut is None else attrs.evolve(mixture, num_samples=cut)


@st.composite
def length_orders(draw: Callable[..., Any], bases: st.SearchStrategy[Order]) -> LengthGroupedOrder:
    """Return a strategy for orders grouped by length, over bases with short data sets.

    Example:
        >>> length_orders(short_orders()).validate()
    """
    base: Any = draw(bases)
    dtype = draw(st.sampled_from([np.int64, np.uint8]))
    lengths = tuple(
        np.array(draw(st.lists(st.integers(0, 20), min_size=length, max_size=length)), dtype=dtype)
        for length in base.source_lengths
    )
    sizes = st.integers(1, 50)
    return LengthGroupedOrder(
        order=base, lengths=lengths, window_size=draw(sizes), batch_size=draw(sizes), seed=draw(seeds())
    )


@st.composite
def bin_orders(draw: Callable[..., Any], base: Any, bins_per_step: int = 1) -> PlannedOrder:
    """Return a strategy for orders that make their own steps, of at least some bins, over a base with short data sets.

    Example:
        >>> bin_orders(EpochOrder(length=9, seed=7)).validate()
    """
    divisible_by = draw(st.integers(1, 3))
    max_tokens = divisible_by * draw(st.integers(1, 12))
    truncate = draw(st.booleans())
    lengths = st.integers(1, 20 if truncate else max_tokens)
    order: PlannedOrder = draw(st.sampled_from([PackedOrder, TokenBudgetOrder]))(
        order=base,
        lengths=tuple(draw(st.lists(lengths, min_size=length, max_size=length)) for length in base.source_lengths),
        max_tokens=max_tokens,
        bins_per_step=draw(st.integers(bins_per_step, bins_per_step + 3)),
        window_size=draw(st.integers(1, 50)),
        divisible_by=divisible_by,
        truncate=truncate,
        seed=draw(seeds()),
    )
    return order


@st.composite
def skip_orders(draw: Callable[..., Any], base: Order) -> SkipOrder:
    """Return a strategy for orders without some of the first 60 positions of a base order.

    Example:
        >>> skip_orders(EpochOrder(length=9, seed=7)).validate()
    """
    end = 60 if base.num_samples is None else min(base.num_samples, 60)
    positions = draw(st.sets(st.integers(0, end - 1))) if end else set[int]()
    return (PlannedSkipOrder if isinstance(base, PlannedOrder) else SkipOrder)(order=base, positions=sorted(positions))


def epoch_batch_orders(base: Any) -> st.SearchStrategy[EpochBatchOrder]:
    """Return a strategy for invertible orders over a base whose steps don't hold samples of two epochs.

    Example:
        >>> epoch_batch_orders(EpochOrder(length=9, seed=7)).validate()
    """
    sizes = st.integers(1, min(base.epoch_length, 9))
    return st.builds(EpochBatchOrder, order=st.just(base), batch_size=sizes, rest=st.sampled_from(["short", "drop"]))


def _has_end(order: Order) -> bool:
    return order.num_samples is not None


def _has_epochs(order: Any) -> bool:
    return order.epoch_length is not None


def _ungrouped_invertible_orders() -> st.SearchStrategy[Order]:
    singles = st.one_of(epoch_orders(), kensler_orders(), block_orders())
    return st.one_of(singles, st.recursive(singles, mixtures, max_leaves=6))


def ungrouped_orders() -> st.SearchStrategy[Order]:
    """Return a strategy for orders without grouping by length.

    Example:
        >>> ungrouped_orders().validate()
    """
    singles = st.one_of(epoch_orders(), kensler_orders(), block_orders(), resample_orders(), weighted_orders())
    return st.one_of(singles, st.recursive(singles, mixtures, max_leaves=6))


def invertible_orders() -> st.SearchStrategy[Order]:
    """Return a strategy for orders of every kind that has a `position_of`.

    Example:
        >>> invertible_orders().validate()
    """
    short = short_orders()
    return st.one_of(
        _ungrouped_invertible_orders(),
        st.one_of(short, mixtures(short)).flatmap(bin_orders),
        st.one_of(short, length_orders(short), short.flatmap(bin_orders)).filter(_has_end).flatmap(skip_orders),
        mixtures(short.filter(_has_end).flatmap(skip_orders)),
        st.one_of(epoch_orders(), length_orders(short)).filter(_has_epochs).flatmap(epoch_batch_orders),
        length_orders(st.one_of(short, mixtures(short), length_orders(short))),
        mixtures(length_orders(short)),
    )


def orders() -> st.SearchStrategy[Order]:
    """Return a strategy for orders of every kind, also nested.

    Example:
        >>> orders().validate()
    """
    resampled = resample_orders(length=st.integers(1, 30))
    return st.one_of(ungrouped_orders(), invertible_orders(), length_orders(resampled), resampled.flatmap(bin_orders))


@st.composite
def positions_in(draw: Callable[..., Any], order: Order) -> list[int]:
    """Return a strategy for positions of an order, often near its start and its end; none if it is empty.

    Example:
        >>> positions_in(EpochOrder(length=9, seed=7)).validate()
    """
    # An order that drops the rest of each epoch, less than half of it, meets the end of int64 before its positions do.
    end = MAX_INT // 2 if isinstance(order, PlannedOrder) else MAX_INT
    last = end if order.num_samples is None else order.num_samples - 1
    if last < 0:
        return []
    near = st.integers(0, min(last, 500))
    anywhere = st.one_of(near, st.integers(0, last), st.integers(max(0, last - 3), last))
    return list(draw(st.lists(anywhere, max_size=20)))
