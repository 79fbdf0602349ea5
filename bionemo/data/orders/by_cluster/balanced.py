"""Epochs in which each group of samples has its fraction for as long as it lasts: balanced classes, donors, species."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import attrs

from bionemo.core.checks import AnyFloat, as_int, check_seed
from bionemo.core.random.hashing import fold_in
from bionemo.data.orders.base import OrderBase, check_in_epochs, check_num_samples
from bionemo.data.orders.by_cluster.cluster_table import ClusterTable, to_table
from bionemo.data.orders.by_weight.endings import leave_out_exhausted
from bionemo.data.orders.by_weight.interleave import Interleaving, item_at, make_interleaving, position_of_item
from bionemo.data.orders.by_weight.weights import integer_weights
from bionemo.data.orders.order import SampleIndex
from bionemo.data.orders.shuffles import shuffle_in_groups
from bionemo.data.permute import permute_kernel, unpermute_kernel

__all__ = ["BalancedOrder"]

_MAX_GROUPS: Final = 1024
"""Largest number of groups: each end of one needs a table of all, 180 bytes times the square of their number."""


def _to_weights(weights: Iterable[AnyFloat] | None) -> tuple[int, ...] | None:
    return None if weights is None else integer_weights(weights).weights


def _to_table(groups: Any) -> ClusterTable:
    return to_table(groups, name="groups")


@attrs.frozen(kw_only=True)
class BalancedOrder(OrderBase):
    """Every sample once per epoch, interleaved so that each group has its fraction for as long as it has samples.

    When a group was read in an epoch, its positions go to the others, in proportion to their weights. (For balanced
    draws that begin small groups anew instead, see `ClusterOrder`, or a mixture of one order per group.)

    Laws: positions `e * length` to `(e + 1) * length - 1` hold each sample exactly once, in epoch `e`. Until a group
    ends, the number of samples of a group among the first n positions of an epoch differs from its fraction of n by
    less than 1.68; after that, the same holds for the groups that are left. The samples of a group are shuffled afresh
    in each epoch. `position_of` inverts `index_at`.

    Args:
        groups: the group of each sample: labels, or a `ClusterTable`; at most 1,024 groups.
        weights: finite numbers, at least 0 and one of them above, one per group in the order of the table: its fraction
            of the first positions of an epoch. They are rounded by `integer_weights`. None for equal weights.
        seed: 0..2**63-1; each epoch and group is shuffled with a seed of its own.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.

    Raises:
        ValueError: if a number is out of range, there are too many groups, or a weight is 0 or there isn't one per
            group.
        TypeError: if the labels are neither integers nor strings, or a number has the wrong type.

    Example:
        >>> labels = ["T", "T", "T", "T", "B", "B", "NK"]
        >>> order = BalancedOrder(groups=labels, seed=7, num_samples=7)
        >>> [labels[order.index_at(position).idx] for position in range(7)]
        ['NK', 'T', 'B', 'T', 'B', 'T', 'T']
    """

    groups: ClusterTable = attrs.field(converter=_to_table)
    weights: tuple[int, ...] | None = attrs.field(default=None, converter=_to_weights)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @groups.validator
    def _check_number(self, _: "attrs.Attribute[Any]", groups: ClusterTable) -> None:
        if groups.num_clusters > _MAX_GROUPS:
            message = f"groups must be at most {_MAX_GROUPS}, got {groups.num_clusters}. Put small ones together."
            raise ValueError(message)

    @weights.validator
    def _check_weights(self, _: "attrs.Attribute[Any]", weights: tuple[int, ...] | None) -> None:
        number = self.groups.num_clusters
        if weights is not None and (len(weights) != number or not all(weights)):
            message = f"weights must be one above 0 per group, got {len(weights)} for {number} groups: {weights}."
            raise ValueError(message)

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples, all groups together."""
        return self.groups.num_samples

    @property
    def epoch_length(self) -> int:
        """Positions per epoch: one for each sample."""
        return self.length

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        epoch, offset = divmod(as_int(position), self.length)
        group, count = item_at(offset, *self._interleaving)
        first, size = self.groups.bounds_of(group)
        number = shuffle_in_groups(permute_kernel, self._shuffle_seed, count, size=size, group=group, again=epoch)
        return SampleIndex(0, epoch, self.groups.sample_in(first + number))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if there is no such sample, or the position doesn't fit int64.
        """
        check_in_epochs(index, self.length)
        epoch, idx = as_int(index.epoch), as_int(index.idx)
        group = self.groups.cluster_of(idx)
        first, size = self.groups.bounds_of(group)
        slot = self.groups.slot_of(idx) - first
        count = shuffle_in_groups(unpermute_kernel, self._shuffle_seed, slot, size=size, group=group, again=epoch)
        return epoch * self.length + position_of_item(group, count, *self._interleaving)

    @cached_property
    def _interleaving(self) -> tuple[Interleaving, int]:
        sizes = self.groups.sizes.tolist()
        return make_interleaving(leave_out_exhausted([(0, self.weights or [1] * len(sizes))], sizes).stretches)

    @cached_property
    def _shuffle_seed(self) -> int:
        return fold_in(self.seed, "balanced")
