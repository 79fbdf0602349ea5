"""What becomes of a mixture when one of its orders ends."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import attrs
import numpy as np

from bionemo.core.checks import MAX_INT, AnyInt, IntArray, as_int, shown
from bionemo.core.record import given_fields
from bionemo.data.orders.by_length.windows import WindowOrder
from bionemo.data.orders.by_weight.interleave import counts_among, make_interleaving, position_of_item
from bionemo.data.orders.order import Order

__all__ = ["STOPPING_STRATEGIES", "Endings", "StoppingStrategy", "leave_out_exhausted", "without_end"]

StoppingStrategy: TypeAlias = Literal["first_exhausted", "all_exhausted", "all_exhausted_without_replacement"]
"""When a mixture ends; the names are those of `datasets.interleave_datasets`."""

STOPPING_STRATEGIES: Final = ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement")

_FAR: Final = 2.0**61
"""Positions from here on are never reached, and some of them don't fit int64."""


class Endings(NamedTuple):
    """The stretches of a mixture in which exhausted sources have weight 0."""

    stretches: list[tuple[int, tuple[int, ...]]]
    """First positions, increasing from 0, each with the weights from there on; at least one."""
    ends: list[int | None]
    """Per source: the position after its last sample; None if that never comes."""
    end: int | None
    """The position at which no source is left to draw from; None if that never comes."""


def leave_out_exhausted(
    stretches: Sequence[tuple[AnyInt, Collection[AnyInt]]], lengths: Sequence[AnyInt | None], /
) -> Endings:
    """Return the stretches of a mixture whose sources leave their positions to the others when they end.

    Law: the weights of the sources that are left keep their proportions, and each source is drawn as often as it has
    samples, unless its weight is 0 from some position on.

    Time and memory grow with the number of sources times the number of stretches.

    Args:
        stretches: as for `make_interleaving`.
        lengths: number of samples of each source; None if it never ends.

    Example:
        >>> leave_out_exhausted([(0, (2, 1))], [2, 5])
        Endings(stretches=[(0, (2, 1)), (3, (0, 1))], ends=[3, 7], end=7)
    """
    left: IntArray = np.array([2**62 if length is None else length for length in lengths], dtype=np.int64)
    ends: list[int | None] = [None if length != 0 else 0 for length in lengths]
    found: list[tuple[int, tuple[int, ...]]] = []
    as_ints = [(as_int(start), tuple(map(int, weights))) for start, weights in stretches]
    for (start, weights), (stop, _) in pairwise([*as_ints, (MAX_INT, ())]):
        position = start
        while position < stop:
            given = tuple(weight * (end is None) for weight, end in zip(weights, ends, strict=True))
            if not any(given):
                return Endings(found or as_ints[:1], ends, position)
            found.append((position, given))
            size = min(_until_one_ends(left, given), stop - position)
            position += size
            left = left - counts_among(size, given)
            ends = [position if end is None and not count else end for end, count in zip(ends, left, strict=True)]
    return Endings(found, ends, None)


def _until_one_ends(left: IntArray, weights: tuple[int, ...]) -> int:
    """Return the number of positions until the first source is exhausted; 2**63-1 for never."""
    given = np.array(weights)
    near = np.flatnonzero((given > 0) & (left * (sum(weights) / np.maximum(given, 1)) < _FAR))
    last = position_of_item(near, left[near] - 1, *make_interleaving([(0, weights)]))
    return int(last.min()) + 1 if near.size else MAX_INT


def without_end(order: Order, /) -> Order:
    """Return an order that continues with its next epochs where a given one ends.

    Raises:
        ValueError: if it isn't an order in epochs of its own.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> without_end(EpochOrder(length=3, seed=7, num_samples=3))
        EpochOrder(length=3, seed=7, num_samples=None, shuffle=True)
    """
    if order.num_samples is None:
        return order
    has_epochs = getattr(order, "epoch_length", None) is not None
    if has_epochs and isinstance(order, WindowOrder):
        return attrs.evolve(order, order=without_end(order.order))
    if not has_epochs or "num_samples" not in given_fields(order):
        message = (
            f"orders that begin their next epoch must have epochs and num_samples, got {shown(order)}. "
            "Leave out its num_samples, or choose another stopping_strategy."
        )
        raise ValueError(message)
    return cast("Order", attrs.evolve(cast("Any", order), num_samples=None))
