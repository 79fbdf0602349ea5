"""The numbers of one row, from any container, checked against the dtype of a block."""

import marshal
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bionemo.core.checks import AnyFloat, as_int, check_dense, shown

__all__ = ["as_array", "check_fits", "check_row", "numbers_for", "read_lists"]

_WRITTEN: Final[dict[str, tuple[bytes, np.dtype[Any]]]] = {
    "i": (b"i", np.dtype("<i4")),
    "u": (b"i", np.dtype("<i4")),
    "f": (b"g", np.dtype("<f8")),
}
"""How `marshal` writes a number for a block, by the block's dtype kind: the byte of its type, and its value."""
_HEADER: Final = 5
"""Number of bytes that `marshal` writes before the elements of a list or tuple: its type and its length."""
_ARRAYS: Final = (np.ndarray, Tensor)
_TAKES: Final = {"i": "iu", "u": "iu", "f": "iuf", "b": "b"}
"""Dtype kinds of rows that a block accepts, by its own dtype kind."""


def check_fits(value: AnyFloat, dtype: np.dtype[Any], /, *, name: str) -> None:
    """Check that a number is in the range of an integer dtype; other dtypes are not checked.

    Raises:
        ValueError: if it is out of range.

    Example:
        >>> check_fits(127, np.dtype(np.int8), name="padding_value")
    """
    if dtype.kind not in "iu":
        return
    low, high = _limits(dtype)
    if not low <= value <= high:
        message = f"{name} must fit {dtype} ({low}..{high}), got {shown(as_int(value))}. Choose a wider dtype."
        raise ValueError(message)


@cache
def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and the largest number of an integer dtype."""
    limits = np.iinfo(dtype)
    return limits.min, limits.max


def check_row(row: object, /, *, name: str) -> None:
    """Check that a row can be cut: that it is a sequence, an array or a tensor.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> check_row("MKTA", name="row")
    """
    kind: Any = type(row)
    if issubclass(kind, _ARRAYS):
        check_dense(row, name=name)  # type: ignore[arg-type]
        is_cut = row.ndim > 0  # type: ignore[attr-defined]
    else:
        is_keyed = isinstance(row, Mapping | deque | np.void)  # or takes no slices
        is_cut = hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not is_keyed
    if not is_cut:
        message = f"{name} must be a sequence, an array or a tensor, got a {type(row).__name__}. Convert it by list()."
        raise TypeError(message)


def as_array(row: Any, number: int, name: str, /) -> npt.NDArray[Any]:
    """Return a row as a one-dimensional array, of int64 if it is an empty sequence.

    Args:
        row: numbers in any container.
        number: index of the row, for errors.
        name: name of the rows' argument, for errors.

    Raises:
        ValueError: if it isn't one-dimensional.
        TypeError: if it is no sequence of numbers, holds bools among other numbers, or has a dtype that NumPy lacks.

    Example:
        >>> as_array(range(3), 0, "token_ids")
        array([0, 1, 2])
    """
    if isinstance(row, Tensor):
        check_dense(row, name=f"row {number} of {name}")
    try:
        found: npt.NDArray[Any] = row.detach().cpu().numpy() if isinstance(row, Tensor) else np.asarray(row)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # bfloat16, rows or nested tensors within
        message = f"each row of {name} must be a sequence of numbers in a dtype of NumPy, got row {number}: {error}"
        raise TypeError(message) from error
    if found.ndim != 1:
        message = (
            f"each row of {name} must be one-dimensional, got shape {found.shape} in row {number}, "
            f"an object of type {type(row).__name__}. Pass a sequence of numbers for each row."
        )
        raise ValueError(message)
    if isinstance(row, np.ndarray | Tensor):
        return found
    if found.dtype.kind in "iuf" and not hasattr(row, "__array__") and _has_bool(row):
        message = (
            f"each row of {name} must hold numbers of one kind, got bools among others in row {number}. Use int()."
        )
        raise TypeError(message)
    return found if found.size else found.astype(np.int64)


def numbers_for(dtype: np.dtype[Any], part: Any, number: int, name: str, /) -> npt.NDArray[Any]:
    """Return a row as an array that can be assigned to a block of a dtype; wider floats are rounded to it.

    Args:
        dtype: dtype of the block.
        part: a one-dimensional array, a list or a tuple.
        number: index of the row, for errors.
        name: name of the rows' argument, for errors.

    Raises:
        TypeError: if the row holds another kind of numbers than the block, e.g. floats for a block of integers.
        ValueError: if a number doesn't fit the dtype, or the row isn't one-dimensional.

    Example:
        >>> numbers_for(np.dtype(np.int8), [5, 6], 0, "token_ids")
        array([5, 6], dtype=int32)
    """
    found = part if isinstance(part, np.ndarray) else _read_list(part, dtype, number, name)
    if found.dtype.kind not in _TAKES[dtype.kind]:
        wanted = f"integers that fit {dtype}" if dtype.kind in "iu" else f"numbers that {dtype} holds"
        message = f"each row of {name} must hold {wanted}, got dtype {found.dtype} in row {number}."
        raise TypeError(message)
    if dtype.kind in "iu" and len(found) and not np.can_cast(found.dtype, dtype):
        for bound in (found.min(), found.max()):
            check_fits(int(bound), dtype, name=f"row {number} of {name}")
    if dtype.kind == "f" and len(found) and not np.can_cast(found.dtype, dtype):
        with np.errstate(over="ignore"):
            narrow = found.astype(dtype)
        if (np.isinf(narrow) & np.isfinite(found)).any():
            message = f"row {number} of {name} must fit {dtype}, got {found[np.isinf(narrow)][0]}."
            raise ValueError(message)
        return narrow
    return found


def _read_list(row: list[Any] | tuple[Any, ...], dtype: np.dtype[Any], number: int, name: str) -> npt.NDArray[Any]:
    """Return a list or tuple of numbers as an array."""
    if not row:
        return np.empty(0, dtype=dtype)
    if (found := read_lists([row], dtype)) is not None:
        return found[0]
    if dtype.kind in "iu":  # NumPy's integers, or beyond int32: NumPy would make floats of uint64 among others
        try:
            integers = np.frombuffer(array("q", row), dtype=np.int64)
        except OverflowError as error:
            message = f"row {number} of {name} must fit {dtype}, got {shown(max(row, key=abs))}."
            raise ValueError(message) from error
        except TypeError:
            pass  # other numbers than integers: as_array finds their dtype, for the error
        else:
            if not _has_bool(row):
                return integers
    return as_array(row, number, name)


def read_lists(rows: list[Any], dtype: np.dtype[Any], /) -> list[npt.NDArray[Any]] | None:
    """Return lists and tuples as arrays, if they hold nothing but the Python ints or floats of a block of a dtype.

    Python's `marshal` writes each number as its type and value, at C speed: so no bool is read as an integer, which a
    second pass over the elements would have to find.

    Args:
        rows: lists and tuples.
        dtype: dtype of the block.

    Returns:
        An array of int32 or float64 for each row; None if there is any other element, or an int beyond int32.

    Example:
        >>> read_lists([[5, 6], (7,)], np.dtype(np.int64))
        [array([5, 6], dtype=int32), array([7], dtype=int32)]
        >>> read_lists([[5, True]], np.dtype(np.int64))
    """
    if dtype.kind not in _WRITTEN:
        return None
    try:
        written = marshal.dumps(rows, 2)  # a version that writes every element in full
    except ValueError:  # of another type than Python's own
        return None
    kind, value = _WRITTEN[dtype.kind]
    size = 1 + value.itemsize
    found = []
    stop = _HEADER
    for row in rows:
        start, stop = stop + _HEADER, stop + _HEADER + size * len(row)
        if written[start:stop:size] != kind * len(row):
            return None
        values: npt.NDArray[Any] = np.empty(0, value)
        if row:
            values = np.ndarray((len(row),), value, buffer=written, offset=start + 1, strides=(size,))
        found.append(values)
    return found


def _has_bool(row: Iterable[Any]) -> bool:
    """Return whether an element is a bool: NumPy and `array.array` take bools among other numbers for 0 and 1."""
    kinds = set(map(type, row))
    if not kinds.isdisjoint((bool, np.bool_)):
        return True
    is_nested = any(issubclass(kind, np.ndarray | Tensor) for kind in kinds)
    return is_nested and any(getattr(element, "dtype", None) in (torch.bool, np.bool_) for element in row)
