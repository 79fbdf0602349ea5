"""Draws with replacement as a data set: a thin wrapper of `ResampleOrder`, for code that needs a data set."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Generic, TypeVar

import attrs
from torch.utils.data import Dataset

from bionemo.core.checks import AnyInt
from bionemo.core.fields import refuse_rebinding
from bionemo.core.random.generators import seed_from_entropy
from bionemo.data.orders.base import check_some_samples
from bionemo.data.orders.by_weight.weighted import WeightedOrder
from bionemo.data.orders.order import index_at
from bionemo.data.orders.resample import ResampleOrder
from bionemo.data.reading.dataset import SizedDataset, check_not_empty, shown_dataset, to_seed
from bionemo.data.reading.indexing import by_position, check_by_position, speaks_for
from bionemo.data.reading.read import fetch

__all__ = ["PRNGResampleDataset", "ResampleOrder", "WeightedOrder"]

Sample = TypeVar("Sample", covariant=True)  # noqa: PLC0105 - the name is the noun


@attrs.define(slots=False, repr=False, unsafe_hash=True, on_setattr=refuse_rebinding)
class PRNGResampleDataset(Dataset[Sample], Generic[Sample]):
    """A data set of samples drawn uniformly with replacement from another.

    Law: sample `i` is `dataset[idx]` with the idx at position `i` of `ResampleOrder(length=len(dataset), seed=seed,
    num_samples=num_samples)`, on every call and in every process, in time that doesn't depend on `i`.

    Args:
        dataset: indexed by ints; a Series or DataFrame of pandas is read by position.
        seed: at least 0. One above 2**63-1 is folded by `seed_from_entropy`. None draws one from the operating system:
            it is the attribute `seed`, to repeat the run.
        num_samples: number of draws, at least 1; None for the number of samples in the data set.

    Raises:
        ValueError: if a number is out of range, or the data set is empty.
        TypeError: if a number is no integer, or the data set is indexed by something else.

    Example:
        >>> list(PRNGResampleDataset("abcdef", num_samples=8))
        ['f', 'e', 'e', 'a', 'f', 'e', 'c', 'd']
    """

    dataset: SizedDataset[Sample] = attrs.field(eq=id, repr=shown_dataset)
    seed: int = attrs.field(default=42, converter=to_seed)
    _num_samples: int | None = attrs.field(default=None, converter=check_some_samples, alias="num_samples")

    def __attrs_post_init__(self) -> None:
        check_by_position(self.dataset)
        check_not_empty(self.dataset)

    @property
    def num_samples(self) -> int:
        """Number of draws."""
        return len(self)

    @cached_property
    def order(self) -> ResampleOrder:
        """The order of the samples: which index in the data set comes at each index."""
        length = len(self.dataset)
        num_samples = length if self._num_samples is None else self._num_samples
        return ResampleOrder(length=length, seed=seed_from_entropy(self.seed), num_samples=num_samples)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: AnyInt) -> Sample:
        """Return the sample at an index.

        Raises:
            IndexError: if the index isn't in `0..len-1`.
        """
        sample: Sample = by_position(self.dataset)[index_at(self.order, index).idx]
        return sample

    def __getitems__(self, indices: Sequence[AnyInt]) -> list[Sample]:
        """Return the samples at some indices, looked up at once, or one by one if a subclass overrides `[...]`."""
        if not speaks_for(type(self)):
            return [self[index] for index in indices]
        return list(fetch(self.dataset, index_at(self.order, indices).idx))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        options = f"seed={self.seed}, num_samples={self.num_samples}"
        return f"{type(self).__name__}(dataset={shown_dataset(self.dataset)}, {options})"
