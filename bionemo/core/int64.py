"""Integers from any container as one int64 array."""

from typing import Any

import numpy as np

from bionemo.core.arrays import as_integers
from bionemo.core.checks import MAX_INT, IntArray, shown

__all__ = ["as_int64"]


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
