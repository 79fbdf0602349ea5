"""Samples of like length next to one another: less padding, and nothing lost of the shuffle between windows."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.utils.checks import MAX_INT, AnyInt, IntArray, as_int, check_int, check_seed, is_concrete
from bionemo.core.utils.frozen_array import FrozenArray
from bionemo.core.utils.hashing import fold_in
from bionemo.data.feistel import MAX_LENGTH
from bionemo.data.order import Order, SampleIndex, index_at, position_of
from bionemo.data.order_base import OrderBase
from bionemo.data.permute import permute

__all__ = ["LengthOrder", "padding_share"]


def _check_window(window: AnyInt) -> int:
    return check_int(window, name="window", low=1, high=MAX_LENGTH)


def _check_batch_size(batch_size: AnyInt) -> int:
    return check_int(batch_size, name="batch_size", low=1, high=MAX_LENGTH)


def _frozen_lengths(lengths: Any) -> tuple[FrozenArray, ...]:
    """Return the lengths of the samples of each source as values."""
    parts = lengths if isinstance(lengths, tuple) and lengths and not np.isscalar(lengths[0]) else (lengths,)
    try:
        return tuple(part if isinstance(part, FrozenArray) else FrozenArray(_as_int64(part)) for part in parts)
    except ValueError as error:  # rows of unequal lengths
        message = f"lengths must be one-dimensional integers, or a tuple of such for several sources, got {lengths!r}."
        raise TypeError(message) from error


def _as_int64(lengths: Any) -> NDArray[Any]:
    """Return lengths as int64 where they fit, so that equal lengths make equal orders."""
    found: NDArray[Any] = np.asarray(lengths)
    is_narrow = found.dtype.kind in "iu" and (found.dtype != np.uint64 or not (found > MAX_INT).any())
    return found.astype(np.int64) if is_narrow else found


def _check_order(_: object, __: "attrs.Attribute[Any]", order: object) -> None:
    if not isinstance(order, Order):
        message = f"order must be an order, with num_samples, num_sources and index_at, got {order!r}."
        raise TypeError(message)


class _Window(NamedTuple):
    start: int
    samples: SampleIndex
    """The samples of the window, at its places."""
    slot_of: IntArray
    """The place of each sample of the base order's window."""


@attrs.frozen(kw_only=True, repr=False)
class LengthOrder(OrderBase):
    """An order whose samples are sorted by length within windows, so that those of a batch are about as long.

    The positions of the base order are taken in windows of neighbours. In each the samples are sorted by length and
    cut into batches, and the batches are shuffled. So a batch holds samples of like length, and which they are differs
    from epoch to epoch, as the windows of a shuffled order do. Where a window begins or ends within a batch, that batch
    is of two windows: choose a multiple of the batch size.

    Laws: the positions of a window hold exactly the samples of the base order's; windows end with its epochs
    (`epoch_length`), so that an epoch still holds every sample once; `position_of` inverts `index_at` where the base
    order has an inverse.

    A lookup takes the work of its window (0.1 to 0.5 us a sample, most of it sorting), many at once that of theirs: ask
    for many, as loaders do. The answer is worked out on the host: not inside `torch.compile` or `vmap`.

    Args:
        order: the base order.
        lengths: of each sample, in tokens, by its place in the data set: one-dimensional integers; for several sources
            a tuple of them. Kept as int64, so that equal lengths of any integer type make equal orders.
        window: positions that are sorted together, at least 1: some hundred batches are a good size.
        batch_size: neighbours that stay together, in pieces that start at multiples of it: a pipeline's batch size.
        seed: 0..2**63-1, of the shuffle of the batches.

    Raises:
        ValueError: if a number is out of range, or there isn't a length for each sample.
        TypeError: if the lengths are no integers, or `order` is no order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> lengths = [30, 10, 50, 20, 40, 60]
        >>> base = EpochOrder(length=6, seed=7, num_samples=6)
        >>> order = LengthOrder(order=base, lengths=lengths, window=6, batch_size=2, seed=4)
        >>> [lengths[order.index_at(position).idx] for position in range(6)]
        [30, 40, 10, 20, 50, 60]
    """

    order: Order = attrs.field(validator=_check_order)
    lengths: tuple[FrozenArray, ...] = attrs.field(converter=_frozen_lengths)
    window: int = attrs.field(converter=_check_window)
    batch_size: int = attrs.field(converter=_check_batch_size)
    seed: int = attrs.field(converter=check_seed)

    @lengths.validator
    def _check_lengths(self, _: "attrs.Attribute[Any]", lengths: tuple[FrozenArray, ...]) -> None:
        _check_lengths(self.order, lengths)

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """How many positions there are: as many as in the base order."""
        return self.order.num_samples

    @property
    def num_sources(self) -> int:
        """How many data sets the order draws from."""
        return self.order.num_sources

    @property
    def epoch_length(self) -> int | None:
        """Positions in an epoch of the base order, which windows keep whole; None where it has none."""
        found: int | None = getattr(self.order, "epoch_length", None)
        return found

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """The lengths that the data sets must have."""
        return tuple(map(len, self.lengths))

    @cached_property
    def _window_of(self) -> Callable[[int], _Window]:
        """The window that starts at a position; the last few are kept."""
        return lru_cache(maxsize=4)(partial(_sort_window, self))

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        return SampleIndex(
            *_look_up(self, position, 3, lambda window, places: (part[places] for part in window.samples))
        )

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample: call `bionemo.data.position_of`.

        Raises:
            TypeError: if the base order has no inverse.
            IndexError: if the base order never comes to that sample.
        """
        in_base = position_of(self.order, index)
        (found,) = _look_up(self, in_base, 1, lambda window, places: (window.start + window.slot_of[places],))
        return found


def _check_lengths(order: Order, lengths: tuple[FrozenArray, ...]) -> None:
    """Check that there is a length for each sample of each source of an order.

    Raises:
        ValueError: if there isn't, or one is negative or doesn't fit int64.
        TypeError: if they are no one-dimensional integers.
    """
    if any(part.array.ndim != 1 or part.array.dtype.kind not in "iu" for part in lengths):
        message = f"lengths must be one-dimensional integers for each source, got {lengths}."
        raise TypeError(message)
    found = tuple(map(len, lengths))
    expected = getattr(order, "source_lengths", None) or (None,) * order.num_sources
    if len(found) != len(expected) or any(
        of_order not in {None, length} for length, of_order in zip(found, expected, strict=True)
    ):
        message = f"lengths must be one for each sample of each source, got {found} for {expected}."
        raise ValueError(message)
    for part in lengths:
        for bound in (int(part.array.min()), int(part.array.max())) if len(part) else ():
            check_int(bound, name="lengths")


def _first_of_window(order: LengthOrder, position: Any) -> Any:
    """Return where the window of a position starts; windows start anew with each epoch of the base order."""
    epoch = 0 if order.epoch_length is None else position // order.epoch_length * order.epoch_length
    return epoch + (position - epoch) // order.window * order.window


def _sort_window(order: LengthOrder, start: int) -> _Window:
    """Return what stands in a window: sorted by length, in shuffled batches."""
    epoch_length = order.epoch_length
    size = order.window if epoch_length is None else min(order.window, epoch_length - start % epoch_length)
    size = min(size, (MAX_INT + 1 if order.num_samples is None else order.num_samples) - start)
    index = SampleIndex(*(part.numpy() for part in index_at(order.order, torch.arange(size, device="cpu") + start)))
    place = np.argsort(_lengths_of(order.lengths, index), kind="stable")[_ranks(order, start, size)]
    slot_of = np.empty_like(place)
    slot_of[place] = np.arange(size)
    return _Window(start, SampleIndex(*(part[place] for part in index)), slot_of)


def _ranks(order: LengthOrder, start: int, size: int) -> IntArray:
    """Return which rank by length stands at each place of a window.

    The places are cut where a batch starts, at the multiples of its size, and each piece takes a stretch of the ranks
    by chance, the short ones at the ends of the window like the others.
    """
    first = -start % order.batch_size
    cuts = np.array([0, *range(first, size, order.batch_size), size])
    sizes = np.diff(cuts)
    pieces = permute(torch.arange(len(sizes), device="cpu"), len(sizes), fold_in(order.seed, "length", start)).numpy()
    begin = np.empty_like(sizes)
    begin[pieces] = np.cumsum(sizes[pieces]) - sizes[pieces]
    ranks: IntArray = np.repeat(begin - cuts[:-1], sizes) + np.arange(size)
    return ranks


def _lengths_of(lengths: Sequence[FrozenArray], index: SampleIndex) -> IntArray:
    """Return the lengths of samples, given in arrays."""
    found: IntArray = np.empty(index.idx.shape, dtype=np.int64)
    for source, part in enumerate(lengths):
        members = index.source == source
        found[members] = part.array[index.idx[members]]
    return found


def _look_up(
    order: LengthOrder, position: Any, num_parts: int, read: Callable[[_Window, Any], Iterable[Any]]
) -> list[Any]:
    """Return the parts that are read at positions' places in their windows: ints for an int, tensors for a tensor."""
    if not isinstance(position, Tensor):
        position = as_int(position)
        window = order._window_of(_first_of_window(order, position))  # noqa: SLF001 - its own
        return [int(part) for part in read(window, position - window.start)]
    if not is_concrete(position):
        message = (
            "position must be an int or a tensor on the CPU: windows can't be sorted inside torch.compile or vmap, "
            "or on an accelerator."
        )
        raise TypeError(message)
    flat = position.reshape(-1).numpy()
    starts = _first_of_window(order, flat)
    by_window = np.argsort(starts, kind="stable")
    bounds = np.flatnonzero(np.diff(starts[by_window], prepend=-1)).tolist()
    answers = [np.empty_like(flat) for _ in range(num_parts)]
    for first, behind in zip(bounds, [*bounds, len(flat)][1:], strict=True):
        members = by_window[first:behind]
        window = order._window_of(int(starts[members[0]]))  # noqa: SLF001 - its own
        for answer, part in zip(answers, read(window, flat[members] - window.start), strict=True):
            answer[members] = part
    return [torch.from_numpy(part).reshape(position.shape) for part in answers]


def padding_share(order: Order, lengths: Any, *, batch_size: AnyInt, num_batches: AnyInt | None = None) -> float:
    """Return which share of the cells of an order's batches holds padding, each as wide as its longest sample.

    Args:
        order: any order.
        lengths: of each sample, as in a `LengthOrder`.
        batch_size: samples in a batch.
        num_batches: how many, from the first on; by default all whole ones of a finite order.

    Returns:
        0..1; 0 where there is no cell.

    Raises:
        IndexError: if the order hasn't so many.
        ValueError: if `num_batches` is needed and not given, or there isn't a length for each sample.
        TypeError: if the lengths are no integers.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> lengths = [30, 10, 50, 20, 40, 60]
        >>> base = EpochOrder(length=6, seed=7, num_samples=6)
        >>> order = LengthOrder(order=base, lengths=lengths, window=6, batch_size=2, seed=4)
        >>> padding_share(base, lengths, batch_size=2), padding_share(order, lengths, batch_size=2)
        (0.25, 0.125)
    """
    batch_size = check_int(batch_size, name="batch_size", low=1)
    if num_batches is None:
        if order.num_samples is None:
            message = "num_batches must be given for an order without end, got num_batches=None."
            raise ValueError(message)
        num_batches = order.num_samples // batch_size
    num_batches = check_int(num_batches, name="num_batches")
    index = index_at(order, torch.arange(num_batches * batch_size, device="cpu"))
    frozen = _frozen_lengths(lengths)
    _check_lengths(order, frozen)
    found = _lengths_of(frozen, SampleIndex(*(part.numpy() for part in index)))
    rows = found.reshape(num_batches, batch_size)
    cells = int(rows.max(1, initial=0).sum()) * batch_size
    return 1 - int(rows.sum()) / cells if cells else 0.0
