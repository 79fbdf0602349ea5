"""Hypothesis strategies for orders of every kind."""

import attrs
import numpy as np
from hypothesis import strategies as st

from bionemo.data import (
    BalancedOrder,
    BlockShuffleOrder,
    ClusterOrder,
    EpochBatchOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    Order,
    PackedOrder,
    PlannedOrder,
    PlannedSkipOrder,
    ProportionalOrder,
    ResampleOrder,
    SkipOrder,
    TokenBudgetOrder,
    WeightedEpochOrder,
    WeightedOrder,
)
from bionemo.data.orders.by_weight.endings import STOPPING_STRATEGIES
from bionemo.data.permute import MAX_LENGTH

SEEDS = st.integers(0, 2**63 - 1)
LENGTHS = st.one_of(st.integers(1, 50), st.integers(1, 5000), st.integers(1, MAX_LENGTH))
NUM_SAMPLES = st.one_of(st.none(), st.integers(0, 300), st.integers(0, MAX_LENGTH))


def epoch_orders() -> st.SearchStrategy[EpochOrder]:
    return st.builds(EpochOrder, length=LENGTHS, seed=SEEDS, num_samples=NUM_SAMPLES, shuffle=st.booleans())


def block_orders() -> st.SearchStrategy[BlockShuffleOrder]:
    sizes = st.one_of(st.integers(1, 20), st.integers(1, MAX_LENGTH))
    return st.builds(
        BlockShuffleOrder,
        length=LENGTHS,
        block_size=sizes,
        blocks_per_window=sizes,
        seed=SEEDS,
        num_samples=NUM_SAMPLES,
    )


def resample_orders() -> st.SearchStrategy[ResampleOrder]:
    return st.builds(ResampleOrder, length=LENGTHS, seed=SEEDS, num_samples=NUM_SAMPLES)


def weight_lists() -> st.SearchStrategy[list[float]]:
    weight = st.one_of(st.just(0.0), st.floats(0, 1e308), st.integers(0, 5).map(float))
    return st.lists(weight, min_size=1, max_size=100).filter(any)


def weighted_orders() -> st.SearchStrategy[WeightedOrder]:
    return st.builds(WeightedOrder, weights=weight_lists(), seed=SEEDS, num_samples=NUM_SAMPLES)


@st.composite
def mixture_orders(draw: st.DrawFn, parts: st.SearchStrategy[Order]) -> MixtureOrder:
    """Draw a mixture of orders, with or without changes of the weights, some of them 0, and any stopping strategy."""
    orders = draw(st.lists(parts, min_size=1, max_size=5, unique=True).filter(has_no_equal_leaves))
    weight = st.one_of(st.integers(0, 9), st.integers(1, 2**28))
    weights = st.lists(weight, min_size=len(orders), max_size=len(orders)).filter(any)
    may_begin_again = all(order.num_samples is None or isinstance(order, EpochOrder) for order in orders)
    strategy = draw(
        st.sampled_from([name for name in STOPPING_STRATEGIES if may_begin_again or name != "all_exhausted"])
    )
    positions = sorted(draw(st.sets(st.one_of(st.integers(1, 100), st.integers(1, MAX_LENGTH)), max_size=3)))
    changes = [(position, draw(weights)) for position in positions]
    mixture = MixtureOrder(orders=orders, weights=draw(weights), changes=changes, stopping_strategy=strategy)
    end = mixture.num_samples
    cut = draw(st.one_of(st.none(), st.integers(0, MAX_LENGTH if end is None else end)))
    return mixture if cut is None else attrs.evolve(mixture, num_samples=cut)


def leaves(order: Order) -> list[Order]:
    """Return the order of each source."""
    if isinstance(order, LengthGroupedOrder | PackedOrder | TokenBudgetOrder | SkipOrder | EpochBatchOrder):
        return leaves(order.order)
    return [leaf for part in order.orders for leaf in leaves(part)] if isinstance(order, MixtureOrder) else [order]


def has_no_equal_leaves(orders: list[Order]) -> bool:
    found = [attrs.evolve(leaf, num_samples=None) for order in orders for leaf in leaves(order)]
    return len(set(found)) == len(found)


@st.composite
def length_orders(draw: st.DrawFn, bases: st.SearchStrategy[Order]) -> LengthGroupedOrder:
    """Draw an order grouped by length, over a base with short data sets."""
    base = draw(bases)
    dtype = draw(st.sampled_from([np.int64, np.uint8]))
    lengths = tuple(
        np.array(draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)), dtype=dtype) for n in base.source_lengths
    )
    sizes = st.integers(1, 50)
    return LengthGroupedOrder(
        order=base, lengths=lengths, window_size=draw(sizes), batch_size=draw(sizes), seed=draw(SEEDS)
    )


@st.composite
def bin_orders(draw: st.DrawFn, base: Order, bins_per_step: int = 1) -> Order:
    """Draw an order that makes its own steps, of at least some bins, over a base with short data sets."""
    divisible_by = draw(st.integers(1, 3))
    max_tokens = divisible_by * draw(st.integers(1, 12))
    truncate = draw(st.booleans())
    lengths = st.integers(1, 20 if truncate else max_tokens)
    return draw(st.sampled_from([PackedOrder, TokenBudgetOrder]))(
        order=base,
        lengths=tuple(draw(st.lists(lengths, min_size=n, max_size=n)) for n in base.source_lengths),
        max_tokens=max_tokens,
        bins_per_step=draw(st.integers(bins_per_step, bins_per_step + 3)),
        window_size=draw(st.integers(1, 50)),
        divisible_by=divisible_by,
        truncate=truncate,
        seed=draw(SEEDS),
    )


@st.composite
def cluster_orders(draw: st.DrawFn) -> ClusterOrder:
    """Draw an order of clusters, with or without weights."""
    labels = draw(st.lists(st.integers(0, 9), min_size=1, max_size=30))
    number = len(set(labels))
    weights = st.lists(st.integers(0, 5).map(float) | st.floats(0, 9), min_size=number, max_size=number).filter(any)
    given = {"clusters": labels, "seed": draw(SEEDS), "num_samples": draw(NUM_SAMPLES)}
    if draw(st.booleans()):
        outer = draw(st.lists(st.integers(0, 3), min_size=number, max_size=number))
        return ClusterOrder(**given, visits=ClusterOrder(clusters=outer, seed=draw(SEEDS)))
    return ClusterOrder(**given, weights=draw(st.none() | weights))


def short_orders() -> st.SearchStrategy[Order]:
    """Generate invertible orders of short data sets."""
    lengths, sizes = st.integers(1, 30), st.integers(1, 9)
    return st.one_of(
        st.builds(EpochOrder, length=lengths, seed=SEEDS, num_samples=NUM_SAMPLES),
        cluster_orders(),
        st.builds(BalancedOrder, groups=st.lists(st.integers(0, 5), min_size=1), seed=SEEDS, num_samples=NUM_SAMPLES),
        st.builds(WeightedEpochOrder, weights=weight_lists(), seed=SEEDS, num_samples=NUM_SAMPLES),
        st.builds(ProportionalOrder, weights=weight_lists(), seed=SEEDS, num_samples=NUM_SAMPLES),
        st.builds(
            BlockShuffleOrder,
            length=lengths,
            block_size=sizes,
            blocks_per_window=sizes,
            seed=SEEDS,
            num_samples=NUM_SAMPLES,
        ),
    )


@st.composite
def skip_orders(draw: st.DrawFn, base: Order) -> SkipOrder:
    """Draw an order without some of the first 60 positions of a base order."""
    end = 60 if base.num_samples is None else min(base.num_samples, 60)
    positions = draw(st.sets(st.integers(0, end - 1))) if end else []
    return (PlannedSkipOrder if isinstance(base, PlannedOrder) else SkipOrder)(order=base, positions=sorted(positions))


def has_epochs(order: Order) -> bool:
    return order.epoch_length is not None


def epoch_batch_orders(base: Order) -> st.SearchStrategy[EpochBatchOrder]:
    """Generate orders over a base order whose steps don't hold samples of two epochs, all of them invertible."""
    sizes = st.integers(1, min(base.epoch_length, 9))
    return st.builds(EpochBatchOrder, order=st.just(base), batch_size=sizes, rest=st.sampled_from(["short", "drop"]))


def ends(order: Order) -> bool:
    return order.num_samples is not None


def invertible_orders() -> st.SearchStrategy[Order]:
    short = short_orders()
    return st.one_of(
        ungrouped_invertible_orders(),
        st.one_of(short, mixture_orders(short)).flatmap(bin_orders),
        st.one_of(short, length_orders(short), short.flatmap(bin_orders)).filter(ends).flatmap(skip_orders),
        mixture_orders(short.filter(ends).flatmap(skip_orders)),
        st.one_of(epoch_orders(), length_orders(short)).filter(has_epochs).flatmap(epoch_batch_orders),
        length_orders(st.one_of(short, mixture_orders(short), length_orders(short))),
        mixture_orders(length_orders(short)),
    )


def orders() -> st.SearchStrategy[Order]:
    """Generate orders of every kind."""
    resampled = st.builds(ResampleOrder, length=st.integers(1, 30), seed=SEEDS, num_samples=NUM_SAMPLES)
    return st.one_of(ungrouped_orders(), invertible_orders(), length_orders(resampled), resampled.flatmap(bin_orders))


def ungrouped_invertible_orders() -> st.SearchStrategy[Order]:
    """Generate invertible orders without grouping by length."""
    singles = st.one_of(epoch_orders(), block_orders())
    return st.one_of(singles, st.recursive(singles, mixture_orders, max_leaves=6))


def ungrouped_orders() -> st.SearchStrategy[Order]:
    """Generate orders without grouping by length."""
    singles = st.one_of(epoch_orders(), block_orders(), resample_orders(), weighted_orders())
    return st.one_of(singles, st.recursive(singles, mixture_orders, max_leaves=6))


@st.composite
def positions_in(draw: st.DrawFn, order: Order) -> list[int]:
    """Draw positions of an order, often near its start and its end; none if it is empty."""
    last = 2**63 - 1 if order.num_samples is None else order.num_samples - 1
    if last < 0:
        return []
    near = st.integers(0, min(last, 500))
    return draw(st.lists(st.one_of(near, st.integers(0, last), st.integers(max(0, last - 3), last)), max_size=20))
