"""Whose turn it is: sources blended by integer weights, by random access.

A binary tree has the sources for leaves. Of the first n items of a node, the left child gets `n * a / b` rounded to the
nearest integer, where b is the weight of the node and a that of the child: so each child is spread evenly over its
parent, with an error of at most a half. Going down, an error is multiplied by the child's share and a half is added.
Such a blend repeats after as many items as the weights add up to.
"""

import heapq
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bionemo.core.utils.blocks import take
from bionemo.core.utils.checks import AnyInt, as_int

__all__ = ["Turns", "counts_among", "error_bounds", "make_turns", "position_of_turn", "turn_at"]


class Turns(NamedTuple):
    """The trees of a blend, one for each stretch of positions with weights of its own, as tables.

    One-axis int64 arrays, or tensors. Nodes are numbered through all trees; a leaf is its own child, a root its own
    parent.
    """

    starts: Any
    """A stretch: its first position."""
    roots: Any
    """A stretch: the root of its tree."""
    before: Any
    """A stretch and source: items of the source before the stretch."""
    leaves: Any
    """A stretch and source: its leaf."""
    weight: Any
    """A node: its weight."""
    left_weight: Any
    """A node: the weight of its left child."""
    children: Any
    """A node: its right child, then its left child."""
    source: Any
    """A leaf: its source."""
    parent: Any
    """A node: its parent."""
    parent_weight: Any
    """A node: the weight of its parent."""
    is_left: Any
    """A node: whether it is the left child, 0 or 1."""


def _tree(weights: Collection[AnyInt]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the children, left and right, of the inner nodes of a Huffman tree, and the weights of all nodes.

    The leaves come first, in the sequence of the weights; the root is last.
    """
    totals = list(map(int, weights))
    heap = [(weight, node) for node, weight in enumerate(totals)]
    heapq.heapify(heap)
    pairs = []
    while len(heap) > 1:
        (_, lighter), (_, heavier) = heapq.heappop(heap), heapq.heappop(heap)
        pairs.append((heavier, lighter))
        totals.append(totals[heavier] + totals[lighter])
        heapq.heappush(heap, (totals[-1], len(totals) - 1))
    return pairs, totals


def error_bounds(weights: Collection[AnyInt]) -> tuple[Fraction, ...]:
    """Return for each source by how much its count among the first items can differ from its exact share.

    Law: at every prefix of a blend by these weights, `|count - n * weight / total|` is at most this. With r the share
    of a node in its parent, the bound of the node is r times the bound of the parent, and a half.

    For any weights it is below 1.68: in a Huffman tree the sibling of a node's parent is at least as heavy as each of
    the parent's children, so that a child of share r has a parent of share at most `1 / (1 + max(r, 1 - r))`. Under
    that condition the sum `(1 + r * (1 + r' * (1 + ...))) / 2` is largest for shares near 1, 1/2, 2/3, 3/5, 5/8, and so
    on, where it comes to half the sum of the reciprocals of Fibonacci's numbers: 1.67994.

    Example:
        >>> [str(bound) for bound in error_bounds([2, 1, 1])]
        ['1/2', '3/4', '3/4']
    """
    pairs, totals = _tree(weights)
    bounds = [Fraction(0)] * len(totals)
    for inner in reversed(range(len(pairs))):
        parent = len(weights) + inner
        for child in pairs[inner]:
            bounds[child] = Fraction(totals[child], totals[parent]) * bounds[parent] + Fraction(1, 2)
    return tuple(bounds[: len(weights)])


def counts_among(num_items: AnyInt, weights: Collection[AnyInt]) -> tuple[int, ...]:
    """Return how many of the first items each source has.

    Law: the counts add up to `num_items`, and each is within `error_bounds` of its exact share.

    Example:
        >>> counts_among(10, [2, 1, 1])
        (5, 2, 3)
    """
    pairs, totals = _tree(weights)
    counts = [0] * len(totals)
    counts[-1] = as_int(num_items)
    for inner in reversed(range(len(pairs))):
        parent, (left, right) = len(weights) + inner, pairs[inner]
        counts[left] = (2 * counts[parent] * totals[left] + totals[parent]) // (2 * totals[parent])
        counts[right] = counts[parent] - counts[left]
    return tuple(counts[: len(weights)])


def make_turns(stretches: Sequence[tuple[AnyInt, Collection[AnyInt]]]) -> tuple[Turns, int]:
    """Return the tables of a blend, and how many levels its deepest tree has.

    Args:
        stretches: first positions, rising from 0, each with the weights from there on: positive ints of total below
            2**31, one a source; not checked.

    Example:
        >>> turns, depth = make_turns([(0, [2, 1, 1])])
        >>> [turn_at(position, turns, depth) for position in range(4)]
        [(2, 0), (0, 0), (1, 0), (0, 1)]
    """
    parts: list[Turns] = []
    depth = first = 0
    before, starts = [0] * len(stretches[0][1]), [as_int(start) for start, _ in stretches]
    for (_, weights), start, end in zip(stretches, starts, [*starts[1:], None], strict=True):
        part, levels = _stretch(start, weights, before, first)
        parts.append(part)
        depth, first = max(depth, levels), first + len(part.weight)
        if end is not None:
            before = [sum(counts) for counts in zip(before, counts_among(end - start, weights), strict=True)]
    return Turns(*map(np.concatenate, zip(*parts, strict=True))), depth


def _stretch(start: int, weights: Collection[AnyInt], before: Sequence[int], first: int) -> tuple[Turns, int]:
    """Return the tables of one stretch, its nodes numbered from `first` on, and the levels of its tree."""
    pairs, totals = _tree(weights)
    num_leaves, nodes = len(weights), list(range(first, first + len(totals)))
    children = [child for node in nodes for child in (node, node)]
    left_weight, parent, is_left, levels = list(totals), list(nodes), [1] * len(totals), [0] * len(totals)
    for inner, (left, right) in enumerate(pairs, start=num_leaves):
        children[2 * inner : 2 * inner + 2] = first + right, first + left
        left_weight[inner] = totals[left]
        parent[left] = parent[right] = nodes[inner]
        is_left[right] = 0
        levels[inner] = 1 + max(levels[left], levels[right])
    source = [*range(num_leaves), *[0] * len(pairs)]
    columns = (
        *([start], nodes[-1:], before, nodes[:num_leaves], totals, left_weight, children),
        *(source, parent, [totals[up - first] for up in parent], is_left),
    )
    return Turns(*(np.array(column, dtype=np.int64) for column in columns)), levels[-1]


def _stretch_of(place: Any, firsts: Any, stride: int, offset: Any) -> Any:
    """Return which stretch a place is in, given the first place of each."""
    stretch = place * 0
    for later in range(1, len(firsts) // stride):
        stretch = stretch + (place >= take(firsts, stretch * 0 + later * stride + offset))
    return stretch


def turn_at(position: Any, turns: Turns, depth: AnyInt) -> tuple[Any, Any]:
    """Return whose turn it is at a position, and how many turns that source has had; unchecked, for any integers.

    Law: for each source, its turns are numbered from 0 on without a gap.

    Example:
        >>> turns, depth = make_turns([(0, [2, 1])])
        >>> [turn_at(position, turns, depth) for position in range(4)]
        [(0, 0), (1, 0), (0, 1), (0, 2)]
    """
    position = as_int(position)
    num_sources = len(turns.leaves) // len(turns.starts)
    stretch = _stretch_of(position, turns.starts, 1, 0)
    item = position - take(turns.starts, stretch)
    node = take(turns.roots, stretch)
    total = take(turns.weight, node)
    period = item // total
    item = item - period * total
    for _ in range(depth):
        total = take(turns.weight, node)
        left = take(turns.left_weight, node)
        scaled = 2 * item * left + total
        before = scaled // (2 * total)  # items of the left child among those before this one
        is_left = (scaled - before * 2 * total >= 2 * (total - left)) * 1
        item = item - before + is_left * (2 * before - item)
        node = take(turns.children, 2 * node + is_left)
    source = take(turns.source, node)
    count = period * take(turns.weight, node) + item + take(turns.before, stretch * num_sources + source)
    return source, count


def position_of_turn(source: Any, count: Any, turns: Turns, depth: AnyInt) -> Any:
    """Return at which position a source has had so many turns and its next comes; unchecked, for any integers.

    Law: the inverse of `turn_at`.

    Example:
        >>> turns, depth = make_turns([(0, [2, 1])])
        >>> [position_of_turn(0, count, turns, depth) for count in range(4)]
        [0, 2, 3, 5]
    """
    source, count = as_int(source), as_int(count)
    num_sources = len(turns.leaves) // len(turns.starts)
    stretch = _stretch_of(count, turns.before, num_sources, source)
    item = count - take(turns.before, stretch * num_sources + source)
    node = take(turns.leaves, stretch * num_sources + source)
    weight = take(turns.weight, node)
    period = item // weight
    item = item - period * weight
    for _ in range(depth):
        total = take(turns.parent_weight, node)
        is_left = take(turns.is_left, node)
        weight = take(turns.weight, node)
        # The item of the parent before which `item` others went this way: for the left the last that rounds up.
        scaled = total * (2 * item + 1)
        item = (scaled - is_left) // (2 * weight)
        node = take(turns.parent, node)
    return take(turns.starts, stretch) + period * take(turns.weight, node) + item
