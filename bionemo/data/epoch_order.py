"""Epoch after epoch through one data set, each freshly shuffled."""

from functools import cached_property, partial
from typing import Any, NamedTuple

import attrs

from bionemo.core.utils.blocks import by_run
from bionemo.core.utils.checks import check_seed
from bionemo.core.utils.hashing import fold_in, fold_word
from bionemo.data.feistel import (
    Geometry,
    Plan,
    geometry,
    keys_of,
    make_words,
    num_rounds,
    permute_kernel,
    unpermute_kernel,
)
from bionemo.data.order import SampleIndex
from bionemo.data.order_base import OrderBase, OrderNumbers, check_length, check_num_samples, check_place

__all__ = ["EpochOrder"]


class _Numbers(NamedTuple):
    length: Any
    seed: Any
    """Of all epochs: the order's seed, folded with their purpose."""
    row_bits: Any
    rows: Any
    last: Any


def _plan(epoch: Any, n: _Numbers, rounds: int) -> Plan:
    """Return the plan of the permutation of an epoch, or of each element's epoch."""
    words = by_run(lambda epoch: make_words(rounds, fold_word(n.seed, epoch)), epoch)
    return Plan(Geometry(n.row_bits, n.rows, n.last), keys_of(words))


@attrs.frozen(kw_only=True, repr=False)
class EpochOrder(OrderBase):
    """Every sample of a data set once an epoch, each epoch in a fresh order.

    Law: positions `e * length` to `(e + 1) * length - 1` hold each `idx` of `range(length)` exactly once, in epoch `e`;
    `position_of` inverts `index_at`. Time and memory of both depend neither on the length nor on the position.

    Args:
        length: samples in the data set, 1..2**62.
        seed: 0..2**63-1; epoch `e` is shuffled by `fold_in(seed, "epoch", e)`, so that the epochs of
            neighbouring seeds have nothing in common.
        num_samples: positions in all, 0..2**62, also within an epoch; None for no end.
        shuffle: False keeps each epoch in the data set's own sequence.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if one is no integer.

    Example:
        >>> order = EpochOrder(length=3, seed=7, num_samples=6)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [1, 0, 2, 1, 2, 0]
    """

    length: int = attrs.field(converter=check_length)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)
    shuffle: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))

    @property
    def epoch_length(self) -> int:
        """Positions in an epoch: each sample once."""
        return self.length

    def __attrs_post_init__(self) -> None:
        self._numbers  # noqa: B018 - made before a graph could read it

    @cached_property
    def _numbers(self) -> OrderNumbers:
        numbers = _Numbers(self.length, fold_in(self.seed, "epoch"), *geometry(self.length))
        return OrderNumbers(numbers, rounds=num_rounds(self.length) if self.shuffle else 0)

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        index: SampleIndex = self._numbers.run(partial(_index_at, rounds=self._numbers.rounds), position)
        return index

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also past the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if the data set has no such place, or the position doesn't fit int64.
        """
        check_place(index, self.length)
        return self._numbers.run(partial(_position_of, rounds=self._numbers.rounds), index.epoch, index.idx)


def _index_at(position: Any, n: _Numbers, rounds: int) -> SampleIndex:
    epoch = position // n.length
    place = position - epoch * n.length
    idx = permute_kernel(place, _plan(epoch, n, rounds)) if rounds else place
    return SampleIndex(epoch * 0, epoch, idx)


def _position_of(epoch: Any, idx: Any, n: _Numbers, rounds: int) -> Any:
    place = unpermute_kernel(idx, _plan(epoch, n, rounds)) if rounds else idx
    return epoch * n.length + place
