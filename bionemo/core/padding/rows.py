"""Ragged rows of numbers from any container, and how they are written into a block."""

from array import array
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Num
from torch import Tensor

from bionemo.core.checks import AnyFloat

__all__ = ["Row", "Rows", "Side", "check_fits", "check_side", "lay_out", "numpy_dtype", "read_rows", "torch_dtype"]

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

_FAST: Final = {"i": "q", "u": "q", "f": "d"}
"""Type code of the `array.array` that reads a list in one pass, by the dtype kind of the block."""
_TAKES: Final = {"i": "iu", "u": "iu", "f": "iuf", "b": "b"}
"""Dtype kinds of rows that a block accepts, by its own dtype kind."""


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


def check_fits(value: AnyFloat, dtype: np.dtype[Any], /, *, name: str) -> None:
    """Check that a number is in the range of an integer dtype; other dtypes are not checked.

    Raises:
        ValueError: if it is out of range.

    Example:
        >>> check_fits(127, np.dtype(np.int8), name="padding_value")
    """
    if dtype.kind not in "iu":
        return
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        message = f"{name} must fit {dtype} ({limits.min}..{limits.max}), got {value}. Choose a wider dtype."
        raise ValueError(message)


def read_rows(rows: Sequence[Any], /, *, name: str) -> Rows:
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
    for number, row in enumerate(rows):
        kind = type(row)
        if kind is list or kind is tuple:
            parts.append(row)
            if row:
                dtypes.add(_INT64)
            continue
        try:
            part = row.numpy() if kind is Tensor else _as_array(row, number, name)
        except (TypeError, RuntimeError):  # not on the CPU, requires a gradient, or has a dtype NumPy doesn't have
            part = _as_array(row, number, name)
        if part.ndim != 1:
            raise _not_one_dimensional(part.shape, number, name)
        parts.append(part)
        # Most rows are like the one before, and need no lookup in the set.
        if (part.dtype is not last or kind is not last_kind) and len(part):
            last, last_kind = part.dtype, kind
            dtypes.add(last if isinstance(row, np.ndarray | Tensor) else _INT64)
    numbers = [dtype.newbyteorder("=") for dtype in dtypes if dtype.kind in "iufb"]
    widest = numbers[0] if len(numbers) == 1 else np.result_type(*numbers or (_INT64,))
    return Rows(parts, list(map(len, parts)), _WIDER.get(widest, widest))


def _not_one_dimensional(shape: tuple[int, ...], number: int, name: str) -> ValueError:
    return ValueError(
        f"each row of {name} must be one-dimensional, got shape {shape} in row {number}. "
        "Pass a sequence of numbers for each row."
    )


def _as_array(row: Any, number: int, name: str) -> npt.NDArray[Any]:
    """Return a row as an array, of int64 if it is an empty sequence."""
    try:
        found: npt.NDArray[Any] = row.detach().cpu().numpy() if isinstance(row, Tensor) else np.asarray(row)
    except (TypeError, ValueError, OverflowError) as error:  # bfloat16, rows within a row
        message = f"each row of {name} must be a sequence of numbers in a dtype of NumPy, got row {number}: {error}"
        raise TypeError(message) from error
    return found if found.size or isinstance(row, np.ndarray | Tensor) else found.astype(np.int64)


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
        block[number, first : first + length] = part if is_ready else _numbers(part, dtype, number, name)


def _numbers(part: Any, dtype: np.dtype[Any], number: int, name: str) -> Any:
    """Return a row as an array that can be assigned to a block of a dtype; wider floats are rounded to it."""
    found = part if isinstance(part, np.ndarray) else _read_list(part, dtype, number, name)
    if found.ndim != 1:
        raise _not_one_dimensional(found.shape, number, name)
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
    """Return a list or tuple of numbers as an array, fast if they are of the kind that a block of a dtype holds."""
    if not row:
        return np.empty(0, dtype=dtype)
    kind = dtype.kind
    if kind in _FAST and type(row[0]) is not bool:
        try:
            return np.frombuffer(array(_FAST[kind], row), dtype=_FAST[kind])
        except OverflowError as error:
            message = f"row {number} of {name} must fit {dtype}, got {max(row, key=abs)}."
            raise ValueError(message) from error
        except TypeError:
            pass  # other numbers than the block's: NumPy finds their dtype, for the error
    return _as_array(row, number, name)
