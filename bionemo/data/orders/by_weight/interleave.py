"""The mixture's algorithm: sources interleaved by integer weights, with random access.

A binary tree has the sources as leaves. Of the first n items of a node, the left child gets `n * a / b` rounded to the
nearest integer, where a is the weight of the child and b that of the node. So each child is spread evenly over its
parent, with an error of at most a half. One level down, an error is multiplied by the child's fraction and a half is
added. The interleaving repeats after as many items as the weights add up to.
"""

import heapq
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bionemo.core.arrays import take
from bionemo.core.checks import AnyInt, IntArray, as_int

__all__ = ["Interleaving", "counts_among", "error_bounds", "item_at", "make_interleaving", "position_of_item"]


class Interleaving(NamedTuple):
    """The trees of an interleaving, one for each stretch of positions with its own weights: one-axis int64 arrays.

    Nodes are numbered through all trees; a leaf is its own child, a root its own parent.
    """

    starts: IntArray
    """Per stretch: its first position."""
    roots: IntArray
    """Per stretch: the root of its tree."""
    before: IntArray
    """Per stretch and source: items of the source before the stretch."""
    leaves: IntArray
    """Per stretch and source: the leaf of the source."""
    weight: IntArray
    """Per node: its weight."""
    left_weight: IntArray
    """Per node: the weight of its left child."""
    children: IntArray
    """Per node: its right child, then its left child."""
    source: IntArray
    """Per leaf: its source."""
    parent: IntArray
    """Per node: its parent."""
    parent_weight: IntArray
    """Per node: the weight of its parent."""
    is_left: IntArray
    """Per node: 1 if it is a left child, else 0."""


def _tree(weights: Collection[AnyInt]) -> tuple[list[tuple[int, int]], list[int], int]:
    """Return the left and right children of the inner nodes of a Huffman tree, the weights of all nodes, and its root.

    The leaves come first, in the order of the weights, then the inner nodes. Leaves of weight 0 are not in the tree.
    """
    totals = list(map(int, weights))
    heap = [(weight, node) for node, weight in enumerate(totals) if weight]
    heapq.heapify(heap)
    pairs = []
    while len(heap) > 1:
        (_, lighter), (_, heavier) = heapq.heappop(heap), heapq.heappop(heap)
        pairs.append((heavier, lighter))
        totals.append(totals[heavier] + totals[lighter])
        heapq.heappush(heap, (totals[-1], len(totals) - 1))
    return pairs, totals, heap[0][1]


def error_bounds(weights: Collection[AnyInt]) -> tuple[Fraction, ...]:
    """Return, per source, how far its count among the first items can be from its exact fraction of them.

    Law: for every prefix of an interleaving by these weights, `|count - n * weight / total|` is at most this bound. The
    bound of a node is r times the bound of its parent, plus a half, where r is the node's fraction of its parent.

    For all weights it is below 1.68. In a Huffman tree the sibling of a node's parent is at least as heavy as each of
    the parent's children, so a child of fraction r has a parent of fraction at most `1 / (1 + max(r, 1 - r))`. Under
    that condition the sum `(1 + r * (1 + r' * (1 + ...))) / 2` is largest for fractions near 1, 1/2, 2/3, 3/5, 5/8, and
    so on, where it reaches half the sum of the reciprocals of the Fibonacci numbers: 1.67994.

    Example:
        >>> [str(bound) for bound in error_bounds([2, 1, 1, 0])]
        ['1/2', '3/4', '3/4', '0']
    """
    pairs, totals, _ = _tree(weights)
    bounds = [Fraction(0)] * len(totals)
    for inner in reversed(range(len(pairs))):
        parent = len(weights) + inner
        for child in pairs[inner]:
            bounds[child] = Fraction(totals[child], totals[parent]) * bounds[parent] + Fraction(1, 2)
    return tuple(bounds[: len(weights)])


def counts_among(num_items: AnyInt, weights: Collection[AnyInt]) -> tuple[int, ...]:
    """Return the number of items of each source among the first items.

    Law: the counts add up to `num_items`, and each is within `error_bounds` of its exact fraction.

    Example:
        >>> counts_among(10, [2, 1, 1])
        (5, 2, 3)
    """
    pairs, totals, root = _tree(weights)
    counts = [0] * len(totals)
    counts[root] = as_int(num_items)
    for inner in reversed(range(len(pairs))):
        parent, (left, right) = len(weights) + inner, pairs[inner]
        counts[left] = (2 * counts[parent] * totals[left] + totals[parent]) // (2 * totals[parent])
        counts[right] = counts[parent] - counts[left]
    return tuple(counts[: len(weights)])


def make_interleaving(stretches: Sequence[tuple[AnyInt, Collection[AnyInt]]]) -> tuple[Interleaving, int]:
    """Return the tables of an interleaving, and the number of levels of its deepest tree.

    Args:
        stretches: first positions, increasing from 0, each with the weights from there on: ints of 0 or more with a
            total of 1 to 2**31-1, one per source; not checked.

    Example:
        >>> tables, depth = make_interleaving([(0, [2, 1, 1])])
        >>> [item_at(position, tables, depth) for position in range(4)]
        [(2, 0), (0, 0), (1, 0), (0, 1)]
    """
    parts: list[Interleaving] = []
    depth = first = 0
    before, starts = [0] * len(stretches[0][1]), [as_int(start) for start, _ in stretches]
    for (_, weights), start, end in zip(stretches, starts, [*starts[1:], None], strict=True):
        part, levels = _stretch(start, weights, before, first)
        parts.append(part)
        depth, first = max(depth, levels), first + len(part.weight)
        if end is not None:
            before = [sum(counts) for counts in zip(before, counts_among(end - start, weights), strict=True)]
    return Interleaving(*map(np.concatenate, zip(*parts, strict=True))), depth


def _stretch(start: int, weights: Collection[AnyInt], before: Sequence[int], first: int) -> tuple[Interleaving, int]:
    """Return the tables of one stretch, with nodes numbered from `first`, and the number of levels of its tree."""
    pairs, totals, root = _tree(weights)
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
        *([start], [nodes[root]], before, nodes[:num_leaves], totals, left_weight, children),
        *(source, parent, [totals[up - first] for up in parent], is_left),
    )
    return Interleaving(*(np.array(column, dtype=np.int64) for column in columns)), levels[root]


def _stretch_of(index: Any, firsts: IntArray, stride: int, offset: Any) -> Any:
    """Return the stretch that an index is in, which is the last one that begins at the index or before it.

    The first index of stretch s is `firsts[s * stride + offset]`; these ascend with s. A binary search.
    """
    num_stretches, stretch = len(firsts) // stride, index * 0
    step = 1 << (num_stretches - 1).bit_length() >> 1
    while step:
        later = stretch + step
        later = later - (later >= num_stretches) * (later - num_stretches + 1)
        stretch = stretch + (index >= take(firsts, later * stride + offset)) * (later - stretch)
        step >>= 1
    return stretch


def item_at(position: Any, tables: Interleaving, depth: AnyInt) -> tuple[Any, Any]:
    """Return the source at a position, and the number of its earlier items; unchecked, for ints and arrays.

    Law: the items of each source are numbered from 0 on without a gap.

    Example:
        >>> tables, depth = make_interleaving([(0, [2, 1])])
        >>> [item_at(position, tables, depth) for position in range(4)]
        [(0, 0), (1, 0), (0, 1), (0, 2)]
    """
    position = as_int(position)
    num_sources = len(tables.leaves) // len(tables.starts)
    stretch = _stretch_of(position, tables.starts, 1, 0)
    item = position - take(tables.starts, stretch)
    node = take(tables.roots, stretch)
    total = take(tables.weight, node)
    period, item = divmod(item, total)
    for _ in range(depth):
        total = take(tables.weight, node)
        left = take(tables.left_weight, node)
        # The left child has round(item * left / total) of the items before this one. It also has this one if the next
        # rounding is larger, i.e. if the remainder of the division below reaches 2 * total when 2 * left is added.
        scaled = 2 * item * left + total
        before = scaled // (2 * total)
        is_left = (scaled - before * 2 * total >= 2 * (total - left)) * 1
        item = item - before + is_left * (2 * before - item)  # left: before; right: item - before
        node = take(tables.children, 2 * node + is_left)
    source = take(tables.source, node)
    count = period * take(tables.weight, node) + item + take(tables.before, stretch * num_sources + source)
    return source, count


def position_of_item(source: Any, count: Any, tables: Interleaving, depth: AnyInt) -> Any:
    """Return the position of an item of a source that has one; unchecked, for ints and arrays.

    Law: the inverse of `item_at`. A source of weight 0 in the last stretch has the items of the earlier ones only.

    Example:
        >>> tables, depth = make_interleaving([(0, [2, 1])])
        >>> [position_of_item(0, count, tables, depth) for count in range(4)]
        [0, 2, 3, 5]
    """
    source, count = as_int(source), as_int(count)
    num_sources = len(tables.leaves) // len(tables.starts)
    stretch = _stretch_of(count, tables.before, num_sources, source)
    item = count - take(tables.before, stretch * num_sources + source)
    node = take(tables.leaves, stretch * num_sources + source)
    period, item = divmod(item, take(tables.weight, node))
    for _ in range(depth):
        total = take(tables.parent_weight, node)
        is_left = take(tables.is_left, node)
        # The parent's last item before which this child has `item` items: n * weight / total, rounded, is at most
        # `item` for the last time. A half is rounded up for a left child and down for a right one.
        item = (total * (2 * item + 1) - is_left) // (2 * take(tables.weight, node))
        node = take(tables.parent, node)
    return take(tables.starts, stretch) + period * take(tables.weight, node) + item
