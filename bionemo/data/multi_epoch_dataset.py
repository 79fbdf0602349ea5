"""Data sets of several epochs of another data set: thin wrappers of `EpochOrder`, for code that needs a data set."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs
from torch.utils.data import Dataset

from bionemo.core.checks import AnyInt, check_int, check_seed
from bionemo.core.fields import check_bool, to_bool
from bionemo.data.orders.base import check_some_samples
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.order import index_at
from bionemo.data.reading.dataset import EpochIndex, SizedDataset, check_not_empty, shown_dataset
from bionemo.data.reading.indexing import by_position, check_by_epoch, check_by_position, speaks_for
from bionemo.data.reading.read import fetch

__all__ = [
    "EpochIndex",
    "EpochOrder",
    "IdentityMultiEpochDatasetWrapper",
    "MultiEpochDataset",
    "MultiEpochDatasetResampler",
    "MultiEpochDatasetWrapper",
    "SizedDataset",
]

Sample = TypeVar("Sample", covariant=True)  # noqa: PLC0105 - the name is the noun


@runtime_checkable
class MultiEpochDataset(Protocol[Sample]):
    """A data set whose samples may differ by epoch: indexed by `EpochIndex`."""

    def __getitem__(self, index: EpochIndex, /) -> Sample:
        """Return the sample at an index in an epoch."""
        ...

    def __len__(self) -> int:
        """Return the number of samples per epoch."""
        ...


def _check_num_epochs(num_epochs: AnyInt | None) -> int | None:
    return None if num_epochs is None else check_int(num_epochs, name="num_epochs", low=1)


def _check_by_position(_: object, __: "attrs.Attribute[Any]", dataset: object) -> None:
    check_by_position(dataset)


def _check_by_epoch(_: object, __: "attrs.Attribute[Any]", dataset: object) -> None:
    check_by_position(dataset)
    check_by_epoch(dataset)


@attrs.frozen(repr=False)
class MultiEpochDatasetResampler(Dataset[Sample], Generic[Sample]):
    """A data set of several epochs of another, each in a different shuffled order.

    Law: sample `i` is `dataset[EpochIndex(epoch, idx)]` with the epoch and idx at position `i` of
    `EpochOrder(length=len(dataset), seed=seed, num_samples=num_samples, shuffle=shuffle)`, on every call and in every
    process.

    Args:
        dataset: indexed by `EpochIndex`; wrap a data set that is indexed by ints in `IdentityMultiEpochDatasetWrapper`.
        num_epochs: number of epochs, at least 1. As an attribute it includes an incomplete last epoch.
        num_samples: number of samples, at least 1, instead of `num_epochs`. With neither, one epoch.
        shuffle: whether to shuffle each epoch; if False, each is in the data set's own order.
        seed: 0..2**63-1.

    Raises:
        ValueError: if both `num_epochs` and `num_samples` are given, a number is out of range, or the data set is
            empty.
        TypeError: if a number is no integer, or the data set is an array or indexed by something else.

    Example:
        >>> dataset = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), num_epochs=2)
        >>> list(dataset), dataset.num_samples
        (['c', 'a', 'b', 'b', 'a', 'c'], 6)
    """

    dataset: MultiEpochDataset[Sample] = attrs.field(eq=id, validator=_check_by_epoch, repr=shown_dataset)
    _num_epochs: int | None = attrs.field(default=None, converter=_check_num_epochs, alias="num_epochs")
    _num_samples: int | None = attrs.field(default=None, converter=check_some_samples, alias="num_samples")
    shuffle: bool = attrs.field(default=True, converter=to_bool, validator=check_bool)
    seed: int = attrs.field(default=42, converter=check_seed)

    def __attrs_post_init__(self) -> None:
        check_not_empty(self.dataset)
        if self._num_epochs is not None and self._num_samples is not None:
            message = "Only one of num_epochs and num_samples should be provided."
            raise ValueError(message)
        self.order  # noqa: B018 - raises if there are too many samples for an order

    @property
    def num_epochs(self) -> int:
        """Number of epochs, including an incomplete last one."""
        return -(-len(self) // len(self.dataset))

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self)

    @cached_property
    def order(self) -> EpochOrder:
        """The order of the samples: which epoch and index in the data set come at each index."""
        length = len(self.dataset)
        num_samples = (self._num_epochs or 1) * length if self._num_samples is None else self._num_samples
        return EpochOrder(length=length, seed=self.seed, num_samples=num_samples, shuffle=self.shuffle)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: AnyInt) -> Sample:
        """Return the sample at an index.

        Raises:
            IndexError: if the index isn't in `0..len-1`.
        """
        _, epoch, idx = index_at(self.order, index)
        return self.dataset[EpochIndex(epoch, idx)]

    def __getitems__(self, indices: Sequence[AnyInt]) -> list[Sample]:
        """Return the samples at some indices, looked up at once, or one by one if a subclass overrides `[...]`."""
        if not speaks_for(type(self)):
            return [self[index] for index in indices]
        _, epochs, idxs = (part.tolist() for part in index_at(self.order, indices))
        return list(fetch(self.dataset, list(map(EpochIndex, epochs, idxs))))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        options = f"num_samples={self.num_samples}, shuffle={self.shuffle}, seed={self.seed}"
        return f"{type(self).__name__}(dataset={shown_dataset(self.dataset)}, {options})"


@attrs.frozen
class MultiEpochDatasetWrapper(Dataset[Sample], ABC, Generic[Sample]):
    """A data set indexed by `EpochIndex`, over one that is indexed by ints: for transforms that depend on the epoch.

    Subclass it and define `apply_transform`; decorate a subclass that adds fields with `@attrs.frozen`. Draw random
    numbers from `make_generator(seed, index.epoch, index.idx)`, so that a sample is the same in any order, process and
    worker.

    Args:
        dataset: indexed by ints; a Series or DataFrame of pandas is read by position.

    Raises:
        TypeError: if the data set is indexed by something else.

    Example:
        >>> class Numbered(MultiEpochDatasetWrapper):
        ...     def apply_transform(self, sample, index):
        ...         return f"{sample}{index.epoch}"
        >>> list(MultiEpochDatasetResampler(Numbered("abc"), num_epochs=2, shuffle=False))
        ['a0', 'b0', 'c0', 'a1', 'b1', 'c1']
    """

    dataset: SizedDataset[Any] = attrs.field(eq=id, validator=_check_by_position, repr=shown_dataset)

    @abstractmethod
    def apply_transform(self, sample: Any, index: EpochIndex) -> Sample:
        """Return the transformed sample of an epoch."""

    def __getitem__(self, index: EpochIndex) -> Sample:
        return self.apply_transform(by_position(self.dataset)[index.idx], index)

    def __getitems__(self, indices: Sequence[EpochIndex]) -> list[Sample]:
        """Return the samples at some indices, read at once, or one by one if a subclass overrides `[...]`."""
        if not speaks_for(type(self)):
            return [self[index] for index in indices]
        samples = fetch(self.dataset, [index.idx for index in indices])
        return [self.apply_transform(sample, index) for sample, index in zip(samples, indices, strict=True)]

    def __len__(self) -> int:
        return len(self.dataset)


@attrs.frozen
class IdentityMultiEpochDatasetWrapper(MultiEpochDatasetWrapper[Sample]):
    """A data set indexed by `EpochIndex` whose samples are the same in every epoch.

    Example:
        >>> IdentityMultiEpochDatasetWrapper("abc")[EpochIndex(epoch=5, idx=2)]
        'c'
    """

    def apply_transform(self, sample: Any, index: EpochIndex) -> Sample:
        """Return the sample unchanged."""
        unchanged: Sample = sample
        return unchanged
