"""Ragged rows of numbers from any container, and how they are written into a block."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Num
from torch import Tensor

from bionemo.core.checks import shown
from bionemo.core.padding.elements import as_array, check_fits, numbers_for

__all__ = [
    "Row",
    "Rows",
    "Side",
    "check_fits",
    "check_side",
    "lay_out",
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
    parts: list[Any] = []
    dtypes: set[np.dtype[Any]] = set()
    last: np.dtype[Any] | None = None
    last_kind: type | None = None
    for number, row in enumerate(list_rows(rows, name=name)):
        kind = type(row)
        if kind is list or kind is tuple:
            parts.append(row)
            if row:
                dtypes.add(_INT64)
            continue
        try:
            part = row.numpy() if kind is Tensor else as_array(row, number, name)
        except (TypeError, RuntimeError):  # not on the CPU, requires a gradient, or has a dtype NumPy doesn't have
            part = as_array(row, number, name)
        if part.ndim != 1:
            as_array(part, number, name)  # raises
        parts.append(part)
        # Most rows are like the one before, and need no lookup in the set.
        if (part.dtype is not last or kind is not last_kind) and len(part):
            last, last_kind = part.dtype, kind
            dtypes.add(last if isinstance(row, np.ndarray | Tensor) else _INT64)
    numbers = [dtype.newbyteorder("=") for dtype in dtypes if dtype.kind in "iufb"]
    widest = numbers[0] if len(numbers) == 1 else np.result_type(*numbers or (_INT64,))
    return Rows(parts, list(map(len, parts)), _WIDER.get(widest, widest))


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
    width, dtype = block.shape[1], block.dtype
    for number, (part, length) in enumerate(zip(rows.parts, rows.lengths, strict=True)):
        first = width - length if side == "left" else 0
        is_ready = type(part) is np.ndarray and part.dtype is dtype
        block[number, first : first + length] = part if is_ready else numbers_for(dtype, part, number, name)
