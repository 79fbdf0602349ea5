"""Draws with replacement: uniform, and by weight."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bionemo.core.utils.alias import AliasTable, Weights, check_weights, draw_by_alias, make_alias_table
from bionemo.core.utils.checks import AnyInt, check_seed
from bionemo.core.utils.draws import scale_to
from bionemo.core.utils.frozen_array import FrozenArray
from bionemo.core.utils.hashing import fold_in, fold_word
from bionemo.data.indexing import by_position, check_by_position, speaks_for
from bionemo.data.multi_epoch_dataset import SizedDataset, check_not_empty
from bionemo.data.order import SampleIndex, index_at, indices_at
from bionemo.data.order_base import OrderBase, OrderNumbers, check_length, check_num_samples
from bionemo.data.reading import fetch

__all__ = ["PRNGResampleDataset", "ResampleOrder", "WeightedOrder"]

Sample = TypeVar("Sample", covariant=True)  # noqa: PLC0105 - the name is the noun


class _Numbers(NamedTuple):
    length: Any
    seed: Any


def _resample(position: Any, n: _Numbers) -> SampleIndex:
    idx = scale_to(fold_word(n.seed, position), n.length)
    return SampleIndex(position * 0, position * 0, idx)


@attrs.frozen(kw_only=True, repr=False)
class ResampleOrder(OrderBase):
    """Samples drawn uniformly and independently, with replacement.

    Law: the draw at a position is a hash of seed and position, in time that doesn't depend on the position. The
    probability of each sample is within 2**-63 of `1 / length`: that is the bias, and there is no rejection. There is
    no inverse: a sample may stand at many positions, or at none. There are no passes either: `epoch` is 0.

    Args:
        length: samples in the data set, 1..2**62.
        seed: 0..2**63-1.
        num_samples: positions in all, 0..2**62; None for no end.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if one is no integer.

    Example:
        >>> order = ResampleOrder(length=10, seed=42, num_samples=6)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [8, 7, 7, 0, 8, 7]
    """

    length: int = attrs.field(converter=check_length)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    def __attrs_post_init__(self) -> None:
        self._numbers  # noqa: B018 - made before a graph could read it

    @cached_property
    def _numbers(self) -> OrderNumbers:
        return OrderNumbers(_Numbers(self.length, fold_in(self.seed, "resample")))

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        index: SampleIndex = self._numbers.run(_resample, position)
        return index


def _freeze_weights(weights: Weights | FrozenArray) -> FrozenArray:
    return FrozenArray(check_weights(weights.array if isinstance(weights, FrozenArray) else weights))


def _draw(position: Any, n: _Numbers, table: AliasTable) -> SampleIndex:
    return SampleIndex(position * 0, position * 0, draw_by_alias(table, n.seed, position))


@attrs.frozen(kw_only=True, repr=False)
class WeightedOrder(OrderBase):
    """Samples drawn with replacement, each in proportion to its weight.

    Laws: the draw at a position is a hash of seed and position, in time that depends neither on the position nor on the
    number of weights; so all ranks together draw by the same weights as one alone. A sample of weight zero is never
    drawn; the probability of every other is its share of the sum to within 2**-49 of that share plus 2**-59,
    and 2**-63 for each column of the alias table that it stands in. There is
    no inverse, and no passes: `epoch` is 0.

    Args:
        weights: one axis of finite, non-negative numbers, not all zero, in an array, tensor or sequence. Their
            proportions count, not their sum. Kept as a read-only copy; a table of 16 bytes a weight is made for each
            record.
        seed: 0..2**63-1.
        num_samples: positions in all, 0..2**62; None for no end.

    Raises:
        ValueError: if a number is out of range, or a weight is NaN, negative or infinite, or all are zero.
        TypeError: if the weights are no real numbers, or another field no integer.

    Example:
        >>> order = WeightedOrder(weights=[0.5, 0.0, 1.5], seed=42, num_samples=8)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [2, 2, 2, 0, 2, 2, 2, 2]
    """

    weights: FrozenArray = attrs.field(converter=_freeze_weights)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    def __attrs_post_init__(self) -> None:
        self._numbers, self._tensors  # noqa: B018 - made before a graph could read them

    @property
    def length(self) -> int:  # type: ignore[override]
        """How many samples there are to draw from."""
        return len(self.weights)

    @cached_property
    def _numbers(self) -> OrderNumbers:
        return OrderNumbers(_Numbers(len(self.weights), fold_in(self.seed, "weighted")))

    @cached_property
    def _table(self) -> AliasTable:
        return make_alias_table(self.weights.array)

    @cached_property
    def _tensors(self) -> AliasTable:
        table = self._table
        return AliasTable(
            *(torch.tensor(number, device="cpu") for number in table[:2]), *map(torch.from_numpy, table[2:])
        )

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        traced = torch.compiler.is_compiling() and isinstance(position, Tensor)
        table = self._tensors if traced else self._table
        index: SampleIndex = self._numbers.run(partial(_draw, table=table), position)
        return index


@attrs.frozen(repr=False)
class PRNGResampleDataset(Dataset[Sample], Generic[Sample]):
    """A data set of samples drawn uniformly with replacement from another.

    Law: sample `i` is `dataset[idx]` with the idx that stands at position `i` of `ResampleOrder(length=len(dataset),
    seed=seed, num_samples=num_samples)`, on every call and in every process, in time that doesn't depend on `i`.

    Args:
        dataset: indexed by ints; a Series or DataFrame of pandas is read by position.
        seed: 0..2**63-1.
        num_samples: how many draws; None for as many as the data set has samples.

    Raises:
        ValueError: if a number is out of range, or the data set is empty.
        TypeError: if a number is no integer, or the data set is indexed by something else.

    Example:
        >>> list(PRNGResampleDataset("abcdef", num_samples=8))
        ['f', 'e', 'e', 'a', 'f', 'e', 'c', 'd']
    """

    dataset: SizedDataset[Sample] = attrs.field(eq=id)
    seed: int = attrs.field(default=42, converter=check_seed)
    _num_samples: int | None = attrs.field(default=None, converter=check_num_samples, alias="num_samples")

    def __attrs_post_init__(self) -> None:
        check_by_position(self.dataset)
        check_not_empty(self.dataset)

    @property
    def num_samples(self) -> int:
        """How many draws there are."""
        return len(self)

    @cached_property
    def order(self) -> ResampleOrder:
        """Which place stands at each index."""
        length = len(self.dataset)
        num_samples = length if self._num_samples is None else self._num_samples
        return ResampleOrder(length=length, seed=self.seed, num_samples=num_samples)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: AnyInt) -> Sample:
        """Return a sample.

        Raises:
            IndexError: if the index isn't in `0..len-1`.
        """
        sample: Sample = by_position(self.dataset)[index_at(self.order, index).idx]
        return sample

    def __getitems__(self, indices: Sequence[AnyInt]) -> list[Sample]:
        """Return many samples, their places worked out at once; one by one where a subclass overrides `[...]`."""
        if not speaks_for(type(self)):
            return [self[index] for index in indices]
        return list(fetch(self.dataset, [place.idx for place in indices_at(self.order, indices)]))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dataset={self.dataset!r}, seed={self.seed}, num_samples={self.num_samples})"
