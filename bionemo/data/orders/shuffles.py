"""Permutations of groups of different sizes, many at once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bionemo.core.arrays import by_group
from bionemo.core.checks import AnyInt, as_int
from bionemo.core.random.hashing import fold_word
from bionemo.data.permute import Geometry, Plan, geometry, make_keys, num_rounds

__all__ = ["shuffle_in_groups"]


def shuffle_in_groups(
    kernel: Callable[..., Any], seed: AnyInt, number: Any, *, size: Any, group: Any, again: Any
) -> Any:
    """Return elements of permutations of groups, or of their inverses: each time again, a group is permuted afresh.

    Permutations that take equally many rounds are computed together; a group of one element needs none.

    Args:
        kernel: `permute_kernel` or `unpermute_kernel`.
        seed: the permutation of a group is drawn from it, the group, and `again`.
        number: element of each group, 0..size-1: an int, or a one-axis int64 array, as are the others.
        size: number of elements of the group.
        group: number of the group.
        again: how often all elements of the group were taken before.

    Example:
        >>> from bionemo.data.permute import permute_kernel
        >>> [shuffle_in_groups(permute_kernel, 7, number, size=5, group=0, again=1) for number in range(5)]
        [1, 0, 2, 3, 4]
    """

    def shuffle(rounds: int, number: Any, size: Any, group: Any, again: Any) -> list[Any]:
        if not rounds:
            return [number]
        keys = make_keys(rounds, fold_word(fold_word(as_int(seed), group), again))
        return [kernel(number, Plan(_geometries(size), keys))]

    (found,) = by_group(shuffle, _rounds(as_int(size)), number, size, group, again, num_results=1)
    return found


def _rounds(size: Any) -> Any:
    """Return the number of rounds of a permutation, 0 for one element; for ints and int64 arrays."""
    if not isinstance(size, np.ndarray):
        return num_rounds(size) if size > 1 else 0
    kinds = np.searchsorted([2, 16, 1024], size, side="right")
    return np.array([0, num_rounds(2), num_rounds(16), num_rounds(1024)])[kinds]


def _geometries(size: Any) -> Geometry:
    """Return the geometry of permutations of some sizes, for ints and int64 arrays, as `geometry` does for one."""
    if not isinstance(size, np.ndarray):
        return geometry(size)
    row_bits = np.maximum(np.frexp(size - 1.0)[1].astype(np.int64) // 2, 1)  # frexp's exponent is the bit length
    rows = (size - 1 >> row_bits) + 1
    return Geometry(row_bits, rows, size - (rows - 1 << row_bits))
