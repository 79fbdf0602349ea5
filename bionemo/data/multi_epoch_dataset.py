"""Epoch after epoch through one data set, each freshly shuffled."""

from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import attrs
from torch import Tensor

from bionemo.core.utils.checks import MAX_INT, AnyInt, check_index, check_int, check_seed
from bionemo.core.utils.hashing import fold_in
from bionemo.data.order import SampleIndex
from bionemo.data.permute import MAX_LENGTH, Plan, make_plan, permute_kernel, unpermute_kernel

__all__ = ["EpochIndex", "EpochOrder", "MultiEpochDataset", "SizedDataset"]

Word = TypeVar("Word", int, Tensor)
Sample = TypeVar("Sample", covariant=True)  # noqa: PLC0105 - the name is the noun


class EpochIndex(NamedTuple):
    """A place within one of many passes through a data set: the pass, and the place in the data set."""

    epoch: int
    idx: int


@runtime_checkable
class SizedDataset(Protocol[Sample]):
    """A data set of known length with random access by integer."""

    def __getitem__(self, index: int, /) -> Sample:
        """Return the sample at `index`."""
        ...

    def __len__(self) -> int:
        """Return how many samples there are."""
        ...


@runtime_checkable
class MultiEpochDataset(Protocol[Sample]):
    """A data set whose samples may differ by epoch: indexed by `EpochIndex`."""

    def __getitem__(self, index: EpochIndex, /) -> Sample:
        """Return the sample of a place in an epoch."""
        ...

    def __len__(self) -> int:
        """Return how many samples one epoch has."""
        ...


def _check_length(length: AnyInt) -> int:
    return check_int(length, name="length", low=1, high=MAX_LENGTH)


def _check_num_samples(num_samples: AnyInt | None) -> int | None:
    return None if num_samples is None else check_int(num_samples, name="num_samples", high=MAX_LENGTH)


@attrs.frozen(kw_only=True)
class EpochOrder:
    """Every sample of a data set once an epoch, each epoch in a fresh order.

    Law: positions `e * length` to `(e + 1) * length - 1` hold each `idx` of `range(length)` exactly once, in epoch `e`;
    `position_of` inverts `index_at`. Time and memory of both depend neither on the length nor on the position.

    Args:
        length: samples in the data set, 1..2**62.
        seed: 0..2**63-1; epoch `e` is shuffled by `fold_in(seed, "epoch", e)`, so that no two seeds share an epoch.
        num_samples: positions in all, 0..2**62, also within an epoch; None for no end.
        shuffle: False keeps each epoch in the data set's own sequence.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if one is no integer.

    Example:
        >>> order = EpochOrder(length=3, seed=7, num_samples=6)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [2, 1, 0, 0, 1, 2]
    """

    length: int = attrs.field(converter=_check_length)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=_check_num_samples)
    shuffle: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))

    def __len__(self) -> int:
        """Return the number of positions.

        Raises:
            TypeError: if there is no end.
        """
        if self.num_samples is None:
            message = "an order without end has no length, got num_samples=None. Give num_samples to end it."
            raise TypeError(message)
        return self.num_samples

    def __bool__(self) -> bool:
        return True

    @property
    def num_sources(self) -> int:
        """One data set."""
        return 1

    @property
    def source_lengths(self) -> tuple[int]:
        """The length that the data set must have."""
        return (self.length,)

    def _plan(self, epoch: int | Tensor) -> Plan:
        return make_plan(self.length, fold_in(self.seed, "epoch", epoch))

    def index_at(self, position: Word, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        epoch = position // self.length
        place = position - epoch * self.length
        idx = permute_kernel(place, self._plan(epoch)) if self.shuffle else place
        return SampleIndex(epoch * 0, epoch, idx)

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also past the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if the data set has no such place, or the position doesn't fit int64.
        """
        check_index(index.idx, stop=self.length, name="idx")
        check_index(index.epoch, stop=MAX_INT // self.length + 1, name="epoch")
        place = unpermute_kernel(index.idx, self._plan(index.epoch)) if self.shuffle else index.idx
        return index.epoch * self.length + place
