"""Epoch after epoch, shuffled so that a storage which reads well only in runs is read in runs."""

from functools import cached_property, partial
from typing import Any, NamedTuple

import attrs

from bionemo.core.utils.blocks import by_run
from bionemo.core.utils.checks import AnyInt, check_int, check_seed
from bionemo.core.utils.draws import scale_to
from bionemo.core.utils.hashing import fold_in, fold_word
from bionemo.data.feistel import (
    MAX_LENGTH,
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

__all__ = ["BlockOrder"]


class _Numbers(NamedTuple):
    length: Any
    seed: Any
    """Of all epochs: the order's seed, folded with their purpose."""
    block_size: Any
    missing: Any
    """Cells that the last block lacks to be whole."""
    num_blocks: Any
    window_blocks: Any
    """Blocks in a small window; the large ones have one more."""
    large_windows: Any
    """How many windows, from the first on, are large."""
    blocks: Any
    """The geometry of the permutation of all blocks but the last."""
    small: Any
    """The geometry of a small window."""
    small_short: Any
    """The geometry of a small window that the last block is in."""
    large: Any
    large_short: Any


class _Epoch(NamedTuple):
    seed: Any
    short_slot: Any
    """Where in the sequence of this epoch's blocks the last block stands."""
    keys: tuple[Any, ...]
    """Of the permutation of the other blocks."""


class _Window(NamedTuple):
    first: Any
    """Its first slot."""
    start: Any
    """Its first place in the epoch."""
    gap: Any
    """Its first cell behind the gap of the short block; the data set's length if that isn't in this window."""
    plan: Plan


def _check_block_size(block_size: AnyInt) -> int:
    return check_int(block_size, name="block_size", low=1, high=MAX_LENGTH)


def _check_blocks_per_window(blocks_per_window: AnyInt) -> int:
    return check_int(blocks_per_window, name="blocks_per_window", low=1, high=MAX_LENGTH)


@attrs.frozen(kw_only=True, repr=False)
class BlockOrder(OrderBase):
    """Every sample of a data set once an epoch, read from a few blocks at a time.

    The data set is taken in blocks of neighbours. Each epoch the blocks are shuffled and parted into windows of
    neighbours in that new sequence; the samples of a window are shuffled together. So only the blocks of one window are
    read from at a time, each in one window an epoch.

    Laws: those of `EpochOrder`, whether or not the sizes divide one another; a window's places hold exactly the samples
    of its blocks. Windows have at most `blocks_per_window` blocks, and their numbers of blocks differ by at most one.

    Args:
        length: samples in the data set, 1..2**62.
        block_size: neighbouring samples in a block, at least 1; the last block of the data set may be short.
        blocks_per_window: blocks that are shuffled together, at least 1. With all of them, the samples of an epoch are
            shuffled as well as in an `EpochOrder`.
        seed: 0..2**63-1; every epoch and window has a seed of its own, folded from it.
        num_samples: positions in all, 0..2**62, also within an epoch; None for no end.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if one is no integer.

    Example:
        >>> order = BlockOrder(length=10, block_size=3, blocks_per_window=2, seed=42, num_samples=10)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [7, 0, 1, 6, 2, 8, 4, 5, 3, 9]
    """

    length: int = attrs.field(converter=check_length)
    block_size: int = attrs.field(converter=_check_block_size)
    blocks_per_window: int = attrs.field(converter=_check_blocks_per_window)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @property
    def epoch_length(self) -> int:
        """Positions in an epoch: each sample once."""
        return self.length

    def __attrs_post_init__(self) -> None:
        self._numbers  # noqa: B018 - made before a graph could read it

    @cached_property
    def _numbers(self) -> OrderNumbers:
        num_blocks = -(-self.length // self.block_size)
        missing = num_blocks * self.block_size - self.length
        window_blocks, large_windows = divmod(num_blocks, -(-num_blocks // self.blocks_per_window))
        small, large = window_blocks * self.block_size, (window_blocks + 1) * self.block_size
        whole = max(num_blocks - 1, 1)
        numbers = _Numbers(
            length=self.length,
            seed=fold_in(self.seed, "block"),
            block_size=self.block_size,
            missing=missing,
            num_blocks=num_blocks,
            window_blocks=window_blocks,
            large_windows=large_windows,
            blocks=geometry(whole),
            small=geometry(small),
            small_short=geometry(small - missing),
            large=geometry(large),
            large_short=geometry(large - missing),
        )
        # One number of rounds for all, so that there is one graph for each: what the shortest permutation takes.
        return OrderNumbers(numbers, rounds=num_rounds(min(whole, small - missing)))

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


def _choose(condition: Any, chosen: Any, otherwise: Any) -> Any:
    return otherwise + condition * (chosen - otherwise)


def _epoch(epoch: Any, n: _Numbers, rounds: int) -> _Epoch:
    def make(epoch: Any) -> tuple[Any, ...]:
        seed = fold_word(n.seed, epoch)
        short_slot = scale_to(fold_word(seed, 0), n.num_blocks)
        return seed, short_slot, *make_words(rounds, fold_word(seed, 1))

    seed, short_slot, *words = by_run(make, epoch)
    return _Epoch(seed, short_slot, keys_of(tuple(words)))


def _window(slot: Any, epoch: _Epoch, n: _Numbers, rounds: int) -> _Window:
    """Return the window that a slot is in."""
    large_slots = n.large_windows * (n.window_blocks + 1)
    is_large = slot < large_slots
    number = (slot - _choose(is_large, 0, large_slots)) // (n.window_blocks + is_large)
    number = number + _choose(is_large, 0, n.large_windows)

    def make(number: Any, seed: Any, short_slot: Any) -> tuple[Any, ...]:
        is_large = number < n.large_windows
        size = n.window_blocks + is_large
        first = number * size + _choose(is_large, 0, n.large_windows)
        is_short = (short_slot >= first) & (short_slot < first + size)
        sizes = [
            _choose(is_large, _choose(is_short, *of_large), _choose(is_short, *of_small))
            for of_large, of_small in zip(
                zip(n.large_short, n.large, strict=True), zip(n.small_short, n.small, strict=True), strict=True
            )
        ]
        start = first * n.block_size - (short_slot < first) * n.missing
        gap = (short_slot - first + 1) * n.block_size - n.missing
        return first, start, _choose(is_short, gap, n.length), *sizes, *make_words(rounds, fold_word(seed, number + 2))

    first, start, gap, row_bits, rows, last, *words = by_run(make, number, epoch.seed, epoch.short_slot)
    return _Window(first, start, gap, Plan(Geometry(row_bits, rows, last), keys_of(tuple(words))))


def _index_at(position: Any, n: _Numbers, rounds: int) -> SampleIndex:
    number = position // n.length
    place = position - number * n.length
    epoch = _epoch(number, n, rounds)
    # Counted as though every block were whole, the cells that the short one lacks make a gap behind it.
    gap = (epoch.short_slot + 1) * n.block_size - n.missing
    window = _window((place + (place >= gap) * n.missing) // n.block_size, epoch, n, rounds)
    cell = permute_kernel(place - window.start, window.plan)
    cell = cell + (cell >= window.gap) * n.missing
    slot = window.first + cell // n.block_size
    offset = cell % n.block_size
    is_short = slot == epoch.short_slot
    whole_slot = (slot - (slot > epoch.short_slot) * 1) * (slot != epoch.short_slot)
    block = permute_kernel(whole_slot, Plan(n.blocks, epoch.keys))
    return SampleIndex(number * 0, number, _choose(is_short, n.num_blocks - 1, block) * n.block_size + offset)


def _position_of(number: Any, idx: Any, n: _Numbers, rounds: int) -> Any:
    epoch = _epoch(number, n, rounds)
    block, offset = idx // n.block_size, idx % n.block_size
    is_short = block == n.num_blocks - 1
    slot = unpermute_kernel(block * (block < n.num_blocks - 1), Plan(n.blocks, epoch.keys))
    slot = _choose(is_short, epoch.short_slot, slot + (slot >= epoch.short_slot))
    window = _window(slot, epoch, n, rounds)
    cell = (slot - window.first) * n.block_size + offset
    cell = cell - (cell >= window.gap) * n.missing
    return number * n.length + window.start + unpermute_kernel(cell, window.plan)
