"""Epochs over one data set, each with its own shuffle."""

from functools import cached_property
from typing import Any

import attrs

from bionemo.core.arrays import by_run
from bionemo.core.checks import as_int, check_seed
from bionemo.core.fields import check_bool, to_bool
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_in_epochs, check_length, check_num_samples
from bionemo.data.orders.order import SampleIndex
from bionemo.data.permute import Geometry, Plan, geometry, make_keys, num_rounds, permute_kernel, unpermute_kernel

__all__ = ["EpochOrder"]


@attrs.frozen(kw_only=True)
class EpochOrder(OrderBase):
    """Every sample of a data set once per epoch, each epoch with its own shuffle.

    Law: positions `e * length` to `(e + 1) * length - 1` hold each `idx` of `range(length)` exactly once, in epoch `e`;
    `position_of` inverts `index_at`. Time and memory of both depend neither on the length nor on the position.

    A batch in which two epochs meet can hold a sample twice, unless the batch size divides the length: for losses that
    compare the samples of a batch, see `EpochBatchOrder`.

    Args:
        length: samples in the data set, 1..2**62.
        seed: 0..2**63-1; epoch `e` is shuffled with `fold_in(seed, "epoch", e)`, so the epochs of neighbouring seeds
            have nothing in common.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.
        shuffle: False keeps the data set's own order in each epoch.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a number is not an integer.

    Example:
        >>> order = EpochOrder(length=3, seed=7, num_samples=6)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [1, 0, 2, 1, 2, 0]
    """

    length: int = attrs.field(converter=check_length)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)
    shuffle: bool = attrs.field(default=True, converter=to_bool, validator=check_bool)

    @property
    def epoch_length(self) -> int:
        """Positions per epoch: one for each sample."""
        return self.length

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        epoch, offset = divmod(as_int(position), self.length)
        return SampleIndex(0, epoch, permute_kernel(offset, self._plan(epoch)) if self.shuffle else offset)

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if the data set has no such sample, or the position doesn't fit int64.
        """
        check_in_epochs(index, self.length)
        epoch, idx = as_int(index.epoch), as_int(index.idx)
        return epoch * self.length + (unpermute_kernel(idx, self._plan(epoch)) if self.shuffle else idx)

    @cached_property
    def _geometry(self) -> Geometry:
        return geometry(self.length)

    @cached_property
    def _epoch_seed(self) -> int:
        return fold_in(self.seed, "epoch")

    def _plan(self, epoch: Any) -> Plan:
        """Return the permutation of an epoch, or of each element's epoch."""
        return Plan(self._geometry, by_run(self._keys, epoch))

    def _keys(self, epoch: Any) -> tuple[Any, ...]:
        return make_keys(num_rounds(self.length), fold_word(self._epoch_seed, epoch))
