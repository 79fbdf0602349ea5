"""Integers from any container as one int64 array."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from operator import countOf
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import check_memory
from bionemo.core.checks import MAX_INT, IntArray, check_dense, check_integer, shown

__all__ = ["as_axis", "as_int64", "as_integers", "check_signed", "listed", "to_array"]

_SIGNED: Final = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def as_int64(values: Any, /, *, name: str) -> IntArray:
    """Return integers as an int64 array of the same shape.

    Args:
        values: integers in a range, sequence, array, tensor or any other iterable.
        name: name of the integers in the error.

    Raises:
        TypeError: if an element is not an integer; a bool is not.
        ValueError: if one doesn't fit int64.

    Example:
        >>> as_int64([2**63], name="lengths")
        Traceback (most recent call last):
        ValueError: lengths must be below 2**63, got lengths=[9223372036854775808].
    """
    found = as_integers(values, name=name)
    if found.dtype.kind == "O" or (found.dtype == np.uint64 and found.size and found.max() > MAX_INT):
        message = f"{name} must be below 2**63, got {name}={shown(values)}."
        raise ValueError(message)
    return found.astype(np.int64, copy=False)


def listed(values: Any, /, *, name: str) -> list[Any]:
    """Return the elements of a sequence, an array, a tensor or another iterable that has an order.

    Raises:
        TypeError: if it isn't one; a mapping, a set and a string are not.

    Example:
        >>> listed(np.array([2, 1]), name="weights")
        [2, 1]
    """
    if type(values) is list:
        return list(values)
    if isinstance(values, Tensor):
        check_dense(values, name=name)
    if isinstance(values, Tensor | np.ndarray):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping | AbstractSet) or not isinstance(values, Iterable):
        message = f"{name} must be a sequence, got {name}={shown(values)} of type {type(values).__name__}."
        raise TypeError(message)
    return list(values)


def as_axis(values: Any, /, *, name: str) -> NDArray[Any]:
    """Return integers in one axis as an array, as `as_integers`.

    Raises:
        TypeError: if an element is not an integer.
        ValueError: if there are more axes, or none.

    Example:
        >>> as_axis([3, 2], name="complement")
        array([3, 2])
    """
    found = as_integers(values, name=name)
    if found.ndim != 1:
        message = f"{name} must have one axis, got shape {found.shape}."
        raise ValueError(message)
    return found


def check_signed(tensor: Tensor, /, *, name: str) -> None:
    """Check that a tensor is of integers that torch computes with; the wider unsigned ones are for storage.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> import torch
        >>> check_signed(torch.arange(3), name="ids")
    """
    if tensor.dtype not in _SIGNED:
        message = f"{name} must be of a signed or 8-bit integer dtype, got dtype={tensor.dtype}. Convert it by .long()."
        raise TypeError(message)


def to_array(values: Any, /, *, name: str) -> NDArray[Any]:
    """Return a tensor, or anything that NumPy takes, as an array, of objects if NumPy lacks the dtype.

    Raises:
        TypeError: if a tensor is sparse, nested or quantized, or rows have several lengths.

    Example:
        >>> import torch
        >>> to_array(torch.ones(2, dtype=torch.bfloat16), name="lengths")
        array([1.0, 1.0], dtype=object)
    """
    if not isinstance(values, Tensor):
        try:
            return np.asarray(values)
        except (ValueError, TypeError, RuntimeError) as error:  # rows of several lengths, or tensors that aren't dense
            message = f"{name} must have axes of one length, got {name}={shown(values)}."
            raise TypeError(message) from error
    check_dense(values, name=name)
    on_host = values.detach().cpu()
    try:
        found: NDArray[Any] = on_host.numpy()
    except TypeError:  # e.g. bfloat16
        return np.array(on_host.tolist(), dtype=np.object_)
    return found


def as_integers(values: Any, /, *, name: str) -> NDArray[Any]:
    """Return integers as an array of the same shape.

    Args:
        values: integers in a range, sequence, array, tensor or any other iterable.
        name: name of the integers in the error.

    Returns:
        An array of an integer dtype, or of Python ints if no integer dtype holds them all.

    Raises:
        TypeError: if an element is not an integer; a bool is not.
        ValueError: if they are too many for the memory.

    Example:
        >>> as_integers([[3, 2], [1, 0]], name="positions")
        array([[3, 2],
               [1, 0]])
    """
    if isinstance(values, range) and all(abs(end) <= MAX_INT for end in (*values[:1], *values[-1:])):
        check_memory(8 * len(values), name=f"the number of {name}", value=len(values))
        step = values.step if len(values) > 1 else 0  # it may not fit int64
        return np.arange(len(values), dtype=np.int64) * step + (values.start if values else 0)
    if isinstance(values, Tensor):
        values = to_array(values, name=name)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        check_dense(values, name=name)
        return values
    if isinstance(values, list | tuple) and countOf(map(type, values), int) == len(values):
        with suppress(OverflowError):  # beyond int64
            return np.fromiter(values, np.int64, len(values))
    is_array = hasattr(values, "__array__") or not isinstance(values, Iterable)
    try:
        elements = np.array(values if is_array else list(values), dtype=np.object_)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of several lengths, or tensors that aren't dense
        message = f"{name} must be integers in axes of one length, got {name}={shown(values)}."
        raise TypeError(message) from error
    # One check per type, not per element: some arguments have 100,000 elements, in every batch.
    for kind in set(map(type, elements.flat)):
        check_integer(next(element for element in elements.flat if type(element) is kind), name=name)
    array = np.array(list(map(int, elements.flat))).reshape(elements.shape)
    # NumPy turns ints beyond int64, next to smaller ones, into floats, which are not exact.
    return array if array.dtype.kind in "iu" else elements if elements.size else array.astype(np.int64)
