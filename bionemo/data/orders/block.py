"""Epochs that are shuffled by blocks, for storage that is fast only for contiguous reads."""

from functools import cached_property
from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import by_run, take
from bionemo.core.checks import as_int, check_seed
from bionemo.core.fields import check_size, to_int
from bionemo.core.random.draws import scale_to
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_in_epochs, check_length, check_num_samples
from bionemo.data.orders.order import SampleIndex
from bionemo.data.permute import Geometry, Plan, geometry, make_keys, num_rounds, permute_kernel, unpermute_kernel

__all__ = ["BlockShuffleOrder"]


class _Epoch(NamedTuple):
    """The shuffle of the blocks in an epoch."""

    seed: Any
    short_slot: Any
    """Slot (index among the shuffled blocks) of the data set's last block, which may be short."""
    plan: Plan
    """Permutation of the other blocks."""


class _Window(NamedTuple):
    """Consecutive slots, whose samples are shuffled together."""

    first: Any
    """First slot."""
    start: Any
    """First position, counted from the start of the epoch."""
    gap: Any
    """First cell after the short block's samples; the data set's length if the short block isn't in the window."""
    plan: Plan
    """Permutation of the samples."""


@attrs.frozen(kw_only=True)
class BlockShuffleOrder(OrderBase):
    """Every sample of a data set once per epoch, read from a few blocks at a time.

    The data set is divided into blocks of neighbours. In each epoch the blocks are shuffled and divided into windows of
    consecutive blocks, and the samples of each window are shuffled together. So only the blocks of one window are read
    at a time, and each block in one window per epoch.

    Laws: those of `EpochOrder`, whether or not the sizes divide one another; a window holds exactly the samples of its
    blocks. Windows have at most `blocks_per_window` blocks, and their numbers of blocks differ by at most one.

    Args:
        length: samples in the data set, 1..2**62.
        block_size: neighbouring samples per block, at least 1; the last block of the data set may be short.
        blocks_per_window: blocks that are shuffled together, at least 1. With all blocks in one window, the samples are
            shuffled as well as in an `EpochOrder`.
        seed: 0..2**63-1; each epoch and window has a seed of its own, folded from it.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a number is not an integer.

    Example:
        >>> order = BlockShuffleOrder(length=10, block_size=3, blocks_per_window=2, seed=42, num_samples=10)
        >>> [order.index_at(position).idx for position in range(len(order))]
        [7, 0, 1, 6, 2, 8, 4, 5, 3, 9]
    """

    length: int = attrs.field(converter=check_length)
    block_size: int = attrs.field(converter=to_int, validator=check_size)
    blocks_per_window: int = attrs.field(converter=to_int, validator=check_size)
    seed: int = attrs.field(converter=check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @property
    def epoch_length(self) -> int:
        """Positions per epoch: one for each sample."""
        return self.length

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        number, offset = divmod(as_int(position), self.length)
        epoch = self._epoch(number)
        window = self._window(self._slot(offset, epoch), epoch)
        cell = permute_kernel(offset - window.start, window.plan)
        cell = cell + (cell >= window.gap) * self._missing
        slot = window.first + cell // self.block_size
        # Slots other than the short one hold a permutation of the other blocks, numbered without it.
        is_short = slot == epoch.short_slot
        block = permute_kernel((slot - (slot > epoch.short_slot)) * (slot != epoch.short_slot), epoch.plan)
        return SampleIndex(
            0, number, _choose(is_short, self._num_blocks - 1, block) * self.block_size + cell % self.block_size
        )

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if the data set has no such sample, or the position doesn't fit int64.
        """
        check_in_epochs(index, self.length)
        number, last = as_int(index.epoch), self._num_blocks - 1
        epoch = self._epoch(number)
        block, offset = divmod(as_int(index.idx), self.block_size)
        slot = unpermute_kernel(block * (block < last), epoch.plan)
        slot = _choose(block == last, epoch.short_slot, slot + (slot >= epoch.short_slot))
        window = self._window(slot, epoch)
        cell = (slot - window.first) * self.block_size + offset
        cell = cell - (cell >= window.gap) * self._missing
        return number * self.length + window.start + unpermute_kernel(cell, window.plan)

    def window_stop(self, position: int, /) -> int:
        """Return the position after the window that a position is in: there, what is read together should end."""
        number, offset = divmod(as_int(position), self.length)
        epoch, (window_blocks, large_windows) = self._epoch(number), self._windows
        first = self._window(self._slot(offset, epoch), epoch).first
        following = first + window_blocks + (first < large_windows * (window_blocks + 1))
        return int(number * self.length + following * self.block_size - (epoch.short_slot < following) * self._missing)

    def _slot(self, offset: Any, epoch: _Epoch) -> Any:
        """Return the slot of a position in an epoch."""
        # Count cells as if every block were whole: skip those that the short block lacks.
        gap = (epoch.short_slot + 1) * self.block_size - self._missing
        return (offset + (offset >= gap) * self._missing) // self.block_size

    @cached_property
    def _num_blocks(self) -> int:
        return -(-self.length // self.block_size)

    @cached_property
    def _missing(self) -> int:
        """Number of cells by which the last block is short."""
        return self._num_blocks * self.block_size - self.length

    @cached_property
    def _windows(self) -> tuple[int, int]:
        """Blocks per small window, and the number of large windows, which come first and have one block more."""
        return divmod(self._num_blocks, -(-self._num_blocks // self.blocks_per_window))

    @cached_property
    def _geometries(self) -> NDArray[np.int64]:
        """Geometries of a small window, a small one with the short block, a large one, and a large one with it."""
        small = self._windows[0] * self.block_size
        large = small + self.block_size
        sizes = small, small - self._missing, large, large - self._missing
        return np.array(list(map(geometry, sizes)), dtype=np.int64).T

    @cached_property
    def _rounds(self) -> int:
        """Rounds of all permutations: as many as the shortest one needs."""
        return num_rounds(min(max(self._num_blocks - 1, 1), self._windows[0] * self.block_size - self._missing))

    @cached_property
    def _block_seed(self) -> int:
        return fold_in(self.seed, "block")

    def _epoch(self, number: Any) -> _Epoch:
        """Return the shuffle of the blocks in an epoch, or in each element's epoch."""

        def draw(number: Any) -> tuple[Any, ...]:
            seed = fold_word(self._block_seed, number)
            short_slot = scale_to(fold_word(seed, 0), self._num_blocks)
            return seed, short_slot, *make_keys(self._rounds, fold_word(seed, 1))

        seed, short_slot, *keys = by_run(draw, number)
        return _Epoch(seed, short_slot, Plan(geometry(max(self._num_blocks - 1, 1)), tuple(keys)))

    def _window(self, slot: Any, epoch: _Epoch) -> _Window:
        """Return the window that holds a slot."""
        window_blocks, large_windows = self._windows
        large_slots = large_windows * (window_blocks + 1)
        # The large windows come first: a later slot is counted from their end.
        is_large = slot < large_slots
        number = (slot - _choose(is_large, 0, large_slots)) // (window_blocks + is_large)
        number = number + _choose(is_large, 0, large_windows)

        def draw(number: Any, seed: Any, short_slot: Any) -> tuple[Any, ...]:
            is_large = number < large_windows
            size = window_blocks + is_large
            first = number * size + _choose(is_large, 0, large_windows)
            is_short = (short_slot >= first) & (short_slot < first + size)
            start = first * self.block_size - (short_slot < first) * self._missing
            gap = _choose(is_short, (short_slot - first + 1) * self.block_size - self._missing, self.length)
            sizes = [take(column, 2 * is_large + is_short) for column in self._geometries]
            return first, start, gap, *sizes, *make_keys(self._rounds, fold_word(seed, number + 2))

        first, start, gap, row_bits, rows, last, *keys = by_run(draw, number, epoch.seed, epoch.short_slot)
        return _Window(first, start, gap, Plan(Geometry(row_bits, rows, last), tuple(keys)))


def _choose(condition: Any, chosen: Any, otherwise: Any) -> Any:
    """Return one of two values, for ints and arrays alike: without a branch, which arrays don't allow."""
    return otherwise + condition * (chosen - otherwise)
