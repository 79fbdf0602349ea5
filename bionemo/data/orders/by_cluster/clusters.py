"""Every cluster once per epoch, each time another of its members."""

from functools import cached_property
from typing import Any

import attrs
import numpy as np

from bionemo.core.arrays import by_group
from bionemo.core.checks import MAX_INT, as_int, check_index, check_seed
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_num_samples
from bionemo.data.orders.by_cluster.cluster_table import ClusterTable, cluster_table
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.order import SampleIndex
from bionemo.data.permute import Geometry, Plan, geometry, make_keys, num_rounds, permute_kernel, unpermute_kernel

__all__ = ["ClusterOrder"]


def _to_table(clusters: Any) -> ClusterTable:
    return clusters if isinstance(clusters, ClusterTable) else cluster_table(clusters)


@attrs.frozen(kw_only=True)
class ClusterOrder(OrderBase):
    """One sample of every cluster per epoch, in fresh order: protein models are trained so on clusters of sequences.

    The k-th visit of a cluster reads the k-th member of a permutation of its members; when all were read, they are
    permuted afresh. A sample's `epoch` is how often it was read before.

    Laws: positions `e * num_clusters` to `(e + 1) * num_clusters - 1` visit each cluster exactly once, in epoch `e`. No
    member is read again before all of its cluster were read. `position_of` inverts `index_at`: with `epoch=0` it says
    when a sample is read first, with 1 when again, and so on. Time doesn't depend on the position, and memory is that
    of the table.

    Args:
        clusters: a `ClusterTable`, or the label of each sample, as for `cluster_table`.
        seed: 0..2**63-1; determines the shuffle of the clusters in each epoch, and of the members.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.

    Raises:
        ValueError: if a number is out of range, or there are no clusters.
        TypeError: if the labels are neither integers nor strings, or a number is not an integer.

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

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples, all clusters together."""
        return self.clusters.num_samples

    @property
    def epoch_length(self) -> int:
        """Positions per epoch: one for each cluster."""
        return self.clusters.num_clusters

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        _, visit, cluster = self._visits.index_at(as_int(position))
        first, size = self.clusters.bounds_of(cluster)
        turn = visit % size
        number = self._shuffled(permute_kernel, turn, size, cluster, visit // size)
        return SampleIndex(0, visit // size, self.clusters.sample_in(first + number))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if there is no such sample, or the position doesn't fit int64.
        """
        check_index(index.idx, stop=self.length, name="idx")
        check_index(index.epoch, stop=(MAX_INT + 1) // self.clusters.largest, name="epoch")
        idx, again = as_int(index.idx), as_int(index.epoch)
        cluster = self.clusters.cluster_of(idx)
        first, size = self.clusters.bounds_of(cluster)
        turn = self._shuffled(unpermute_kernel, self.clusters.slot_of(idx) - first, size, cluster, again)
        return self._visits.position_of(SampleIndex(0, again * size + turn, cluster))

    @cached_property
    def _visits(self) -> EpochOrder:
        """The order in which clusters are visited."""
        return EpochOrder(length=self.clusters.num_clusters, seed=fold_in(self.seed, "clusters"))

    @cached_property
    def _member_seed(self) -> int:
        return fold_in(self.seed, "members")

    def _shuffled(self, kernel: Any, number: Any, size: Any, cluster: Any, again: Any) -> Any:
        """Return elements of permutations of clusters, or of their inverses, after all members were read `again` times.

        Clusters whose permutations take equally many rounds are computed together; those of one sample need none.
        """

        def shuffle(rounds: int, number: Any, size: Any, cluster: Any, again: Any) -> list[Any]:
            if not rounds:
                return [number]
            seed = fold_word(fold_word(self._member_seed, cluster), again)
            return [kernel(number, Plan(_geometries(size), make_keys(rounds, seed)))]

        (found,) = by_group(shuffle, _rounds(size), number, size, cluster, again, num_results=1)
        return found


def _rounds(size: Any) -> Any:
    """Return the number of rounds of a permutation, 0 for one sample; for ints and int64 arrays."""
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
