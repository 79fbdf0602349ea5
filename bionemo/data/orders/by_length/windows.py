"""Windows of a base order whose samples are rearranged, and the lookup in them."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import attrs
import numpy as np

from bionemo.core.arrays import by_group, in_blocks
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, as_int
from bionemo.core.fields import check_size, short_repr, to_int
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.hashing import fold_word
from bionemo.data.orders.base import OrderOver, check_order
from bionemo.data.orders.by_length.lengths import check_lengths, frozen_lengths, lengths_of
from bionemo.data.orders.order import Order, SampleIndex, position_of
from bionemo.data.permute import Plan, geometry, make_keys, num_rounds, permute_kernel

__all__ = ["Arrangement", "Window", "WindowOrder", "over", "shuffled_groups"]

_MAX_WINDOW: Final = 2**24
"""Largest window that is rearranged: it takes some seconds, and 32 bytes per sample while it is kept."""
_FEW: Final = 12
"""Below so many words, calling a kernel for each of them is faster than for an array of them."""


class Arrangement(NamedTuple):
    """How the samples of a window are rearranged."""

    slots: IntArray
    """For each slot of the window, the slot in the base order whose sample it gets."""
    cuts: IntArray
    """The slots at which groups of samples begin, and the size of the window."""


class Window(NamedTuple):
    """A window, rearranged."""

    start: int
    """Its first position."""
    samples: SampleIndex
    """Its samples, by slot."""
    slot_of: IntArray
    """The slot of each sample of the base order's window."""
    cuts: IntArray
    """The slots at which groups of samples begin, and the size of the window."""


@attrs.frozen(kw_only=True)
class WindowOrder(OrderOver):
    """What orders that rearrange the windows of a base order share; each defines `_arrange`.

    Laws: a window holds exactly the samples of the base order's window. Windows end where the base order's epochs end
    (`epoch_length`). `position_of` inverts `index_at` if the base order has an inverse.
    """

    order: Order = attrs.field(validator=check_order)
    lengths: tuple[FrozenArray, ...] = attrs.field(converter=frozen_lengths, repr=short_repr)
    window_size: int = attrs.field(converter=to_int, validator=check_size)

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

    def window_start(self, position: Any, /) -> Any:
        """Return where the window of a position, or of each of an array of them, starts."""
        epoch_start = 0 if self.epoch_length is None else position // self.epoch_length * self.epoch_length
        return epoch_start + (position - epoch_start) // self.window_size * self.window_size

    def window_end(self, start: int, /) -> int:
        """Return where the window that starts at a position ends."""
        stop = start + self.window_size
        if self.epoch_length is not None:
            stop = min(stop, (start // self.epoch_length + 1) * self.epoch_length)
        return min(stop, MAX_INT + 1 if self.num_samples is None else self.num_samples)

    @cached_property
    def window_at(self) -> Callable[[int], Window]:
        """The window that starts at a position; the last few are kept."""
        return lru_cache(maxsize=4)(self._make_window)

    def _make_window(self, start: int) -> Window:
        size = self.window_end(start) - start
        index = SampleIndex(*over(self.order.index_at, start, size))
        slots, cuts = self._arrange(start, lengths_of(self.lengths, index))
        slot_of = np.empty_like(slots)
        slot_of[slots] = np.arange(size)
        return Window(start, SampleIndex(*(part[slots] for part in index)), slot_of, cuts)

    def _arrange(self, start: int, lengths: IntArray) -> Arrangement:
        """Return how the samples of the window that starts at a position, of the given lengths, are rearranged."""
        raise NotImplementedError

    def _look_up(self, position: Any, read: Callable[[Window, Any], list[Any]], num_results: int) -> list[Any]:
        """Return what is read from the window of each position, at its slot in the window."""
        position = as_int(position)
        start = self.window_start(position)
        found = by_group(
            lambda first, at: read(self.window_at(first), at - first), start, position, num_results=num_results
        )
        return list(map(as_int, found))


def shuffled_groups(sizes: IntArray, seed: AnyInt, start: AnyInt, /) -> IntArray:
    """Return the start of each group of consecutive elements after the groups were shuffled.

    Args:
        sizes: number of elements of each group.
        seed: determines the shuffle, together with the window's start.
        start: the window's first position.

    Example:
        >>> shuffled_groups(np.array([2, 1, 2]), 4, 0)
        array([0, 4, 2])
    """
    keys = make_keys(num_rounds(len(sizes)), fold_word(seed, start))
    groups = over(lambda word: permute_kernel(word, Plan(geometry(len(sizes)), keys)), 0, len(sizes))
    begin: IntArray = np.empty_like(sizes)
    begin[groups] = np.cumsum(sizes[groups]) - sizes[groups]
    return begin


def over(kernel: Callable[[Any], Any], start: int, size: int, /) -> Any:
    """Return the results of an elementwise kernel for consecutive words.

    Example:
        >>> over(lambda word: 2 * word, 3, 4)
        array([ 6,  8, 10, 12])
    """
    if size < _FEW:
        return np.array([kernel(word) for word in range(start, start + size)], dtype=np.int64).T
    return in_blocks(kernel, np.arange(size) + start)
