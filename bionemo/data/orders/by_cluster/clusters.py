"""Every cluster once per epoch, each time another of its members."""

from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core.checks import MAX_INT, as_int, check_index, check_seed, shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.hashing import fold_in
from bionemo.core.record import ADDED
from bionemo.data.orders.base import OrderBase, check_num_samples, num_levels
from bionemo.data.orders.block import BlockShuffleOrder
from bionemo.data.orders.by_cluster.balanced import BalancedOrder
from bionemo.data.orders.by_cluster.cluster_table import ClusterTable, to_table
from bionemo.data.orders.by_weight.proportional import ProportionalOrder
from bionemo.data.orders.by_weight.weighted import to_weights
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.order import Order, SampleIndex
from bionemo.data.orders.shuffles import shuffle_in_groups
from bionemo.data.permute import permute_kernel, unpermute_kernel

__all__ = ["ClusterOrder"]


_COUNTING: Final = BalancedOrder | BlockShuffleOrder | EpochOrder | ProportionalOrder
"""Orders in which the epoch of a sample is how often it was read before."""


def _to_table(clusters: Any) -> ClusterTable:
    return to_table(clusters, name="clusters")


@attrs.frozen(kw_only=True)
class ClusterOrder(OrderBase):
    """One sample of every cluster per epoch, in fresh order: protein models are trained so on clusters of sequences.

    The k-th visit of a cluster reads the k-th member of a permutation of its members; when all were read, they are
    permuted afresh. A sample's `epoch` is how often it was read before. With weights, clusters are visited as often as
    these say, in the order of a `ProportionalOrder`.

    Laws: without weights, positions `e * num_clusters` to `(e + 1) * num_clusters - 1` visit each cluster exactly once;
    with weights, the numbers of visits are those of a `ProportionalOrder`. No member is read again before all of its
    cluster were read. `position_of` inverts `index_at`: with `epoch=0` it says when a sample is read first, with 1 when
    again, and so on. Time doesn't depend on the position, and memory is that of the table.

    Args:
        clusters: a `ClusterTable`, or the label of each sample, as for `cluster_table`.
        seed: 0..2**63-1; determines the shuffle of the clusters in each epoch, and of the members.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.
        weights: one per cluster, in the order of the table; None if all are visited equally often. For clusters by the
            square root of their size: `weights=table.sizes**0.5`.
        visits: the order in which clusters are visited, without end: an order of as many samples as there are clusters.
            With clusters of clusters it is a `ClusterOrder` itself. None for each cluster once per epoch.

    Raises:
        ValueError: if a number is out of range, there are no clusters, or weights or visits don't fit them.
        TypeError: if the labels are neither integers nor strings, a number is not an integer, or `visits` is not an
            order whose epochs count the visits.

    Source: ESM-2 draws a UniRef50 cluster, then a UniRef90 member of it (Z. Lin et al., "Evolutionary-scale prediction
    of atomic-level protein structure with a language model", 2023), both at random.

    Example:
        >>> order = ClusterOrder(clusters=["a", "b", "b", "a", "a"], seed=7)
        >>> [order.index_at(position).idx for position in range(6)]
        [2, 0, 3, 1, 1, 4]
        >>> [order.position_of(SampleIndex(source=0, epoch=epoch, idx=2)) for epoch in range(3)]
        [0, 6, 10]
    """

    clusters: ClusterTable = attrs.field(converter=_to_table)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)
    weights: FrozenArray | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_weights), metadata=ADDED
    )

    visits: Order | None = attrs.field(default=None, metadata=ADDED)

    @weights.validator
    def _check_weights(self, _: "attrs.Attribute[Any]", weights: FrozenArray | None) -> None:
        if weights is not None and len(weights) != self.clusters.num_clusters:
            message = f"weights must be one per cluster, got {len(weights)} for {self.clusters.num_clusters} clusters."
            raise ValueError(message)
        if weights is not None:
            self._visits  # noqa: B018 - raises if there are too many different weights

    @visits.validator
    def _check_visits(self, _: "attrs.Attribute[Any]", visits: Any) -> None:
        if visits is None:
            return
        self.num_levels  # noqa: B018 - raises if they are nested too deeply
        if not isinstance(visits, _COUNTING | ClusterOrder):
            message = f"visits must be an order of clusters whose epochs count their visits, got {shown(visits)}."
            raise TypeError(message)
        if self.weights is not None or visits.num_samples is not None or visits.length != self.clusters.num_clusters:
            message = (
                f"visits must be without end, of length={self.clusters.num_clusters}, and without other weights, "
                f"got length={visits.length}, num_samples={visits.num_samples} and weights={shown(self.weights)}."
            )
            raise ValueError(message)

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples, all clusters together."""
        return self.clusters.num_samples

    @property
    def epoch_length(self) -> int | None:
        """Positions per epoch: one for each cluster, or as many as in an epoch of visits; None if there are weights."""
        found: int | None = self._visits.epoch_length
        return found

    @property
    def num_levels(self) -> int:
        """Number of levels that orders are nested in."""
        return 0 if self.visits is None else num_levels([self.visits])

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        _, visit, cluster = self._visits.index_at(as_int(position))
        first, size = self.clusters.bounds_of(cluster)
        turn = visit % size
        number = shuffle_in_groups(
            permute_kernel, self._member_seed, turn, size=size, group=cluster, again=visit // size
        )
        return SampleIndex(0, visit // size, self.clusters.sample_in(first + number))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if there is no such sample, or the position doesn't fit int64.
        """
        check_index(index.idx, stop=self.length, name="idx")
        idx, again = as_int(index.idx), as_int(index.epoch)
        cluster = self.clusters.cluster_of(idx)
        first, size = self.clusters.bounds_of(cluster)
        number = self.clusters.slot_of(idx) - first
        turn = shuffle_in_groups(unpermute_kernel, self._member_seed, number, size=size, group=cluster, again=again)
        if np.any(again > (MAX_INT - turn) // size):
            message = f"epoch must be one whose positions fit int64, got epoch={shown(again)}."
            raise IndexError(message)
        return self._visits.position_of(SampleIndex(0, again * size + turn, cluster))

    @cached_property
    def _visits(self) -> Any:
        """The order in which clusters are visited; its epoch of a cluster is the number of earlier visits."""
        seed = fold_in(self.seed, "clusters")
        if self.weights is not None:
            return ProportionalOrder(weights=self.weights, seed=seed)
        return self.visits or EpochOrder(length=self.clusters.num_clusters, seed=seed)

    @cached_property
    def _member_seed(self) -> int:
        return fold_in(self.seed, "members")
