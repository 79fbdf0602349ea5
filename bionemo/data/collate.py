"""From samples that are mappings of ragged fields to one batch with one mask."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.batching_utils import padded_length, row_mask
from bionemo.core.utils.checks import AnyInt
from bionemo.core.utils.rows import Side, check_side, lay_out, numpy_dtype, read_rows

__all__ = ["Ragged", "Scalar", "collate_fields"]


def _plain(value: Any) -> Any:
    """Return a NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _check_dtype(_: object, __: "attrs.Attribute[Any]", dtype: torch.dtype) -> None:
    if numpy_dtype(dtype).kind not in "iufb":
        message = f"dtype must be of integers, floats or bools, got dtype={dtype}."
        raise TypeError(message)


def _check_padding_value(self: "Ragged", _: "attrs.Attribute[Any]", value: float) -> None:
    is_bool, is_float = self.dtype is torch.bool, self.dtype.is_floating_point
    fits = isinstance(value, int | float if is_float else int) and isinstance(value, bool) == is_bool
    if not fits:
        wanted = "a bool" if is_bool else "a number" if is_float else "an integer"
        message = f"padding_value must be {wanted} for {self.dtype}, got padding_value={value!r}."
        raise TypeError(message)
    cell = np.empty((1, 1), dtype=numpy_dtype(self.dtype))
    lay_out(read_rows([[value]], name="padding_value"), cell, side="right", name="padding_value")


@attrs.frozen
class Ragged:
    """A field with one number a token: ids, labels, per-token floats.

    Args:
        dtype: of the batch: integers, floats or bools. Whatever a sample holds must fit it; floats are rounded to it.
        padding_value: what stands where no token does; by default 0, or False.

    Raises:
        ValueError: if the padding value doesn't fit the dtype.
        TypeError: if it is of another kind than the dtype, or NumPy has no such dtype (bfloat16).

    Example:
        >>> Ragged(torch.int64, padding_value=-100)
        Ragged(dtype=torch.int64, padding_value=-100)
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)
    padding_value: int | float | bool = attrs.field(kw_only=True, converter=_plain, validator=_check_padding_value)

    @padding_value.default
    def _zero(self) -> int | bool:
        return False if self.dtype is torch.bool else 0


@attrs.frozen
class Scalar:
    """A field with one number a sample: a class, a temperature, a weight.

    Args:
        dtype: of the batch, likewise.

    Example:
        >>> Scalar(torch.float32)
        Scalar(dtype=torch.float32)
    """

    dtype: torch.dtype = attrs.field(validator=_check_dtype)


def collate_fields(
    samples: Iterable[Mapping[str, Any]],
    /,
    *,
    fields: Mapping[str, Ragged | Scalar],
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    padding_side: Side = "right",
    mask_name: str = "mask",
    mask_dtype: torch.dtype = torch.bool,
) -> dict[str, Tensor]:
    """Return samples of ragged fields as one batch: a tensor a field, and one mask for all.

    For a `Pipeline`, give it its options by `functools.partial`. For models and trainers of the transformers library,
    use its names and conventions: fields `input_ids` and `labels` (padded with -100), `mask_name="attention_mask"` and
    `mask_dtype=torch.int64`.

    Laws: `unpad_token_ids(batch[name], batch["mask"])` is that field of the samples; a batch of no samples has the
    dtypes, keys and number of axes of any other.

    Args:
        samples: mappings with at least the fields that are asked for. The ragged fields of one sample have one length.
        fields: what becomes of each; a field that isn't named here is left out.
        padding_len: width of the ragged fields; by default the longest sample's length.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        padding_side: the end of a row that is filled up.
        mask_name: the key of the mask; there is one where a field is ragged.
        mask_dtype: of the mask, True or 1 = real token.

    Returns:
        A dict of tensors on the CPU in the sequence of `fields`, the mask last: ragged ones of shape (samples, width),
        scalars of shape (samples,).

    Raises:
        KeyError: if a sample lacks a field.
        ValueError: if the ragged fields of a sample differ in length, a row is longer than `padding_len`, a number
            doesn't fit, or the mask has the name of a field.
        TypeError: if a sample holds another kind of numbers than the field's dtype.

    Example:
        >>> fields = {"ids": Ragged(torch.int64, padding_value=1), "charge": Ragged(torch.float32)}
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
        message = f"mask_name must not be that of a field, got mask_name={mask_name!r}."
        raise ValueError(message)
    samples = list(samples)
    _check_keys(samples, fields)
    rows = {
        name: read_rows([sample[name] for sample in samples], name=name)
        for name, field in fields.items()
        if isinstance(field, Ragged)
    }
    lengths = _shared_lengths({name: found.lengths for name, found in rows.items()})
    width = padded_length(lengths, padding_len, pad_size_divisible_by, name=next(iter(rows), ""))
    batch: dict[str, Tensor] = {}
    for name, field in fields.items():
        if isinstance(field, Ragged):
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
            message = (
                f"samples must have the fields {', '.join(names)}, got none called {missing[0]} in sample {number}."
            )
            raise KeyError(message)


def _shared_lengths(lengths: Mapping[str, list[int]]) -> list[int]:
    """Return the lengths that all ragged fields have."""
    (first, expected), *others = [*lengths.items()] or [("", [])]
    for name, found in others:
        for number, (length, other) in enumerate(zip(expected, found, strict=True)):
            if length != other:
                message = (
                    f"the ragged fields of a sample must have one length, got {length} in {first} and {other} in "
                    f"{name} in sample {number}."
                )
                raise ValueError(message)
    return expected


def _scalars(values: list[Any], field: Scalar, name: str) -> Tensor:
    """Return one number a sample, each checked as a row of one."""
    rows = read_rows([[value] for value in values], name=name)
    column = torch.empty((len(values), 1), dtype=field.dtype, device="cpu")
    lay_out(rows, column.numpy(), side="right", name=name)
    return column[:, 0]
