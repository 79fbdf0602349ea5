"""Strategies for orders of one data set."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from bionemo.data.orders.block import BlockShuffleOrder
from bionemo.data.orders.by_cluster.balanced import BalancedOrder
from bionemo.data.orders.by_cluster.clusters import ClusterOrder
from bionemo.data.orders.by_weight.proportional import ProportionalOrder
from bionemo.data.orders.by_weight.weighted import WeightedOrder
from bionemo.data.orders.by_weight.weighted_epoch import WeightedEpochOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.kensler import KenslerOrder
from bionemo.data.orders.order import Order
from bionemo.data.orders.resample import ResampleOrder
from bionemo.data.permute import MAX_LENGTH
from bionemo.data.testing.strategies.values import lengths, seeds

__all__ = [
    "block_orders",
    "cluster_orders",
    "epoch_orders",
    "kensler_orders",
    "num_samples",
    "resample_orders",
    "short_orders",
    "weight_lists",
    "weighted_orders",
]


def num_samples() -> st.SearchStrategy[int | None]:
    """Return a strategy for where an order ends: nowhere (None), soon, or late.

    Example:
        >>> num_samples().validate()
    """
    return st.one_of(st.none(), st.integers(0, 300), st.integers(0, MAX_LENGTH))


def epoch_orders() -> st.SearchStrategy[EpochOrder]:
    """Return a strategy for `EpochOrder`s of any length.

    Example:
        >>> epoch_orders().validate()
    """
    return st.builds(EpochOrder, length=lengths(), seed=seeds(), num_samples=num_samples(), shuffle=st.booleans())


def kensler_orders() -> st.SearchStrategy[KenslerOrder]:
    """Return a strategy for `KenslerOrder`s of any length, with an end, because later epochs take longer.

    Example:
        >>> kensler_orders().validate()
    """
    return st.builds(
        KenslerOrder,
        length=st.one_of(st.integers(1, 40), st.integers(1, 2**32)),
        seed=st.one_of(seeds(), st.integers(0, 2**256)),
        num_samples=st.integers(0, 300),
    )


def block_orders() -> st.SearchStrategy[BlockShuffleOrder]:
    """Return a strategy for `BlockShuffleOrder`s of any length and size of blocks.

    Example:
        >>> block_orders().validate()
    """
    sizes = st.one_of(st.integers(1, 20), st.integers(1, MAX_LENGTH))
    return st.builds(
        BlockShuffleOrder,
        length=lengths(),
        block_size=sizes,
        blocks_per_window=sizes,
        seed=seeds(),
        num_samples=num_samples(),
    )


def resample_orders(*, length: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[ResampleOrder]:
    """Return a strategy for `ResampleOrder`s.

    Example:
        >>> resample_orders().validate()
    """
    drawn = lengths() if length is None else length
    return st.builds(ResampleOrder, length=drawn, seed=seeds(), num_samples=num_samples())


def weight_lists() -> st.SearchStrategy[list[float]]:
    """Return a strategy for weights: lists of 1 to 100 numbers from 0, not all of them 0.

    Example:
        >>> weight_lists().validate()
    """
    weight = st.one_of(st.just(0.0), st.floats(0, 1e308), st.integers(0, 5).map(float))
    return st.lists(weight, min_size=1, max_size=100).filter(any)


def weighted_orders() -> st.SearchStrategy[WeightedOrder]:
    """Return a strategy for `WeightedOrder`s.

    Example:
        >>> weighted_orders().validate()
    """
    return st.builds(WeightedOrder, weights=weight_lists(), seed=seeds(), num_samples=num_samples())


@st.composite
def cluster_orders(draw: Callable[..., Any]) -> ClusterOrder:
    """Return a strategy for `ClusterOrder`s, with or without weights, or with an order of visits.

    Example:
        >>> cluster_orders().validate()
    """
    labels = draw(st.lists(st.integers(0, 9), min_size=1, max_size=30))
    number = len(set(labels))
    weights = st.lists(st.integers(0, 5).map(float) | st.floats(0, 9), min_size=number, max_size=number).filter(any)
    given: dict[str, Any] = {"clusters": labels, "seed": draw(seeds()), "num_samples": draw(num_samples())}
    if draw(st.booleans()):
        outer = draw(st.lists(st.integers(0, 3), min_size=number, max_size=number))
        return ClusterOrder(**given, visits=ClusterOrder(clusters=outer, seed=draw(seeds())))
    return ClusterOrder(**given, weights=draw(st.none() | weights))


def short_orders() -> st.SearchStrategy[Order]:
    """Return a strategy for invertible orders of short data sets.

    Example:
        >>> short_orders().validate()
    """
    sizes = st.integers(1, 9)
    given: dict[str, Any] = {"seed": seeds(), "num_samples": num_samples()}
    return st.one_of(
        st.builds(EpochOrder, length=st.integers(1, 30), **given),
        cluster_orders(),
        st.builds(BalancedOrder, groups=st.lists(st.integers(0, 5), min_size=1), **given),
        st.builds(WeightedEpochOrder, weights=weight_lists(), **given),
        st.builds(ProportionalOrder, weights=weight_lists(), **given),
        st.builds(BlockShuffleOrder, length=st.integers(1, 30), block_size=sizes, blocks_per_window=sizes, **given),
    )
