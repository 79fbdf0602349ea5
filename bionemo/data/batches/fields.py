"""Fields of samples, and how their values of one batch are read and checked."""

from itertools import chain
from math import prod
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.checks import check_int, shown
from bionemo.core.fields import Documented, to_int
from bionemo.core.padding.elements import check_row
from bionemo.core.padding.rows import Rows, lay_out, numpy_dtype, read_rows

__all__ = ["ObjectField", "RaggedField", "ScalarField", "read_field"]


def _plain(value: Any) -> Any:
    """Return a NumPy number as a Python number, and anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def _sizes(shape: Any) -> Any:
    return tuple(map(to_int, shape)) if isinstance(shape, tuple | list) else shape


def _check_shape(_: object, __: "attrs.Attribute[Any]", shape: Any) -> None:
    if not isinstance(shape, tuple):
        message = f"shape must be a tuple of sizes, got shape={shown(shape)}. For a vector of 3 numbers, pass (3,)."
        raise TypeError(message)
    for size in shape:
        check_int(size, name="shape", low=1)


def _check_dtype(_: object, __: "attrs.Attribute[Any]", dtype: torch.dtype) -> None:
    if not isinstance(dtype, torch.dtype) or numpy_dtype(dtype).kind not in "iufb":
        message = f"dtype must be a torch.dtype of integers, floats or bools, got dtype={shown(dtype)}."
        raise TypeError(message)


def _check_padding_value(self: "RaggedField", _: "attrs.Attribute[Any]", value: float) -> None:
    is_bool, is_float = self.dtype is torch.bool, self.dtype.is_floating_point
    fits = isinstance(value, int | float if is_float else int) and isinstance(value, bool) == is_bool
    if not fits:
        expected = "a bool" if is_bool else "a number" if is_float else "an integer"
        message = f"padding_value must be {expected} for {self.dtype}, got padding_value={shown(value)}."
        raise TypeError(message)
    cell = np.empty((1, 1), dtype=numpy_dtype(self.dtype))
    lay_out(read_rows([[value]], name="padding_value"), cell, side="right", name="padding_value")


@attrs.frozen
class RaggedField(metaclass=Documented):
    """A field with one number per token, e.g. ids, labels or charges, or one array of a fixed shape per token.

    Args:
        dtype: dtype of the batch: integers, floats or bools. The numbers of a sample must fit it; floats are rounded.
        padding_value: number at padding; by default 0, or False.
        shape: shape of a token's numbers: `()` for one number, `(3,)` for coordinates.

    Raises:
        ValueError: if the padding value doesn't fit the dtype, or a size isn't positive.
        TypeError: if the padding value is of another kind than the dtype, NumPy doesn't have the dtype (bfloat16), or
            the shape is no tuple.

    Example:
        >>> RaggedField(torch.int64, padding_value=-100)
        RaggedField(dtype=torch.int64, padding_value=-100, shape=())
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)
    padding_value: int | float | bool = attrs.field(kw_only=True, converter=_plain, validator=_check_padding_value)
    shape: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=_sizes, validator=_check_shape)

    @padding_value.default
    def _zero(self) -> int | bool:
        return False if self.dtype is torch.bool else 0


@attrs.frozen
class ScalarField(metaclass=Documented):
    """A field with one number per sample, e.g. a class or a temperature, or one array of a fixed shape per sample.

    Args:
        dtype: dtype of the batch: integers, floats or bools. The number of a sample must fit it; floats are rounded.
        shape: shape of a sample's numbers: `()` for one number, `(128,)` for an embedding.

    Raises:
        ValueError: if a size isn't positive.
        TypeError: if NumPy doesn't have the dtype (bfloat16), it is of other numbers, or the shape is no tuple.

    Example:
        >>> ScalarField(torch.float32, shape=(128,))
        ScalarField(dtype=torch.float32, shape=(128,))
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)
    shape: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=_sizes, validator=_check_shape)


@attrs.frozen
class ObjectField(metaclass=Documented):
    """A field with any object per sample, e.g. a name, an id or a record; the batch has a list of them.

    Example:
        >>> ObjectField()
        ObjectField()
    """


def read_field(values: list[Any], field: RaggedField | ScalarField, /, *, name: str) -> tuple[Rows, list[int]]:
    """Return the values of a field as rows of numbers in one axis, and the number of tokens of each row.

    A sample's value of a `ScalarField` is a row of one token.

    Args:
        values: the field's value of each sample.
        field: the field.
        name: name of the field in errors.

    Raises:
        ValueError: if a value has another shape than the field.
        TypeError: if a value holds anything but numbers.

    Example:
        >>> read_field([[[1, 2], [3, 4]], [[5, 6]]], RaggedField(torch.int64, shape=(2,)), name="pairs")[1]
        [2, 1]
    """
    if isinstance(field, ScalarField):
        values = [
            value[None] if isinstance(value, np.ndarray | Tensor) and field.shape else [value] for value in values
        ]
    if not field.shape:
        rows = read_rows(values, name=name)
        return rows, rows.lengths
    flat = [_flat(value, field.shape, number, name) for number, value in enumerate(values)]
    size = prod(field.shape)
    rows = read_rows(flat, name=name)
    return rows, [length // size for length in rows.lengths]


def _flat(row: Any, shape: tuple[int, ...], number: int, name: str) -> Any:
    """Return the numbers of a row of elements of a shape in one axis."""
    check_row(row, name=f"{name} of sample {number}")
    if hasattr(row, "__array__"):
        array = row if isinstance(row, np.ndarray | Tensor) else np.asarray(row)
        if array.shape != (0,) and tuple(array.shape[1:]) != shape:
            raise _wrong_shape(tuple(array.shape[1:]), shape, number, name)
        return array.reshape(-1)
    for axis, size in enumerate(shape):
        for element in row:
            if (found := _length(element)) != (size,):
                raise _wrong_shape((*shape[:axis], *found), shape, number, name)
        row = list(chain.from_iterable(row))
    return row


def _length(element: Any) -> tuple[int, ...]:
    """Return the length of a sequence, or nothing for a number, a text and a 0-d array."""
    try:
        return () if isinstance(element, str | bytes) else (len(element),)
    except TypeError:
        return ()


def _wrong_shape(found: tuple[int, ...], shape: tuple[int, ...], number: int, name: str) -> ValueError:
    return ValueError(f"each element of {name} must have the shape {shape}, got {found} in sample {number}.")
