"""Which samples are in which cluster, as a table."""

from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import take
from bionemo.core.checked import checked
from bionemo.core.checks import IntArray, shown
from bionemo.core.fields import Documented
from bionemo.core.frozen_array import FrozenArray, is_read_only_map
from bionemo.core.int64 import as_int64, as_integers

__all__ = ["ClusterTable", "cluster_table", "to_table"]

_BLOCK: Final = 2**16
"""Number of entries that are checked at once: a memory map is never read whole."""


def _freeze(values: Any, name: str) -> FrozenArray:
    if isinstance(values, FrozenArray):
        return values
    found = as_integers(values, name=name)
    return FrozenArray(found if is_read_only_map(found) else as_int64(found, name=name).astype(_dtype_for(found)))


def _to_offsets(offsets: Any) -> FrozenArray:
    return _freeze(offsets, "offsets")


def _to_members(members: Any) -> FrozenArray | None:
    return None if members is None else _freeze(members, "members")


def _dtype_for(values: NDArray[Any]) -> Any:
    """Return the dtype that equal tables share: uint32 if all values fit it, else int64."""
    fits = not values.size or (values.min() >= 0 and values.max() < 2**32)
    return np.uint32 if fits and values.dtype != np.object_ else np.int64


@attrs.frozen(kw_only=True)
class ClusterTable(metaclass=Documented):
    """The samples of a data set by cluster: `cluster_table` makes one.

    Cluster `c` has the samples `members[offsets[c]:offsets[c + 1]]`. Both arrays may be memory maps of files that were
    opened for reading (`np.load("members.npy", mmap_mode="r")`), which are not copied.

    Args:
        offsets: ascending integers, one more than there are clusters: 0, where each further cluster begins, and the
            number of samples. Kept as uint32 or int64.
        members: each index of the data set once, by cluster; None if the data set itself is sorted by cluster.

    Raises:
        ValueError: if a cluster has no samples, or `members` doesn't hold each index once: in one pass, their sum and
            the sums of their squares and cubes are compared with the right ones, which no accident keeps.
        TypeError: if they are not one-dimensional integers.

    Example:
        >>> table = ClusterTable(offsets=[0, 2, 3], members=[0, 2, 1])
        >>> table.num_clusters, table.num_samples, table.cluster_of(2)
        (2, 3, 0)
    """

    offsets: FrozenArray = attrs.field(converter=_to_offsets)
    members: FrozenArray | None = attrs.field(default=None, converter=_to_members)

    @offsets.validator
    def _check_offsets(self, _: "attrs.Attribute[Any]", offsets: FrozenArray) -> None:
        _check_axis(offsets, "offsets")
        entries = offsets.array
        if len(entries) < 2 or entries[0] != 0:  # noqa: PLR2004
            message = f"offsets must begin with 0 and end with the number of samples, got {shown(entries)}."
            raise ValueError(message)
        for first in range(0, len(entries) - 1, _BLOCK):
            block = entries[first : first + _BLOCK + 1].astype(np.int64)
            if (np.diff(block) < 1).any():
                number = first + int((np.diff(block) < 1).argmax())
                message = f"offsets must ascend: each cluster must have a sample, got none in cluster {number}."
                raise ValueError(message)

    @members.validator
    def _check_members(self, _: "attrs.Attribute[Any]", members: FrozenArray | None) -> None:
        """Check that each index is there once, by the sums of the first three powers: in one pass, with no memory."""
        if members is None:
            return
        _check_axis(members, "members")
        length = self.num_samples
        is_right = len(members) == length
        sums = [0, 0, 0]
        for first in range(0, length if is_right else 0, _BLOCK):
            block = members.array[first : first + _BLOCK]
            is_right = is_right and block.min() >= 0 and block.max() < length
            values = block.astype(np.uint64)
            powers = values, values * values, values * values * values
            sums = [total + int(power.sum()) for total, power in zip(sums, powers, strict=True)]
        expected = _power_sums(length)
        if not is_right or any((found - right) % 2**64 for found, right in zip(sums, expected, strict=True)):
            message = f"members must hold each index of 0..{length - 1} once, got {shown(members.array)}."
            raise ValueError(message)

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return len(self.offsets) - 1

    @property
    def num_samples(self) -> int:
        """Number of samples, all clusters together."""
        return int(self.offsets.array[-1])

    @property
    def sizes(self) -> NDArray[Any]:
        """Number of samples of each cluster."""
        return np.diff(self.offsets.array)

    def bounds_of(self, cluster: Any, /) -> tuple[Any, Any]:
        """Return where clusters begin in the table, and how many samples they have; for ints and int64 arrays."""
        first = _as_int64(take(self.offsets.array, cluster))
        return first, _as_int64(take(self.offsets.array, cluster + 1)) - first

    def sample_in(self, slot: Any, /) -> Any:
        """Return the samples in slots of the table; for ints and int64 arrays."""
        return slot if self.members is None else _as_int64(take(self.members.array, slot))

    def slot_of(self, idx: Any, /) -> Any:
        """Return the slots of samples in the table, for ints and int64 arrays; the first call inverts `members`."""
        return idx if self.members is None else take(self._slots, idx)

    def cluster_of(self, idx: Any, /) -> Any:
        """Return the clusters of samples; for ints and int64 arrays."""
        found = (
            np.searchsorted(self.offsets.array, np.asarray(self.slot_of(idx), self.offsets.array.dtype), "right") - 1
        )
        return found if isinstance(idx, np.ndarray) else int(found)

    @cached_property
    def _slots(self) -> IntArray:
        slots: IntArray = np.empty(self.num_samples, dtype=np.int64)
        slots[self.members.array if self.members else slice(None)] = np.arange(self.num_samples)
        return slots


def _check_axis(values: FrozenArray, name: str) -> None:
    if values.array.ndim != 1 or values.array.dtype.kind not in "iu":
        message = f"{name} must be one-dimensional integers, got {values.array.dtype}{list(values.array.shape)}."
        raise TypeError(message)


def _as_int64(values: Any) -> Any:
    return values.astype(np.int64) if isinstance(values, np.ndarray) else values


def _power_sums(length: int) -> tuple[int, int, int]:
    """Return the sums of the numbers below a length, of their squares and of their cubes."""
    half = length * (length - 1) // 2
    return half, half * (2 * length - 1) // 3, half**2


def _as_array(labels: Any, name: str) -> NDArray[Any]:
    """Return labels as an array of strings or integers; NumPy would turn the integers among strings into strings."""
    if isinstance(labels, Tensor):
        return as_integers(labels, name=name)
    elements = labels if isinstance(labels, list | tuple) else np.asarray(labels)
    is_text = isinstance(elements, np.ndarray) and elements.dtype.kind in "US"
    is_axis = isinstance(elements, list | tuple) or elements.ndim == 1
    if is_text or (is_axis and {*map(type, elements)} == {str}):
        return np.asarray(elements, dtype=None if is_text else np.str_)
    return as_integers(labels, name=name)


@checked
def cluster_table(labels: Any, /) -> ClusterTable:
    """Return the table of the clusters that labels name.

    Law: samples are in one cluster if and only if their labels are equal. Clusters are in ascending order of their
    labels, and the members of each in ascending order.

    Args:
        labels: the label of each sample: one axis of integers or strings, in a sequence, array or tensor.

    Raises:
        ValueError: if there are no labels.
        TypeError: if they are not integers or strings.

    Example:
        >>> table = cluster_table(["kinase", "globin", "kinase", "actin"])
        >>> table.offsets.array.tolist(), table.members.array.tolist()
        ([0, 1, 2, 4], [3, 1, 0, 2])
    """
    return to_table(labels, name="labels")


def to_table(clusters: Any, /, *, name: str) -> ClusterTable:
    """Return a table, or the table of labels; for converters of fields.

    Args:
        clusters: the table, or the label of each sample.
        name: name of the argument, for errors.

    Raises:
        ValueError: as for `cluster_table`.
        TypeError: as for `cluster_table`.

    Example:
        >>> to_table([3, 5, 3], name="clusters") == cluster_table([3, 5, 3])
        True
    """
    if isinstance(clusters, ClusterTable):
        return clusters
    found = _as_array(clusters, name)
    if found.ndim != 1 or not found.size:
        message = f"{name} must be one axis of at least one label, got {name}={shown(clusters)}."
        raise ValueError(message)
    order = np.argsort(found, kind="stable")
    by_cluster = found[order]
    starts = np.flatnonzero(by_cluster[1:] != by_cluster[:-1]) + 1
    is_sorted = bool((order[1:] > order[:-1]).all())
    offsets = np.concatenate(([0], starts, [len(found)]))
    return ClusterTable(offsets=offsets, members=None if is_sorted else order)
