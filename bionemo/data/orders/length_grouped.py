"""Samples of similar length next to each other: less padding, while the windows are still shuffled."""

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any, Final, NamedTuple

import attrs
import numpy as np

from bionemo.core.arrays import by_group, in_blocks
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, as_int, check_seed
from bionemo.core.fields import check_size, to_int
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_order, num_levels, short_repr
from bionemo.data.orders.lengths import check_lengths, frozen_lengths, lengths_of
from bionemo.data.orders.order import Order, SampleIndex, position_of
from bionemo.data.permute import Plan, geometry, make_keys, num_rounds, permute_kernel

__all__ = ["LengthGroupedOrder"]

_MAX_WINDOW: Final = 2**24
"""Largest window that is sorted: it takes some seconds, and 32 bytes per sample while it is kept."""
_FEW: Final = 12
"""Below so many words, calling a kernel for each of them is faster than for an array of them."""


class _Window(NamedTuple):
    """A window, sorted."""

    start: int
    """Its first position."""
    samples: SampleIndex
    """Its samples, by position in the window."""
    slot_of: IntArray
    """The position in the window of each sample of the base order's window."""


@attrs.frozen(kw_only=True)
class LengthGroupedOrder(OrderBase):
    """An order whose samples are sorted by length within windows, so that those of a batch are about equally long.

    The positions of the base order are taken in windows of neighbours. In each window the samples are sorted by length
    and cut into batches, and the batches are shuffled. So a batch holds samples of similar length, and which ones
    differs from epoch to epoch if the base order is shuffled. A batch in which a window ends holds samples of two
    windows: choose a multiple of the batch size.

    Laws: a window holds exactly the samples of the base order's window. Windows end where the base order's epochs end
    (`epoch_length`), so an epoch still holds every sample once. `position_of` inverts `index_at` if the base order has
    an inverse.

    A lookup sorts its window, which takes 0.1 to 0.5 us per sample of the window; the last few windows are kept. Look
    up many positions at once, as loaders do.

    Args:
        order: the base order.
        lengths: number of tokens of each sample, by its index in the data set: one-dimensional integers, or a tuple of
            such for several sources. Kept as int64, so that equal lengths of any integer type make equal orders.
        window_size: positions that are sorted together, at least 1: a few hundred batches are a good size. A window
            that holds more than 2**24 positions, also after it was cut at the end of an epoch or of the order, is
            refused.
        batch_size: the pipeline's batch size: the samples between two multiples of it are of similar length.
        seed: 0..2**63-1; determines the shuffle of the batches.

    Raises:
        ValueError: if a number is out of range, or there isn't one length per sample.
        TypeError: if the lengths are not integers, or `order` is not an order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> lengths = [30, 10, 50, 20, 40, 60]
        >>> base = EpochOrder(length=6, seed=7, num_samples=6)
        >>> order = LengthGroupedOrder(order=base, lengths=lengths, window_size=6, batch_size=2, seed=4)
        >>> [lengths[order.index_at(position).idx] for position in range(6)]
        [30, 40, 10, 20, 50, 60]
    """

    order: Order = attrs.field(validator=check_order)
    lengths: tuple[FrozenArray, ...] = attrs.field(converter=frozen_lengths, repr=short_repr)
    window_size: int = attrs.field(converter=to_int, validator=check_size)
    batch_size: int = attrs.field(converter=to_int, validator=check_size)
    seed: int = attrs.field(converter=check_seed)

    @order.validator
    def _check_levels(self, _: "attrs.Attribute[Any]", __: Order) -> None:
        self.num_levels  # noqa: B018 - raises if they are nested too deeply

    @lengths.validator
    def _check_lengths(self, _: "attrs.Attribute[Any]", lengths: tuple[FrozenArray, ...]) -> None:
        check_lengths(self.order, lengths)

    @window_size.validator
    def _check_window_size(self, _: "attrs.Attribute[int]", window_size: AnyInt) -> None:
        limits = (window_size, self.epoch_length, self.num_samples)
        size = min(limit for limit in limits if limit is not None)
        if size > _MAX_WINDOW:
            message = (
                f"window_size must be at most {_MAX_WINDOW}, because a lookup sorts the whole window, "
                f"got window_size={window_size}, of which {size} positions are before the end of an epoch. "
                "A few hundred batches are a good size."
            )
            raise ValueError(message)

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """Number of positions: that of the base order."""
        return self.order.num_samples

    @property
    def num_sources(self) -> int:
        """Number of data sets that the order draws from."""
        return self.order.num_sources

    @cached_property
    def num_levels(self) -> int:
        """Number of levels that orders are nested in."""
        return num_levels([self.order])

    @property
    def epoch_length(self) -> int | None:
        """Positions per epoch of the base order; None if its epochs are not equally long."""
        found: int | None = getattr(self.order, "epoch_length", None)
        return found

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """Expected length of each data set."""
        return tuple(map(len, self.lengths))

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        return SampleIndex(*self._look_up(position, lambda window, slots: [part[slots] for part in window.samples], 3))

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample: call `bionemo.data.position_of`.

        Raises:
            TypeError: if the base order has no inverse.
            IndexError: if the base order never reaches that sample.
        """
        in_base = position_of(self.order, index)
        (position,) = self._look_up(in_base, lambda window, slots: [window.start + window.slot_of[slots]], 1)
        return position

    @cached_property
    def _piece_seed(self) -> int:
        return fold_in(self.seed, "length")

    @cached_property
    def _window_at(self) -> Callable[[int], _Window]:
        """The window that starts at a position; the last few are kept."""
        return lru_cache(maxsize=4)(partial(_sort_window, self))

    def _look_up(self, position: Any, read: Callable[[_Window, Any], list[Any]], num_results: int) -> list[Any]:
        """Return what is read from the window of each position, at its slot in the window."""
        position = as_int(position)
        start = self._window_start(position)
        found = by_group(
            lambda first, at: read(self._window_at(first), at - first), start, position, num_results=num_results
        )
        return list(map(as_int, found))

    def _window_start(self, position: Any) -> Any:
        """Return where the window of a position starts; each epoch of the base order starts a new window."""
        epoch_start = 0 if self.epoch_length is None else position // self.epoch_length * self.epoch_length
        return epoch_start + (position - epoch_start) // self.window_size * self.window_size


def _sort_window(order: LengthGroupedOrder, start: int) -> _Window:
    """Return the window that starts at a position: sorted by length, in shuffled batches."""
    epoch_length = order.epoch_length
    size = order.window_size if epoch_length is None else min(order.window_size, epoch_length - start % epoch_length)
    size = min(size, (MAX_INT + 1 if order.num_samples is None else order.num_samples) - start)
    index = SampleIndex(*_over(order.order.index_at, start, size))
    by_length = np.argsort(lengths_of(order.lengths, index), kind="stable")
    slots = by_length[_ranks(order, start, size)]
    slot_of = np.empty_like(slots)
    slot_of[slots] = np.arange(size)
    return _Window(start, SampleIndex(*(part[slots] for part in index)), slot_of)


def _ranks(order: LengthGroupedOrder, start: int, size: int) -> IntArray:
    """Return the rank by length that each slot of a window gets.

    The window is cut where batches start, at the multiples of the batch size. The pieces, also the short ones at both
    ends, get consecutive runs of ranks in random order.
    """
    first = -start % order.batch_size
    cuts = np.array([0, *range(first, size, order.batch_size), size])
    sizes = np.diff(cuts)
    keys = make_keys(num_rounds(len(sizes)), fold_word(order._piece_seed, start))  # noqa: SLF001 - of this module
    pieces = _over(partial(permute_kernel, plan=Plan(geometry(len(sizes)), keys)), 0, len(sizes))
    # Rank at which each piece begins: the total size of the pieces that the permutation puts before it.
    begin = np.empty_like(sizes)
    begin[pieces] = np.cumsum(sizes[pieces]) - sizes[pieces]
    ranks: IntArray = np.repeat(begin - cuts[:-1], sizes) + np.arange(size)
    return ranks


def _over(kernel: Callable[[Any], Any], start: int, size: int) -> Any:
    """Return the results of an elementwise kernel for consecutive words."""
    if size < _FEW:
        return np.array([kernel(word) for word in range(start, start + size)], dtype=np.int64).T
    return in_blocks(kernel, np.arange(size) + start)
