"""Data sets indexed by epoch and index, over one that is indexed by ints: for transforms that depend on the epoch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import attrs
from torch.utils.data import Dataset
from typing_extensions import TypeVar  # with defaults, before Python 3.13

from bionemo.data.reading.dataset import EpochIndex, SizedDataset, shown_dataset
from bionemo.data.reading.indexing import by_position, check_by_position, speaks_for
from bionemo.data.reading.read import fetch

__all__ = ["IdentityMultiEpochDatasetWrapper", "MultiEpochDatasetWrapper"]

Raw = TypeVar("Raw")
Sample = TypeVar("Sample", covariant=True, default=Any)  # noqa: PLC0105 - the name is the noun
Same = TypeVar("Same")


def _check_by_position(_: object, __: "attrs.Attribute[Any]", dataset: object) -> None:
    check_by_position(dataset)


_dataset: Any = attrs.field(eq=id, validator=_check_by_position, repr=shown_dataset)


# Both an attrs class and a dataclass, so that a subclass may be either.
@attrs.define(slots=False, eq=False, these={"dataset": _dataset})
@dataclass(init=False, repr=False, eq=False)
class MultiEpochDatasetWrapper(Dataset[Sample], ABC, Generic[Raw, Sample]):
    """A data set indexed by `EpochIndex`, over one that is indexed by ints: for transforms that depend on the epoch.

    Subclass it and define `apply_transform`; its type parameters are those of the samples before and after. A subclass
    that adds fields is decorated with `@attrs.frozen` or `@dataclass`, or has an `__init__` of its own. Draw random
    numbers from `make_generator(seed, index.epoch, index.idx)`, so that a sample is the same in any order, process and
    worker.

    Args:
        dataset: indexed by ints; a Series or DataFrame of pandas is read by position.

    Raises:
        TypeError: if the data set is indexed by something else.

    Example:
        >>> from bionemo.data import MultiEpochDatasetResampler
        >>> class Numbered(MultiEpochDatasetWrapper):
        ...     def apply_transform(self, sample, index):
        ...         return f"{sample}{index.epoch}"
        >>> list(MultiEpochDatasetResampler(Numbered("abc"), num_epochs=2, shuffle=False))
        ['a0', 'b0', 'c0', 'a1', 'b1', 'c1']
    """

    dataset: SizedDataset[Raw]

    @abstractmethod
    def apply_transform(self, sample: Raw, index: EpochIndex) -> Sample:
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

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same data set object, and their other attributes are equal."""
        if type(other) is not type(self):
            return NotImplemented
        mine, others = dict(vars(self)), dict(vars(other))
        return mine.pop("dataset") is others.pop("dataset") and mine == others

    def __hash__(self) -> int:
        return hash((type(self), id(self.dataset)))


class IdentityMultiEpochDatasetWrapper(MultiEpochDatasetWrapper[Same, Same]):
    """A data set indexed by `EpochIndex` whose samples are the same in every epoch.

    Example:
        >>> IdentityMultiEpochDatasetWrapper("abc")[EpochIndex(epoch=5, idx=2)]
        'c'
    """

    def apply_transform(self, sample: Same, index: EpochIndex) -> Same:
        """Return the sample unchanged."""
        return sample
