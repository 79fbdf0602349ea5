"""Windows of long records: an index map from the number of a window to a part of a record, and its inverse."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import attrs
import numpy as np

from bionemo.core.checks import AnyInt, IntArray, as_int, check_index, shown
from bionemo.core.fields import check_choice, check_size, to_int
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.int64 import as_int64
from bionemo.data.reading.indexed import Indexed

__all__ = ["HasSpans", "Span", "WindowRows", "Windows", "windows"]

Ending = Literal["short", "drop", "shift"]


class Span(NamedTuple):
    """A part of a record: five ints or bools, or five arrays of one shape."""

    record: Any
    """Number of the record."""
    start: Any
    """Index of the window's first element in the record."""
    stop: Any
    """Index after its last one."""
    is_first: Any
    """Whether it begins where the record does, e.g. for a token that marks the beginning."""
    is_last: Any
    """Whether it ends where the record does."""


@runtime_checkable
class HasSpans(Protocol):
    """A data set of long records that reads parts of them: `FastaFile`, `TokenFile` and `RaggedRows` do."""

    @property
    def lengths(self) -> Any:
        """Number of elements of each record."""
        ...

    def read_spans(self, numbers: Sequence[AnyInt], starts: Sequence[AnyInt], stops: Sequence[AnyInt], /) -> list[Any]:
        """Return the elements `starts[k]` to `stops[k] - 1` of each record `numbers[k]`."""
        ...


def _to_lengths(lengths: Any) -> FrozenArray:
    found = FrozenArray(as_int64(lengths.array if isinstance(lengths, FrozenArray) else lengths, name="lengths"))
    if found.array.ndim != 1 or (found.array < 0).any():
        message = f"lengths must be 0 or more, in one axis, got lengths={shown(lengths)}."
        raise ValueError(message)
    return found


@attrs.frozen(kw_only=True)
class Windows:
    """The windows that records of some lengths are cut into, numbered record by record.

    A window begins at each multiple of `stride`, up to the first one that reaches the end of its record. It takes 8
    bytes per record, whatever the number of windows.

    Laws: with a stride of at most `size`, and without `rest="drop"`, the windows of a record cover it; `windows_at` is
    the inverse of `window_at`: a window is among those at a position if and only if it holds the position.

    Args:
        lengths: number of elements of each record. An empty record has no window.
        size: elements per window, at least 1.
        stride: elements from the start of a window to that of the next one, at least 1; by default `size`.
        rest: what becomes of a last window that isn't full: "short" keeps it so, "drop" leaves it out, and "shift"
            moves it back until it is full, if its record is long enough.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a number is not an integer.

    Example:
        >>> cut = Windows(lengths=[5, 0, 3], size=3, stride=2)
        >>> [tuple(cut.window_at(number))[:3] for number in range(len(cut))]
        [(0, 0, 3), (0, 2, 5), (2, 0, 3)]
        >>> cut.windows_at(0, 2)
        range(0, 2)
    """

    lengths: FrozenArray = attrs.field(converter=_to_lengths)
    size: int = attrs.field(converter=to_int, validator=check_size)
    stride: int = attrs.field(
        converter=to_int, validator=check_size, default=attrs.Factory(lambda record: record.size, takes_self=True)
    )
    rest: Ending = attrs.field(default="short", validator=check_choice("short", "drop", "shift"))

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @cached_property
    def _firsts(self) -> IntArray:
        """Number of the first window of each record, and the number of all windows."""
        lengths = self.lengths.array
        if self.rest == "drop":
            counts = np.maximum(lengths - self.size + self.stride, 0) // self.stride
        else:
            counts = (np.maximum(lengths - self.size, 0) + self.stride - 1) // self.stride + (lengths > 0)
            counts = np.minimum(counts, (lengths + self.stride - 1) // self.stride)  # none begins after the end
        firsts: IntArray = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return firsts

    def window_at(self, number: Any, /) -> Span:
        """Return the window with a number, or the windows with some.

        Args:
            number: 0..len(self)-1: an integer, or a sequence or array of them.

        Raises:
            IndexError: if there is no such window.
            TypeError: if a number is not an integer.
        """
        numbers = as_int64([number] if np.ndim(number) == 0 else number, name="number")
        check_index(numbers, stop=len(self), name="number")
        records = np.searchsorted(self._firsts, numbers, side="right") - 1
        lengths = self.lengths.array[records]
        starts = (numbers - self._firsts[records]) * self.stride
        if self.rest == "shift":
            starts = np.minimum(starts, np.maximum(lengths - self.size, 0))
        stops = np.minimum(starts + self.size, lengths)
        found = Span(records, starts, stops, starts == 0, stops == lengths)
        return Span(*(part[0].item() for part in found)) if np.ndim(number) == 0 else found

    def windows_at(self, record: AnyInt, position: AnyInt, /) -> range:
        """Return the numbers of the windows that hold a position of a record; there may be none between two windows.

        Args:
            record: number of the record.
            position: 0-based index in it.

        Raises:
            IndexError: if there is no such record or position.
        """
        record = as_int(check_index(record, stop=len(self.lengths), name="record"))
        length = int(self.lengths.array[record])
        position = as_int(check_index(position, stop=length, name="position"))
        first, stop = self._firsts[record : record + 2].tolist()
        low = first + max(-((self.size - 1 - position) // self.stride), 0)
        high = min(first + position // self.stride + 1, stop)
        if self.rest == "shift" and first < stop:  # the last window may have been moved back
            last = self.window_at(stop - 1)
            high = stop if last.start <= position < last.stop else min(high, stop - 1)
        return range(min(low, high), high)


@attrs.frozen(repr=False)
class WindowRows(Indexed):
    """The windows of a data set of long records: what `windows` returns.

    A sample is a dict of "ids", what the data set holds there; "record" and "start", ints; and "is_first" and
    "is_last", whether the window begins or ends where its record does.
    """

    rows: Any
    windows: Windows

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def fingerprint(self) -> str | None:
        """The data set's fingerprint, and how it is cut; None if the data set has none."""
        found = getattr(self.rows, "fingerprint", None)
        cut = f"{found} {self.windows.size} {self.windows.stride} {self.windows.rest}"
        return None if found is None else hashlib.sha256(cut.encode()).hexdigest()

    def read_many(self, indices: IntArray, /) -> list[dict[str, Any]]:
        """Return the windows at indices in one axis, which are not checked."""
        found = self.windows.window_at(indices)
        parts = self.rows.read_spans(found.record, found.start, found.stop)
        columns = zip(*(part.tolist() for part in found), strict=True)
        return [
            {"ids": ids, "record": record, "start": start, "is_first": is_first, "is_last": is_last}
            for ids, (record, start, _, is_first, is_last) in zip(parts, columns, strict=True)
        ]

    def __repr__(self) -> str:
        return f"{len(self):,} windows of {self.windows.size:,} of {self.rows!r}"


def windows(rows: HasSpans, size: AnyInt, /, *, stride: AnyInt | None = None, rest: Ending = "short") -> WindowRows:
    """Return the windows of long records as a data set, of which only the windows are read.

    For a random start (jitter), make windows longer and crop them by `random_crop`, which draws from the sample's own
    generator; for a random strand, use `random_reverse_complement`.

    Args:
        rows: a `FastaFile`, `TokenFile` or `RaggedRows`, or a data set of yours with `lengths` and `read_spans`.
        size: elements per window, at least 1.
        stride: elements from the start of a window to that of the next one, at least 1; None for `size`.
        rest: what becomes of a last window that isn't full: "short", "drop" or "shift", as in `Windows`.

    Raises:
        TypeError: if the data set has no `lengths` and `read_spans`.
        ValueError: if a number is out of range.

    Example:
        >>> from bionemo.data.sources import ragged_rows
        >>> genome = ragged_rows([list(range(10)), list(range(50, 53))], dtype=np.int64)
        >>> [window["ids"].tolist() for window in windows(genome, 4)]
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [50, 51, 52]]
    """
    if not isinstance(rows, HasSpans):
        message = f"rows must have lengths and read_spans, as a FastaFile has, got {shown(rows)}."  # type: ignore[unreachable]
        raise TypeError(message)
    return WindowRows(
        rows, Windows(lengths=rows.lengths, size=size, stride=size if stride is None else stride, rest=rest)
    )
