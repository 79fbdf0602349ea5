"""Tests of interleaving sources by weight."""

from fractions import Fraction

import numpy as np
import pytest

from bionemo.data.orders.by_weight.interleave import (
    counts_among,
    error_bounds,
    item_at,
    make_interleaving,
    position_of_item,
)

WEIGHTS = [[1], [1, 1], [7, 3], [1, 2, 3, 4, 5], [1, 1, 1000], [1, 1, 2, 4, 8, 16], [13, 8, 5, 3, 2, 1, 1]]
LARGE = [[1, 2**31 - 2], [2**30, 2**30 - 1], [1] * 7 + [2**31 - 9]]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_items_of_each_source_are_numbered_consecutively_and_position_of_item_finds_them(weights: list[int]) -> None:
    tables, depth = make_interleaving([(0, weights)])
    counts = [0] * len(weights)
    for position in range(2 * sum(weights) + 3):
        assert counts_among(position, weights) == tuple(counts)
        source, count = item_at(position, tables, depth)
        assert count == counts[source]
        assert position_of_item(source, count, tables, depth) == position
        counts[source] += 1


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_interleaving_repeats_after_the_sum_of_the_weights(weights: list[int]) -> None:
    tables, depth = make_interleaving([(0, weights)])
    total = sum(weights)
    first, later = (item_at(np.arange(start, start + total), tables, depth) for start in (0, 5 * total))
    assert np.array_equal(first[0], later[0])
    assert np.array_equal(first[1] + 5 * np.array(weights)[first[0]], later[1])


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_counts_of_every_prefix_are_within_the_bound(weights: list[int]) -> None:
    total = sum(weights)
    for num_items in range(total + 1):
        counts = counts_among(num_items, weights)
        for count, weight, bound in zip(counts, weights, error_bounds(weights), strict=True):
            assert abs(count - Fraction(num_items * weight, total)) <= bound


def test_the_bound_of_every_huffman_tree_is_below_the_documented_one() -> None:
    """The supremum over all Huffman trees, 1.67994, is bounded from above on a grid of fractions.

    Each factor is replaced by its maximum over a cell of the grid, so the true supremum can't be larger.
    """
    cells = 200_000
    upper = np.arange(1, cells + 1) / cells
    lower = upper - 1 / cells
    least_of_larger = np.where(upper <= 0.5, 1 - upper, np.where(lower >= 0.5, lower, 0.5))
    reachable = np.minimum(np.floor(cells / (1 + least_of_larger)).astype(int), cells - 1)  # largest cell of a parent
    sums = np.full(cells, 10.0)  # upper bound of the sum at a node, by the cell of its fraction
    for _ in range(100):
        sums = upper * (1 + np.maximum.accumulate(sums)[reachable])
    assert 1.6799 < (1 + sums.max()) / 2 < 1.68


def test_the_documented_bound_is_almost_reached() -> None:
    weights, nodes = [10**5, 1], [10**5, 10**5 + 1]
    for _ in range(20):  # each level gets the lightest sibling that a Huffman tree allows
        weights.append(max(nodes[-2], weights[-1]) + 1)
        nodes.append(nodes[-1] + weights[-1])
    assert 1.6798 < max(error_bounds(weights)) < 1.68


@pytest.mark.parametrize("weights", LARGE)
@pytest.mark.parametrize("position", [0, 2**31 - 2, 10**12, 2**62, 2**63 - 1])
def test_large_weights_and_positions_do_not_overflow(weights: list[int], position: int) -> None:
    tables, depth = make_interleaving([(0, weights)])
    source, count = item_at(position, tables, depth)
    assert counts_among(position, weights)[source] == count
    assert [part.tolist() for part in item_at(np.array([position]), tables, depth)] == [[source], [count]]
    assert position_of_item(np.array([source]), np.array([count]), tables, depth).tolist() == [position]
    assert position_of_item(source, count, tables, depth) == position


def test_a_change_of_weights_keeps_all_earlier_items() -> None:
    before, depth = make_interleaving([(0, [7, 3])])
    after, _ = make_interleaving([(0, [7, 3]), (25, [1, 1]), (40, [1, 9])])
    assert [item_at(position, before, depth) for position in range(25)] == [
        item_at(position, after, depth) for position in range(25)
    ]
    counts = [0, 0]
    for position in range(100):
        source, count = item_at(position, after, depth)
        assert count == counts[source]
        assert position_of_item(source, count, after, depth) == position
        counts[source] += 1
    sources = [item_at(position, after, depth)[0] for position in range(100)]
    assert sources[25:39].count(0) == 7
    assert sources[40:100].count(1) == 54
