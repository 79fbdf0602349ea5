"""Data sets of several epochs of another data set: thin wrappers of `EpochOrder`, for code that needs a data set."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import attrs
import torch
from torch.utils.data import Dataset

from bionemo.core.checks import AnyInt, IntArray, check_integer, shown
from bionemo.core.fields import check_bool, check_choice, refuse_rebinding, to_bool
from bionemo.core.random.generators import seed_from_entropy
from bionemo.core.random.hashing import fold_in
from bionemo.data.multi_epoch_wrappers import IdentityMultiEpochDatasetWrapper, MultiEpochDatasetWrapper
from bionemo.data.orders.base import check_some_samples
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.kensler import KenslerOrder
from bionemo.data.orders.order import index_at
from bionemo.data.reading.dataset import EpochIndex, SizedDataset, check_not_empty, shown_dataset, to_seed
from bionemo.data.reading.indexing import check_by_epoch, check_by_position, speaks_for
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
    number = None if num_epochs is None else check_integer(num_epochs, name="num_epochs")
    if number is not None and number < 1:
        message = f"num_epochs must be at least 1, got num_epochs={shown(number)}."
        raise ValueError(message)
    return number


def _check_by_epoch(_: object, __: "attrs.Attribute[Any]", dataset: object) -> None:
    check_by_position(dataset)
    check_by_epoch(dataset)


@attrs.define(slots=False, repr=False, unsafe_hash=True, on_setattr=refuse_rebinding)
class MultiEpochDatasetResampler(Dataset[Sample], Generic[Sample]):
    """A data set of several epochs of another, each in a different shuffled order.

    Law: sample `i` is `dataset[EpochIndex(epoch, idx)]` with the epoch and idx at position `i` of `order`, on every
    call and in every process. That is `EpochOrder(length=len(dataset), seed=seed, num_samples=num_samples,
    shuffle=shuffle)`, or with `permutation="kensler"` the `KenslerOrder` that bionemo-core 2.x has.

    Args:
        dataset: indexed by `EpochIndex`; wrap a data set that is indexed by ints in `IdentityMultiEpochDatasetWrapper`.
        num_epochs: number of epochs, at least 1. As an attribute it includes an incomplete last epoch.
        num_samples: number of samples, at least 1, instead of `num_epochs`. With neither, one epoch.
        shuffle: whether to shuffle each epoch; if False, each is in the data set's own order.
        seed: at least 0. One above 2**63-1 is folded by `seed_from_entropy` for an `EpochOrder`. None draws one from
            the operating system: it is the attribute `seed`, to repeat the run.
        permutation: "feistel", or "kensler" for the order of 2.x.

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
    seed: int = attrs.field(default=42, converter=to_seed)
    permutation: Literal["feistel", "kensler"] = attrs.field(
        default="feistel", validator=check_choice("feistel", "kensler"), kw_only=True
    )

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
    def order(self) -> EpochOrder | KenslerOrder:
        """The order of the samples: which epoch and index in the data set come at each index."""
        length = len(self.dataset)
        num_samples = (self._num_epochs or 1) * length if self._num_samples is None else self._num_samples
        if self.permutation == "kensler" and self.shuffle:
            return KenslerOrder(length=length, seed=self.seed, num_samples=num_samples)
        seed = seed_from_entropy(self.seed)
        return EpochOrder(length=length, seed=seed, num_samples=num_samples, shuffle=self.shuffle)

    @property
    def epoch_seeds(self) -> IntArray:
        """The seed of each epoch, computed on every access."""
        epochs = torch.arange(self.num_epochs)
        if isinstance(self.order, KenslerOrder):
            seeds: IntArray = self.order.seeds_of(epochs.numpy())
        else:
            seeds = fold_in(self.order.seed, "epoch", epochs).numpy()
        return seeds

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: AnyInt) -> Sample:
        """Return the sample at an index.

        Raises:
            IndexError: if the index isn't in `0..len-1`.
        """
        try:
            _, epoch, idx = index_at(self.order, index)
        except IndexError as error:
            message = f"Index {index} out of bounds for dataset of length {len(self)}: {error}"
            raise IndexError(message) from None
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
        options += "" if self.permutation == "feistel" else f", permutation={self.permutation!r}"
        return f"{type(self).__name__}(dataset={shown_dataset(self.dataset)}, {options})"
