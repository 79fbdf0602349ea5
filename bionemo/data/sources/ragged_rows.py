"""Rows of any length in two arrays, instead of an object per row."""

from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from typing import Any, Final, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.checked import checked
from bionemo.core.checks import IntArray, check_index, shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.int64 import as_int64, to_array
from bionemo.core.padding.rows import lay_out_flat, read_rows
from bionemo.data.reading.indexed import Indexed

__all__ = ["IntDType", "RaggedRows", "check_int_dtype", "check_spans", "copy_spans", "flat_parts", "ragged_rows"]

IntDType: TypeAlias = np.dtype[Any] | type | str
"""An integer dtype of NumPy, or its name."""

_PART: Final = 1024
"""Rows that are laid out at once."""


def _frozen(values: Any, name: str) -> FrozenArray:
    if isinstance(values, FrozenArray):
        return values
    array = to_array(values, name=name)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:  # noqa: PLR2004 - bytes
        message = (
            f"{name} must hold real numbers of at most 64 bits, got {name}={shown(values)} of dtype {array.dtype}."
        )
        raise TypeError(message)
    return FrozenArray(array)


def _to_flat(flat: Any) -> FrozenArray:
    return _frozen(flat, "flat")


def _to_offsets(offsets: Any) -> FrozenArray:
    return _frozen(offsets, "offsets")


@attrs.frozen(repr=False)
class RaggedRows(Indexed):
    """Rows of numbers in one flat array: a data set for rows in memory.

    A list of a million arrays has as many objects, whose reference counts each worker process changes, and thereby
    copies the memory that it got from the main process. Two arrays stay shared.

    Args:
        flat: the numbers of all rows, one after the other.
        offsets: where each row begins in it, and where the last one ends: one more than there are rows.

    Raises:
        ValueError: if an array hasn't one axis, or the offsets don't ascend from 0 to the number of elements.
        TypeError: if an array has another dtype than one of real numbers of at most 64 bits.

    Example:
        >>> rows = RaggedRows(np.array([5, 6, 7, 8]), [0, 3, 3, 4])
        >>> len(rows), rows[0], rows[1]
        (3, array([5, 6, 7]), array([], dtype=int64))
    """

    flat: FrozenArray = attrs.field(converter=_to_flat)
    offsets: FrozenArray = attrs.field(converter=_to_offsets)

    @flat.validator
    def _check_flat(self, _: "attrs.Attribute[FrozenArray]", flat: FrozenArray) -> None:
        if flat.array.ndim != 1:
            message = f"flat must have one axis, got shape {flat.array.shape}."
            raise ValueError(message)

    @offsets.validator
    def _check_offsets(self, _: "attrs.Attribute[FrozenArray]", offsets: FrozenArray) -> None:
        array = offsets.array
        if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
            message = f"offsets must be integers in one axis, got {array.dtype} of shape {array.shape}."
            raise ValueError(message)
        if array[0] != 0 or array[-1] != len(self.flat) or (array[1:] < array[:-1]).any():
            message = (
                f"offsets must ascend from 0 to the number of elements, got {array[0]}..{array[-1]} for "
                f"{len(self.flat)} elements."
            )
            raise ValueError(message)

    @property
    def lengths(self) -> IntArray:
        """Number of elements of each row: int64."""
        offsets = self.offsets.array.astype(np.int64, copy=False)
        return offsets[1:] - offsets[:-1]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of both arrays, which identifies the data."""
        return f"{self.flat.digest}/{self.offsets.digest}"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read_many(self, indices: IntArray, /) -> list[NDArray[Any]]:
        """Return copies of the rows at indices in one axis, which are not checked."""
        offsets = self.offsets.array
        return copy_spans(self.flat.array, offsets[indices], offsets[indices + 1])

    def read_spans(self, numbers: Any, starts: Any, stops: Any, /) -> list[NDArray[Any]]:
        """Return copies of the elements `starts[k]` to `stops[k] - 1` of each row `numbers[k]`.

        Raises:
            IndexError: if there is no such row or element.
        """
        rows, starts, stops = check_spans(self.lengths, numbers, starts, stops)
        begins = self.offsets.array[rows]
        return copy_spans(self.flat.array, begins + starts, begins + stops)

    def __repr__(self) -> str:
        return f"{len(self):,} rows of {self.flat.array.dtype}, {len(self.flat):,} elements"


def check_int_dtype(dtype: IntDType, /) -> np.dtype[Any]:
    """Return an integer dtype of NumPy.

    Raises:
        TypeError: if it is something else.

    Example:
        >>> check_int_dtype("uint8")
        dtype('uint8')
    """
    try:
        kind = np.dtype(dtype if isinstance(dtype, str | type | np.dtype) else object)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.kind not in "iu":
        message = f"dtype must be an integer dtype of NumPy, got dtype={shown(dtype)}."
        raise TypeError(message)
    return kind


def check_spans(lengths: Any, numbers: Any, starts: Any, stops: Any, /) -> tuple[IntArray, IntArray, IntArray]:
    """Return rows and parts of them as int64 arrays.

    Raises:
        IndexError: if a part isn't within its row, or there is no such row.
        TypeError: if one isn't an integer.

    Example:
        >>> check_spans(np.array([5, 3]), [1], [0], [2])
        (array([1]), array([0]), array([2]))
    """
    rows, firsts, lasts = (
        as_int64(part, name=name) for name, part in (("numbers", numbers), ("starts", starts), ("stops", stops))
    )
    check_index(rows, stop=len(lengths), name="numbers")
    is_wrong = (firsts < 0) | (firsts > lasts) | (lasts > lengths[rows])
    if is_wrong.any():
        at = int(np.argmax(is_wrong))
        message = (
            f"starts and stops must be within a row, got {firsts[at]}..{lasts[at]} of row {rows[at]}, which has "
            f"{lengths[rows[at]]} elements."
        )
        raise IndexError(message)
    return rows, firsts, lasts


def copy_spans(flat: NDArray[Any], starts: IntArray, stops: IntArray, /) -> list[NDArray[Any]]:
    """Return copies of parts of an array.

    Example:
        >>> copy_spans(np.arange(9), np.array([2, 5]), np.array([4, 5]))
        [array([2, 3]), array([], dtype=int64)]
    """
    return [flat[start:stop].copy() for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


@checked
def ragged_rows(rows: Iterable[Any], /, *, dtype: IntDType) -> RaggedRows:
    """Return rows in memory as one data set.

    Law: row `k` equals the k-th one that was given.

    Args:
        rows: sequences of ints, arrays and tensors, in any iterable, e.g. a `FastaFile`.
        dtype: integer dtype of the elements.

    Raises:
        ValueError: if a row hasn't one axis, or a number doesn't fit the dtype; a note says in which rows.
        TypeError: if a row doesn't hold integers.

    Example:
        >>> ragged_rows([[5, 6, 7], [], [8]], dtype=np.uint8)[0]
        array([5, 6, 7], dtype=uint8)
    """
    flats, lengths = [np.empty(0, dtype=check_int_dtype(dtype))], [0]
    for flat, part in flat_parts(rows, dtype):
        flats.append(flat)
        lengths += part
    return RaggedRows(np.concatenate(flats), np.cumsum(lengths))


def flat_parts(rows: Iterable[Any], dtype: IntDType, /) -> Iterable[tuple[NDArray[Any], list[int]]]:
    """Yield the elements of some rows at a time in one axis, and the rows' lengths.

    Example:
        >>> list(flat_parts([[5, 6], [7]], np.int8))
        [(array([5, 6, 7], dtype=int8), [2, 1])]
    """
    kind, first = check_int_dtype(dtype), 0
    try:
        iterator = iter(rows)
    except TypeError as error:
        message = f"rows must be an iterable of rows, got {shown(rows)} of type {type(rows).__name__}."
        raise TypeError(message) from error
    while part := list(islice(iterator, _PART)):
        try:
            found = read_rows(part, name="rows")
            flat = np.empty(sum(found.lengths), dtype=kind)
            lay_out_flat(found, flat, np.cumsum([0, *found.lengths[:-1]]), name="rows")
        except Exception as error:
            error.add_note(f"in rows {first}..{first + len(part) - 1}, counted from the first of them")
            raise
        yield flat, found.lengths
        first += len(part)
