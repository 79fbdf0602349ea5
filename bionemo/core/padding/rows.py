"""Ragged rows of numbers from any container, and how they are written into a block."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Num
from torch import Tensor

from bionemo.core.checks import AnyInt, shown
from bionemo.core.padding.elements import as_array, check_fits, numbers_for, read_lists

__all__ = [
    "Row",
    "Rows",
    "Side",
    "check_fits",
    "check_side",
    "lay_out",
    "lay_out_flat",
    "list_rows",
    "numpy_dtype",
    "read_rows",
    "torch_dtype",
]

Row: TypeAlias = Sequence[Any] | npt.NDArray[Any] | Num[Tensor, " _"]
"""The numbers of one row, in any container."""

Side: TypeAlias = Literal["left", "right"]
"""One end of a row."""

_INT64: Final = np.dtype(np.int64)
_READY: Final = frozenset({list, tuple, np.ndarray})
"""Rows that are laid out as they are."""
_WIDER: Final[dict[np.dtype[Any], np.dtype[Any]]] = {
    np.dtype(np.uint16): np.dtype(np.int32),
    np.dtype(np.uint32): _INT64,
    np.dtype(np.uint64): _INT64,
}
"""For unsigned dtypes that torch can store but hardly compute with, the signed dtype that holds their values."""


class Rows(NamedTuple):
    """Ragged rows, ready to be written into a block by `lay_out`."""

    parts: list[Any]
    """The rows: one-dimensional arrays, or lists and tuples, which are kept unchanged so that they are copied once."""
    lengths: list[int]
    """Number of elements of each row."""
    dtype: np.dtype[Any]
    """Widest dtype of the non-empty rows, where sequences count as int64; int64 if all rows are empty."""
    is_uniform: bool
    """Whether all rows are arrays of this dtype."""


def numpy_dtype(dtype: torch.dtype, /) -> np.dtype[Any]:
    """Return the NumPy dtype that corresponds to a torch dtype.

    Raises:
        TypeError: if `dtype` is not a torch dtype, or NumPy has no such dtype.

    Example:
        >>> numpy_dtype(torch.int16)
        dtype('int16')
    """
    try:
        return torch.empty(0, dtype=dtype, device="cpu").numpy().dtype
    except TypeError as error:
        message = f"dtype must be a torch.dtype that NumPy has too, got dtype={dtype}. Convert the batch afterwards."
        raise TypeError(message) from error


@cache
def torch_dtype(dtype: np.dtype[Any], /) -> torch.dtype:
    """Return the torch dtype that corresponds to a NumPy dtype.

    Example:
        >>> torch_dtype(np.dtype(np.int16))
        torch.int16
    """
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype


def check_side(side: str, /, *, name: str) -> None:
    """Check that a side is "left" or "right".

    Raises:
        ValueError: if it is neither.

    Example:
        >>> check_side("left", name="padding_side")
    """
    if side not in {"left", "right"}:
        message = f'{name} must be "left" or "right", got {name}={side!r}.'
        raise ValueError(message)


def list_rows(rows: Iterable[Any], /, *, name: str) -> list[Any]:
    """Return rows as a list.

    Raises:
        TypeError: if they are one number or string.

    Example:
        >>> list_rows(iter([[5, 6], [7]]), name="token_ids")
        [[5, 6], [7]]
    """
    if isinstance(rows, str | bytes) or getattr(rows, "ndim", 1) == 0:
        message = f"{name} must be a sequence of rows, got {shown(rows)} of type {type(rows).__name__}."
        raise TypeError(message)
    return list(rows)


def read_rows(rows: Iterable[Any], /, *, name: str) -> Rows:
    """Return rows in the form that `lay_out` takes, with their lengths and common dtype.

    Args:
        rows: sequences of numbers, arrays and tensors, which may be mixed.
        name: name of the argument in errors.

    Raises:
        ValueError: if a row isn't one-dimensional.
        TypeError: if a row is not a sequence of numbers, or has a dtype that NumPy doesn't have.

    Example:
        >>> read_rows([[5, 6], np.array([7], dtype=np.int8)], name="token_ids").lengths
        [2, 1]
    """
    rows = list_rows(rows, name=name)
    kinds = {*map(type, rows)}
    parts = _as_arrays(rows) if kinds == {Tensor} else rows if kinds <= _READY else None
    if parts is None:
        parts = [_read_row(row, number, name) for number, row in enumerate(rows)]
    arrays = [part for part in parts if type(part) is np.ndarray]
    if any([array.ndim != 1 for array in arrays]):  # noqa: C419 - faster
        for number, row in enumerate(rows):
            as_array(row, number, name)  # raises
    dtypes = {array.dtype for array in arrays}
    is_uniform = len(dtypes) == 1 and len(arrays) == len(parts)
    if len(dtypes) > 1 or not any(map(len, arrays)):
        dtypes = {array.dtype for array in arrays if len(array)}
    if len(arrays) < len(parts) and any(type(part) is not np.ndarray and part for part in parts):
        dtypes.add(_INT64)
    numbers = [dtype.newbyteorder("=") for dtype in dtypes if dtype.kind in "iufb"]
    widest = numbers[0] if len(numbers) == 1 else np.result_type(*numbers or (_INT64,))
    widest = _WIDER.get(widest, widest)
    return Rows(parts, list(map(len, parts)), widest, is_uniform and dtypes == {widest})


def _as_arrays(tensors: list[Tensor]) -> list[Any] | None:
    """Return tensors as arrays without a copy; None if one needs more, e.g. because it requires a gradient."""
    try:
        return [tensor.numpy() for tensor in tensors]
    except (TypeError, RuntimeError):
        return None


def _read_row(row: Any, number: int, name: str) -> Any:
    """Return a row as a one-dimensional array, or unchanged if it is a list or tuple."""
    if type(row) in _READY:
        return row
    found = as_array(row, number, name)
    is_sequence = not isinstance(row, np.ndarray | Tensor) and found.dtype.kind in "iu"
    return found.astype(_INT64) if is_sequence and np.can_cast(found.dtype, _INT64) else found


def lay_out(rows: Rows, block: npt.NDArray[Any], /, *, side: Side, name: str) -> None:
    """Write rows into a block, aligned left, or aligned right if the padding is on the left.

    Args:
        rows: the result of `read_rows`.
        block: two-dimensional, at least as wide as the longest row. Its padding elements are not written.
        side: end of the rows that is padded.
        name: name of the rows' argument in errors.

    Raises:
        TypeError: if a row holds another kind of numbers than the block, e.g. floats for a block of integers.
        ValueError: if a number doesn't fit the block's dtype.

    Example:
        >>> block = np.zeros((2, 3), dtype=np.int64)
        >>> lay_out(read_rows([[5, 6], [7]], name="token_ids"), block, side="left", name="token_ids")
        >>> block
        array([[0, 5, 6],
               [0, 0, 7]])
    """
    width, is_left = block.shape[1], side == "left"
    is_ready = rows.is_uniform and rows.dtype == block.dtype
    parts = rows.parts if is_ready else _numbers_for(block.dtype, rows.parts, name)
    for number, (part, length) in enumerate(zip(parts, rows.lengths, strict=True)):
        first = width - length if is_left else 0
        block[number, first : first + length] = part


def lay_out_flat(rows: Rows, flat: npt.NDArray[Any], starts: Iterable[AnyInt], /, *, name: str) -> None:
    """Write rows one after the other into one axis.

    Args:
        rows: the result of `read_rows`.
        flat: one-axis array. Its elements between the rows are not written.
        starts: where each row begins.
        name: name of the rows' argument in errors.

    Raises:
        TypeError: as `lay_out`.
        ValueError: as `lay_out`.

    Example:
        >>> flat = np.zeros(4, dtype=np.int64)
        >>> lay_out_flat(read_rows([[5, 6], [7]], name="token_ids"), flat, [0, 3], name="token_ids")
        >>> flat
        array([5, 6, 0, 7])
    """
    is_ready = rows.is_uniform and rows.dtype == flat.dtype
    if is_ready and sum(rows.lengths) == len(flat):  # there is nothing between the rows
        np.concatenate(rows.parts, out=flat)
        return
    parts = rows.parts if is_ready else _numbers_for(flat.dtype, rows.parts, name)
    for part, length, start in zip(parts, rows.lengths, starts, strict=True):
        flat[start : start + length] = part


def _numbers_for(dtype: np.dtype[Any], parts: list[Any], name: str) -> Iterator[npt.NDArray[Any]]:
    """Yield rows as arrays that can be assigned to a block of a dtype."""
    lists = [part for part in parts if type(part) is not np.ndarray]
    arrays = iter(read_lists(lists, dtype) or lists)
    for number, part in enumerate(parts):
        yield numbers_for(dtype, part if type(part) is np.ndarray else next(arrays), number, name)
