"""Collation of samples with ragged fields into one batch with one mask."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.checks import AnyInt
from bionemo.core.padding import padded_length, row_mask
from bionemo.core.padding.rows import Side, check_side, lay_out, numpy_dtype, read_rows

__all__ = ["RaggedField", "ScalarField", "collate_fields"]


def _plain(value: Any) -> Any:
    """Return a NumPy number as a Python number, and anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def _check_dtype(_: object, __: "attrs.Attribute[Any]", dtype: torch.dtype) -> None:
    if numpy_dtype(dtype).kind not in "iufb":
        message = f"dtype must be of integers, floats or bools, got dtype={dtype}."
        raise TypeError(message)


def _check_padding_value(self: "RaggedField", _: "attrs.Attribute[Any]", value: float) -> None:
    is_bool, is_float = self.dtype is torch.bool, self.dtype.is_floating_point
    fits = isinstance(value, int | float if is_float else int) and isinstance(value, bool) == is_bool
    if not fits:
        expected = "a bool" if is_bool else "a number" if is_float else "an integer"
        message = f"padding_value must be {expected} for {self.dtype}, got padding_value={value!r}."
        raise TypeError(message)
    cell = np.empty((1, 1), dtype=numpy_dtype(self.dtype))
    lay_out(read_rows([[value]], name="padding_value"), cell, side="right", name="padding_value")


@attrs.frozen
class RaggedField:
    """A field with one number per token, e.g. ids, labels or per-token floats.

    Args:
        dtype: dtype of the batch: integers, floats or bools. The numbers of a sample must fit it; floats are rounded.
        padding_value: number at padding; by default 0, or False.

    Raises:
        ValueError: if the padding value doesn't fit the dtype.
        TypeError: if the padding value is of another kind than the dtype, or NumPy doesn't have the dtype (bfloat16).

    Example:
        >>> RaggedField(torch.int64, padding_value=-100)
        RaggedField(dtype=torch.int64, padding_value=-100)
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)
    padding_value: int | float | bool = attrs.field(kw_only=True, converter=_plain, validator=_check_padding_value)

    @padding_value.default
    def _zero(self) -> int | bool:
        return False if self.dtype is torch.bool else 0


@attrs.frozen
class ScalarField:
    """A field with one number per sample, e.g. a class, a temperature or a weight.

    Args:
        dtype: dtype of the batch: integers, floats or bools. The number of a sample must fit it; floats are rounded.

    Raises:
        TypeError: if NumPy doesn't have the dtype (bfloat16), or it is of other numbers.

    Example:
        >>> ScalarField(torch.float32)
        ScalarField(dtype=torch.float32)
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)


def collate_fields(
    samples: Iterable[Mapping[str, Any]],
    /,
    *,
    fields: Mapping[str, RaggedField | ScalarField],
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    padding_side: Side = "right",
    mask_name: str = "mask",
    mask_dtype: torch.dtype = torch.bool,
) -> dict[str, Tensor]:
    """Return samples as one batch: a tensor per field, and one mask for all ragged fields.

    As a `Pipeline`'s `collate`, bind the options with `functools.partial`. For models and trainers of the transformers
    library, use its names and conventions: fields `input_ids` and `labels` (padded with -100),
    `mask_name="attention_mask"` and `mask_dtype=torch.int64`.

    Laws: `unpad_token_ids(batch[name], batch["mask"])` returns that field of the samples. A batch of no samples has the
    same keys, dtypes and number of axes as any other.

    Args:
        samples: mappings that hold at least the fields named in `fields`. All ragged fields of a sample have the same
            length.
        fields: dtype and padding of each field; fields that aren't named here are left out of the batch.
        padding_len: width of the ragged fields; by default the length of the longest sample.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        padding_side: end of a row that is padded.
        mask_name: key of the mask, which the batch has if a field is ragged.
        mask_dtype: dtype of the mask; True or 1 = real token.

    Returns:
        A dict of CPU tensors in the order of `fields`, the mask last. Ragged fields have the shape (samples, width),
        scalar fields (samples,).

    Raises:
        KeyError: if a sample lacks a field.
        ValueError: if the ragged fields of a sample differ in length, a row is longer than `padding_len`, a number
            doesn't fit the dtype, or the mask has the name of a field.
        TypeError: if a sample holds another kind of numbers than the dtype of the field.

    Example:
        >>> fields = {"ids": RaggedField(torch.int64, padding_value=1), "charge": RaggedField(torch.float32)}
        >>> samples = [{"ids": [5, 6], "charge": [0.5, -1.0]}, {"ids": [7], "charge": [2.0]}]
        >>> batch = collate_fields(samples, fields=fields)
        >>> batch["ids"], list(batch)
        (tensor([[5, 6],
                [7, 1]]), ['ids', 'charge', 'mask'])
        >>> collate_fields([], fields=fields)["charge"].shape
        torch.Size([0, 0])
    """
    check_side(padding_side, name="padding_side")
    if mask_name in fields:
        message = f"mask_name must not be the name of a field, got mask_name={mask_name!r}. Rename one of the two."
        raise ValueError(message)
    samples = list(samples)
    _check_keys(samples, fields)
    rows = {
        name: read_rows([sample[name] for sample in samples], name=name)
        for name, field in fields.items()
        if isinstance(field, RaggedField)
    }
    lengths = _shared_lengths({name: found.lengths for name, found in rows.items()})
    width = padded_length(lengths, padding_len, pad_size_divisible_by, name=next(iter(rows), ""))
    batch: dict[str, Tensor] = {}
    for name, field in fields.items():
        if isinstance(field, RaggedField):
            batch[name] = torch.full((len(samples), width), field.padding_value, dtype=field.dtype, device="cpu")
            lay_out(rows[name], batch[name].numpy(), side=padding_side, name=name)
        else:
            batch[name] = _scalars([sample[name] for sample in samples], field, name)
    if rows:
        batch[mask_name] = torch.from_numpy(row_mask(lengths, width, padding_side=padding_side)).to(mask_dtype)
    return batch


def _check_keys(samples: Sequence[Mapping[str, Any]], names: Mapping[str, object]) -> None:
    for number, sample in enumerate(samples):
        missing = [name for name in names if name not in sample]
        if missing:
            message = f"samples must have the fields {', '.join(names)}, got no {missing[0]} in sample {number}."
            raise KeyError(message)


def _shared_lengths(lengths: Mapping[str, list[int]]) -> list[int]:
    """Return the length of each sample, which all its ragged fields must have."""
    (first, expected), *others = [*lengths.items()] or [("", [])]
    for name, found in others:
        for number, (length, other) in enumerate(zip(expected, found, strict=True)):
            if length != other:
                message = (
                    f"the ragged fields of a sample must have the same length, got {length} in {first} and {other} in "
                    f"{name} in sample {number}."
                )
                raise ValueError(message)
    return expected


def _scalars(values: list[Any], field: ScalarField, name: str) -> Tensor:
    """Return the column of a scalar field; each number is checked as a row of one token."""
    rows = read_rows([[value] for value in values], name=name)
    column = torch.empty((len(values), 1), dtype=field.dtype, device="cpu")
    lay_out(rows, column.numpy(), side="right", name=name)
    return column[:, 0]
