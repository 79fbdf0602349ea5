"""Draws with replacement, all samples equally probable."""

from functools import cached_property
from typing import Any

import attrs

from bionemo.core.checks import check_seed
from bionemo.core.random.draws import scale_to
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_length, check_num_samples
from bionemo.data.orders.order import SampleIndex

__all__ = ["ResampleOrder"]


@attrs.frozen(kw_only=True)
class ResampleOrder(OrderBase):
    """Samples drawn uniformly and independently, with replacement.

    Law: the draw at a position is a hash of seed and position, in time that doesn't depend on the position. The
    probability of each sample is within 2**-63 of `1 / length`; this is the bias without rejection. There is no
    inverse, because a sample may occur at many positions or at none, and there are no epochs: `epoch` is 0.

    Args:
        length: samples in the data set, 1..2**62.
        seed: 0..2**63-1.
        num_samples: total number of positions, 0..2**62; None for no end.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a number is not an integer.

    Example:
        >>> order = ResampleOrder(length=10, seed=42, num_samples=6)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [8, 7, 7, 0, 8, 7]
    """

    length: int = attrs.field(converter=check_length)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        return SampleIndex(0, 0, scale_to(fold_word(self._draw_seed, position), self.length))

    @cached_property
    def _draw_seed(self) -> int:
        return fold_in(self.seed, "resample")
