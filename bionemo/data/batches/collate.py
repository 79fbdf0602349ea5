"""Collation of samples with ragged fields into one batch with one mask."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, shown
from bionemo.core.int64 import listed
from bionemo.core.padding.rows import Rows, Side, check_side, lay_out
from bionemo.core.padding.shape import mask_kernel, width_kernel
from bionemo.data.batches.fields import ObjectField, RaggedField, ScalarField, read_field

__all__ = [
    "ObjectField",
    "RaggedField",
    "ScalarField",
    "check_fields",
    "check_keys",
    "collate_fields",
    "scalar_block",
    "shared_lengths",
]


@checked
def collate_fields(
    samples: Iterable[Mapping[str, Any]],
    /,
    *,
    fields: Mapping[str, RaggedField | ScalarField | ObjectField],
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    padding_side: Side = "right",
    mask_name: str = "mask",
    mask_dtype: torch.dtype = torch.bool,
) -> dict[str, Any]:
    """Return samples as one batch: a tensor or list per field, and one mask for all ragged fields.

    As a `Pipeline`'s `collate`, bind the options with `functools.partial`. For models and trainers of the transformers
    library, use its names and conventions: fields `input_ids` and `labels` (padded with -100),
    `mask_name="attention_mask"` and `mask_dtype=torch.int64`.

    Laws: `unpad_token_ids(batch[name], batch["mask"])` returns that field of the samples. A batch of no samples has the
    same keys, dtypes and trailing shapes as any other.

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
        A dict of CPU tensors and lists in the order of `fields`, the mask last. Ragged fields have the shape
        (samples, width, *shape), scalar fields (samples, *shape).

    Raises:
        KeyError: if a sample lacks a field.
        ValueError: if the ragged fields of a sample differ in length, a row is longer than `padding_len`, a number
            doesn't fit the dtype, an element has another shape than its field, the batch doesn't fit the memory, or the
            mask has the name of a field.
        TypeError: if a sample holds another kind of numbers than the dtype of the field, or a field is none.

    Example:
        >>> fields = {"ids": RaggedField(torch.int64, padding_value=1), "charge": RaggedField(torch.float32)}
        >>> samples = [{"ids": [5, 6], "charge": [0.5, -1.0]}, {"ids": [7], "charge": [2.0]}]
        >>> batch = collate_fields(samples, fields=fields)
        >>> batch["ids"], list(batch)
        (tensor([[5, 6],
                [7, 1]]), ['ids', 'charge', 'mask'])
        >>> collate_fields([], fields=fields)["charge"].shape
        torch.Size([0, 0])
        >>> fields = {"name": ObjectField(), "xyz": RaggedField(torch.float32, shape=(3,))}
        >>> batch = collate_fields([{"name": "a", "xyz": [[0, 0, 1], [0, 2, 0]]}], fields=fields)
        >>> batch["name"], batch["xyz"].shape
        (['a'], torch.Size([1, 2, 3]))
    """
    check_side(padding_side, name="padding_side")
    if mask_name in fields:
        message = f"mask_name must not be the name of a field, got mask_name={mask_name!r}. Rename one of the two."
        raise ValueError(message)
    check_fields(fields)
    samples = listed(samples, name="samples")
    check_keys(samples, fields)
    columns = {name: [sample[name] for sample in samples] for name in fields}
    ragged = {name: field for name, field in fields.items() if isinstance(field, RaggedField)}
    rows, counts = {}, {}
    for name, ragged_field in ragged.items():
        rows[name], counts[name] = read_field(columns[name], ragged_field, name=name)
    lengths = shared_lengths(counts)
    token_bytes = 1 + sum(field.dtype.itemsize * prod(field.shape) for field in ragged.values())
    width = width_kernel(
        lengths, padding_len, pad_size_divisible_by, name=next(iter(rows), ""), token_bytes=token_bytes if rows else 0
    )
    batch: dict[str, Any] = {}
    for name, field in fields.items():
        if isinstance(field, RaggedField):
            block = torch.full(
                (len(samples), width, *field.shape), field.padding_value, dtype=field.dtype, device="cpu"
            )
            batch[name] = _written(block, rows[name], padding_side, name)
        elif isinstance(field, ScalarField):
            batch[name] = scalar_block(columns[name], field, name=name)
        else:
            batch[name] = columns[name]
    if rows:
        batch[mask_name] = torch.from_numpy(mask_kernel(lengths, width, padding_side)).to(mask_dtype)
    return batch


def scalar_block(values: list[Any], field: ScalarField, /, *, name: str) -> Tensor:
    """Return the values of a scalar field in one tensor.

    Args:
        values: one per sample.
        field: the field.
        name: name of the field in errors.

    Example:
        >>> scalar_block([0.5, 2], ScalarField(torch.float32), name="weight")
        tensor([0.5000, 2.0000])
    """
    block = torch.empty((len(values), *field.shape), dtype=field.dtype, device="cpu")
    return _written(block, read_field(values, field, name=name)[0], "right", name)


def _written(block: Tensor, rows: Rows, side: Side, name: str) -> Tensor:
    """Return a block with rows written into it, whose numbers are in one axis."""
    lay_out(rows, block.numpy().reshape(len(block), prod(block.shape[1:])), side=side, name=name)
    return block


def check_fields(fields: Mapping[str, object], /) -> None:
    """Check that the fields of a batch are records of fields.

    Raises:
        TypeError: if one isn't.

    Example:
        >>> check_fields({"ids": RaggedField(torch.int64)})
    """
    for name, field in fields.items():
        if not isinstance(field, RaggedField | ScalarField | ObjectField):
            message = (
                f"fields must be of RaggedField, ScalarField and ObjectField, got {str(name)[:80]}={shown(field)}."
            )
            raise TypeError(message)


def check_keys(samples: Sequence[Mapping[str, Any]], names: Mapping[str, object], /) -> None:
    """Check that each sample is a mapping with all the names.

    Raises:
        TypeError: if a sample isn't a mapping.
        KeyError: if it lacks a name.

    Example:
        >>> check_keys([{"ids": [5]}], {"ids": None})
    """
    for number, sample in enumerate(samples):
        if not isinstance(sample, Mapping):
            message = f"samples must hold mappings from names to values, got {shown(sample)} as sample {number}."  # type: ignore[unreachable]
            raise TypeError(message)
        missing = [name for name in names if name not in sample]
        if missing:
            message = f"samples must have the fields {', '.join(names)}, got no {missing[0]} in sample {number}."
            raise KeyError(message)


def shared_lengths(lengths: Mapping[str, list[int]], /) -> list[int]:
    """Return the length of each sample, which all its ragged fields must have.

    Raises:
        ValueError: if they differ.

    Example:
        >>> shared_lengths({"ids": [3, 1], "labels": [3, 1]})
        [3, 1]
    """
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
