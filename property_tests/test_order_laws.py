"""Laws of all orders, and of each kind of order."""

import json
import pickle
from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bionemo.core.checks import MAX_INT
from bionemo.core.record import to_plain
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    Order,
    ProportionalOrder,
    SampleIndex,
    SkipOrder,
    external_arrays,
    fingerprint,
    from_json,
    index_at,
    position_of,
    to_json,
    token_weights,
)
from bionemo.data.orders.base import leaves
from bionemo.data.orders.by_weight.interleave import counts_among, error_bounds
from bionemo.data.pipeline.state import agreement
from bionemo.data.testing import strategies
from bionemo.data.testing.strategies import nested_orders, single_orders

pytestmark = pytest.mark.usefixtures("no_type_checks")  # they take most of the time


def as_indices(index: SampleIndex) -> list[SampleIndex]:
    return [SampleIndex(*sample) for sample in zip(*(part.tolist() for part in index), strict=True)]


@given(order=strategies.orders(), data=st.data())
def test_many_positions_at_once_give_the_same_as_one_by_one_and_are_not_modified(
    order: Order, data: st.DataObject
) -> None:
    positions = data.draw(strategies.positions_in(order))
    indices = [index_at(order, position) for position in positions]
    tensor = torch.tensor(positions, dtype=torch.int64)
    assert as_indices(index_at(order, tensor)) == indices
    assert tensor.tolist() == positions
    for many in (positions * 3, tuple(positions * 3), np.array(positions * 3, dtype=np.int64)):
        assert as_indices(index_at(order, many)) == indices * 3
    folded = index_at(order, torch.tensor([positions, positions[::-1]], dtype=torch.int64))
    assert all(part.shape == (2, len(positions)) and part.dtype == torch.int64 for part in folded)
    assert as_indices(SampleIndex(*(part[1] for part in folded))) == indices[::-1]


@given(order=strategies.orders(), data=st.data())
def test_every_index_is_in_the_range_of_its_source(order: Order, data: st.DataObject) -> None:
    lengths = order.source_lengths
    assert len(lengths) == order.num_sources
    for position in data.draw(strategies.positions_in(order)):
        source, epoch, idx = index_at(order, position)
        assert 0 <= source < order.num_sources
        assert 0 <= idx < lengths[source]
        assert epoch >= 0


@given(order=strategies.invertible_orders(), data=st.data())
def test_position_of_inverts_index_at(order: Order, data: st.DataObject) -> None:
    positions = data.draw(strategies.positions_in(order))
    indices = [index_at(order, position) for position in positions]
    assert [position_of(order, index) for index in indices] == positions
    tensor = torch.tensor(positions, dtype=torch.int64)
    assert position_of(order, index_at(order, tensor)).tolist() == positions


@given(order=strategies.orders(), other=strategies.orders(), data=st.data())
def test_orders_round_trip_through_json_and_pickle(order: Order, other: Order, data: st.DataObject) -> None:
    restored = from_json(to_json(order), arrays=external_arrays(order))
    for copy in (pickle.loads(pickle.dumps(order)), restored, attrs.evolve(order)):
        assert copy == order
        assert hash(copy) == hash(order)
        assert repr(copy) == repr(order)
        assert fingerprint(copy) == fingerprint(order)
        for position in data.draw(strategies.positions_in(order)):
            assert index_at(copy, position) == index_at(order, position)
    assert from_json(json.dumps(json.loads(to_json(order)), indent=1), arrays=external_arrays(order)) == order
    assert (fingerprint(order) == fingerprint(other)) == (order == other)


@given(length=st.integers(1, 200), seed=strategies.seeds(), epoch=st.integers(0, 10**9), data=st.data())
def test_each_epoch_has_every_sample_once(length: int, seed: int, epoch: int, data: st.DataObject) -> None:
    sizes = st.integers(1, length + 5)
    order = data.draw(
        st.one_of(
            st.builds(EpochOrder, length=st.just(length), seed=st.just(seed), shuffle=st.booleans()),
            st.builds(
                BlockShuffleOrder, length=st.just(length), seed=st.just(seed), block_size=sizes, blocks_per_window=sizes
            ),
        )
    )
    if data.draw(st.booleans()):
        lengths = data.draw(st.lists(st.integers(0, 9), min_size=length, max_size=length))
        order = LengthGroupedOrder(
            order=order, lengths=lengths, window_size=data.draw(sizes), batch_size=data.draw(sizes), seed=seed
        )
    index = index_at(order, torch.arange(epoch * length, (epoch + 1) * length))
    assert torch.equal(index.idx.sort().values, torch.arange(length))
    assert (index.epoch == epoch).all()
    assert (index.source == 0).all()


@given(
    length=st.integers(1, 300),
    block_size=st.integers(1, 40),
    blocks_per_window=st.integers(1, 12),
    seed=strategies.seeds(),
)
def test_each_window_consists_of_whole_blocks_and_each_block_is_in_one_window(
    length: int, block_size: int, blocks_per_window: int, seed: int
) -> None:
    order = BlockShuffleOrder(length=length, block_size=block_size, blocks_per_window=blocks_per_window, seed=seed)
    blocks = (index_at(order, torch.arange(length)).idx // block_size).tolist()
    num_blocks = -(-length // block_size)
    small, large_windows = divmod(num_blocks, -(-num_blocks // blocks_per_window))
    sizes = {block: min(block_size, length - block * block_size) for block in range(num_blocks)}
    start = 0
    for window in range(-(-num_blocks // blocks_per_window)):
        stop = start
        while stop < length and sum(sizes[block] for block in set(blocks[start : stop + 1])) > stop - start:
            stop += 1  # until all blocks of the window are complete
            if len(set(blocks[start:stop])) == small + (window < large_windows) and stop - start == sum(
                sizes[block] for block in set(blocks[start:stop])
            ):
                break
        assert len(set(blocks[start:stop])) == small + (window < large_windows) <= blocks_per_window
        assert set(blocks[start:stop]).isdisjoint(blocks[stop:])
        start = stop
    assert start == length


@given(base=st.one_of(single_orders.short_orders(), strategies.mixtures(single_orders.short_orders())), data=st.data())
def test_length_grouped_windows_hold_the_samples_of_the_base_in_batches_of_similar_length(base, data) -> None:
    order = data.draw(nested_orders.length_orders(st.just(base)))
    stop = 100 if base.num_samples is None else min(base.num_samples, 100)
    found, expected = (as_indices(index_at(some, torch.arange(stop))) for some in (order, base))
    start, size = 0, order.batch_size
    while start < stop:
        length = base.epoch_length
        epoch_end = 2**63 if length is None else (start // length + 1) * length
        end = min(start + order.window_size, epoch_end, 2**63 if base.num_samples is None else base.num_samples)
        if end > stop:
            break
        assert sorted(found[start:end]) == sorted(expected[start:end])
        lengths = [int(order.lengths[index.source].array[index.idx]) for index in found[start:end]]
        pieces, first = [], 0
        while first < len(lengths):  # cut at the multiples of the batch size
            end_of_piece = min(first + size - (start + first) % size, len(lengths))
            pieces.append(lengths[first:end_of_piece])
            first = end_of_piece
        assert all(piece == sorted(piece) for piece in pieces)
        assert sum(sorted(pieces), []) == sorted(lengths)  # the ranges of the pieces don't overlap
        start = end


@given(mixture=strategies.mixtures(nested_orders.ungrouped_orders()), data=st.data())
def test_each_source_of_a_mixture_keeps_its_own_order(mixture: MixtureOrder, data: st.DataObject) -> None:
    stop = 200 if mixture.num_samples is None else min(mixture.num_samples, 200)
    found = as_indices(index_at(mixture, torch.arange(stop)))
    for source, leaf in enumerate(leaves([mixture])):
        own = [index for index in found if index.source == source]
        # In a mixture that ends when all were exhausted, it may have begun its next epoch.
        expected = as_indices(index_at(attrs.evolve(leaf, num_samples=None), torch.arange(len(own))))
        assert own == [index._replace(source=source) for index in expected]


@st.composite
def extended_orders(draw: st.DrawFn) -> tuple[Order, Order]:
    """Draw an order, and the same with skips, with another change of weights, or with more samples."""
    order = draw(st.one_of(single_orders.short_orders(), strategies.mixtures(single_orders.short_orders())))
    number = draw(st.integers(1, 50))
    if isinstance(order, MixtureOrder) and draw(st.booleans()):
        weights = draw(st.lists(st.integers(0, 9), min_size=len(order.orders), max_size=len(order.orders)).filter(any))
        changes = [*(change for change in order.changes if change[0] < number), (number, weights)]
        return order, attrs.evolve(order, num_samples=None, changes=changes)
    if isinstance(order, EpochOrder) and order.num_samples is not None and draw(st.booleans()):
        return order, attrs.evolve(order, num_samples=min(order.num_samples + number, 2**62))
    return order, draw(nested_orders.skip_orders(order))


@given(orders=extended_orders())
def test_an_extended_order_has_the_same_samples_up_to_where_they_agree(orders: tuple[Order, Order]) -> None:
    order, extended = orders
    agreed = agreement(extended, to_plain(order))
    stop = min([agreed, 60, *(part.num_samples for part in orders if part.num_samples is not None)])
    assert as_indices(index_at(extended, range(stop))) == as_indices(index_at(order, range(stop)))
    if isinstance(extended, SkipOrder):
        assert agreed == (extended.positions[0][0] if extended.positions else MAX_INT)
    elif isinstance(extended, EpochOrder) and extended != order:
        assert agreed == order.num_samples


@settings(max_examples=settings().max_examples // 2)
@given(order=strategies.invertible_orders(), data=st.data())
def test_an_order_with_skips_has_the_other_samples_in_their_order(order: Order, data: st.DataObject) -> None:
    skipping = data.draw(nested_orders.skip_orders(order))
    skipped = {position for start, stop in skipping.positions for position in range(start, stop)}
    stop = min(100, 10**9 if order.num_samples is None else order.num_samples)
    left = [position for position in range(stop) if position not in skipped]
    assert as_indices(index_at(skipping, range(len(left)))) == as_indices(index_at(order, left))
    assert skipping.position_before(np.arange(len(left))).tolist() == left
    assert skipping.position_after(np.array(left, dtype=np.int64)).tolist() == list(range(len(left)))


@given(weights=st.lists(st.integers(0, 20), min_size=1, max_size=30).filter(any), seed=strategies.seeds())
def test_proportional_counts_are_exact_and_samples_of_equal_weight_take_turns(weights: list[int], seed: int) -> None:
    found = index_at(ProportionalOrder(weights=weights, seed=seed), range(300)).idx
    read = np.zeros((301, len(weights)), dtype=np.int64)
    read[1:] = np.cumsum(found[:, None] == np.arange(len(weights)), axis=0)
    exact = np.arange(301)[:, None] * np.array(weights) / sum(weights)
    assert np.abs(read - exact).max() < 2.68
    for weight in {*weights}:
        counts = read[:, np.array(weights) == weight]
        assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    weights=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    position=st.integers(1, 30),
)
def test_a_mixture_that_leaves_out_exhausted_orders_reads_each_sample_once_in_proportion(
    lengths: list[int], weights: list[int], position: int
) -> None:
    orders = [EpochOrder(length=12, seed=seed, num_samples=length) for seed, length in enumerate(lengths)]
    every = [1] * len(orders)
    given = weights[: len(orders)] if any(weights[: len(orders)]) else every
    order = MixtureOrder(
        orders=orders, weights=given, changes=[(position, every)], stopping_strategy="all_exhausted_without_replacement"
    )
    first = sum(length for length, weight in zip(lengths, given, strict=True) if weight)
    assert len(order) == (first if first < position else sum(lengths))
    found = index_at(order, range(len(order)))
    if first >= position:
        assert np.bincount(found.source, minlength=len(orders)).tolist() == lengths
    # While the same orders are left, any stretch is interleaved by their weights.
    ends = [int(np.flatnonzero(found.source == source)[-1]) + 1 for source in set(found.source.tolist())]
    for start, stop in pairwise(sorted({0, *ends, position, len(order)})):
        alive = [
            weight * (int((found.source[:start] == source).sum()) < lengths[source])
            for source, weight in enumerate(given if start < position else every)
        ]
        if stop <= len(order) and any(alive):
            counts = np.bincount(found.source[start:stop], minlength=len(orders)).tolist()
            assert tuple(counts) == counts_among(stop - start, alive)


@given(
    fractions=st.lists(st.integers(0, 1000), min_size=1, max_size=5).filter(any),
    lengths=st.lists(st.integers(1, 2000), min_size=5, max_size=5),
)
def test_token_weights_give_each_source_its_fraction_of_the_tokens(fractions: list[int], lengths: list[int]) -> None:
    lengths, num_samples = lengths[: len(fractions)], 10**6
    found = token_weights(fractions, lengths, total=2**30)
    counts = counts_among(num_samples, found.weights)
    tokens = [count * length for count, length in zip(counts, lengths, strict=True)]
    for realized, wanted in zip(tokens, fractions, strict=True):
        bound = 2 * (2 + num_samples * found.error) * max(lengths) * len(lengths)  # of a source, and of all together
        assert realized / sum(tokens) == pytest.approx(wanted / sum(fractions), abs=bound / sum(tokens))


@given(weights=st.lists(st.integers(0, 2**28), min_size=1, max_size=7).filter(any), num_items=st.integers(0, 2**62))
def test_the_error_of_a_mixture_is_within_its_bound_and_the_bound_below_the_documented_one(
    weights: list[int], num_items: int
) -> None:
    counts, total = counts_among(num_items, weights), sum(weights)
    assert sum(counts) == num_items
    for count, weight, bound in zip(counts, weights, error_bounds(weights), strict=True):
        assert abs(count * total - num_items * weight) <= bound * total
        assert bound < 1.68
