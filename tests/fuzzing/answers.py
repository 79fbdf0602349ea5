"""Whether two answers are equal, to the bit."""

import array
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor


def are_equal(first: Any, second: Any) -> bool:  # noqa: PLR0911 - one per kind
    """Return whether two answers are equal; objects whose contents are unknown are if they have the same type."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return are_tensors_equal(first, second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if first.dtype.hasobject:
            return first.shape == second.shape and repr(first.tolist()) == repr(second.tolist())
        return first.dtype.newbyteorder("=") == second.dtype.newbyteorder("=") and np.array_equal(
            first, second, equal_nan=first.dtype.kind in "fc"
        )
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return list(first) == list(second) and all(are_equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(are_equal, first, second))
    if isinstance(first, str | int | float | bool | bytes | None):
        return first == second or (first != first and second != second)  # noqa: PLR0124 - NaN
    if isinstance(first, Sequence | array.array | np.ndarray) and isinstance(second, list | tuple):
        return are_equal(list(first), list(second))
    if type(first) is not type(second):
        return False
    if attrs.has(type(first)) and type(first).__eq__ is not object.__eq__:
        return all(
            are_equal(getattr(first, field.name), getattr(second, field.name)) for field in attrs.fields(type(first))
        )
    return True


def are_tensors_equal(first: Tensor, second: Tensor) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    first, second = (part.detach().to_dense() if part.is_sparse else part.detach() for part in (first, second))
    return bool(torch.allclose(first, second, rtol=0, atol=0, equal_nan=True))
