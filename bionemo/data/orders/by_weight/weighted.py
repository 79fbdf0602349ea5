"""Draws with replacement, each sample in proportion to its weight."""

from functools import cached_property
from typing import Any

import attrs

from bionemo.core.checks import check_seed
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.alias import AliasTable, Weights, check_weights, draw_by_alias, make_alias_table
from bionemo.core.random.hashing import fold_in
from bionemo.data.orders.base import OrderBase, check_num_samples
from bionemo.data.orders.order import SampleIndex

__all__ = ["WeightedOrder", "to_weights"]


def to_weights(weights: Weights | FrozenArray, /) -> FrozenArray:
    """Return the weights of samples as a read-only float64 array; a converter of fields.

    Raises:
        ValueError: as for `check_weights`.
        TypeError: as for `check_weights`.

    Example:
        >>> to_weights([1, 3]).array
        array([1., 3.])
    """
    return FrozenArray(check_weights(weights.array if isinstance(weights, FrozenArray) else weights))


@attrs.frozen(kw_only=True)
class WeightedOrder(OrderBase):
    """Samples drawn with replacement, each in proportion to its weight.

    Laws: the draw at a position is a hash of seed and position, the same on any rank, in time that depends neither on
    the position nor on the number of weights. A sample of weight zero is never drawn. The probability of every other
    sample is its fraction of the sum, to within 2**-49 of that fraction plus 2**-59, and 2**-63 for each column of the
    alias table that it occupies. There is no inverse, and there are no epochs: `epoch` is 0.

    Args:
        weights: one axis of finite, non-negative numbers, not all zero, in an array, tensor or sequence. Only their
            proportions count, not their sum. Kept as a read-only copy; the first lookup builds a table of 16 bytes per
            weight.
        seed: 0..2**63-1.
        num_samples: total number of positions, 0..2**62; None for no end.

    Raises:
        ValueError: if a number is out of range, a weight is NaN, negative or infinite, or all weights are zero.
        TypeError: if the weights are not real numbers, or another field is not an integer.

    Example:
        >>> order = WeightedOrder(weights=[0.5, 0.0, 1.5], seed=42, num_samples=8)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [2, 2, 2, 0, 2, 2, 2, 2]
    """

    weights: FrozenArray = attrs.field(converter=to_weights)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples to draw from."""
        return len(self.weights)

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        return SampleIndex(0, 0, draw_by_alias(self._table, self._draw_seed, position))

    @cached_property
    def _table(self) -> AliasTable:
        return make_alias_table(self.weights.array)

    @cached_property
    def _draw_seed(self) -> int:
        return fold_in(self.seed, "weighted")
