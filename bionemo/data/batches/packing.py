"""Packed batches: samples one after the other on one axis, without padding."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.arrays import check_memory
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, check_dense, check_int, is_concrete, shown
from bionemo.core.int64 import as_integers, check_signed, listed
from bionemo.core.padding.rows import Rows, lay_out_flat
from bionemo.data.batches.collate import check_fields, check_keys, scalar_block, shared_lengths
from bionemo.data.batches.fields import ObjectField, RaggedField, ScalarField, read_field

__all__ = ["check_bounds", "check_packed", "collate_packed", "unpack"]

_TOKENS: Final = {"ids": RaggedField(torch.int64)}
"""The fields of samples that are rows of tokens."""
_OWN: Final = ("positions", "segment_ids", "mask", "cu_seqlens", "cu_seqlens_padded", "max_seqlen")
"""The names that a packed batch has beside its fields."""


@checked
def collate_packed(
    samples: Iterable[Any],
    /,
    *,
    fields: Mapping[str, RaggedField | ScalarField | ObjectField] | None = None,
    divisible_by: AnyInt = 1,
    length: AnyInt | None = None,
    bins: Iterable[Iterable[AnyInt]] | None = None,
) -> dict[str, Any]:
    """Return samples as one packed batch: their tokens one after the other on one axis.

    Laws: `unpack(batch, name)` gives the field's rows back; without `divisible_by` and `length` no element is padding.
    All of a sample's tokens have its number in `segment_ids`; attention is within a sample.

    Args:
        samples: rows of tokens, or with `fields` mappings of names to values, as for `collate_fields`.
        fields: what each field holds; by default one, `ids`, of int64 tokens.
        divisible_by: each sample is padded to a multiple of this many tokens, as planned by the order's `divisible_by`.
        length: number of tokens of the batch, padded at its end, for models that need one shape.
        bins: what a pipeline passes for a `PackedOrder`: the planned number of tokens of each sample, in a list per
            bin.

    Returns:
        The fields by name: tensors on one axis of tokens for a `RaggedField`, one value per sample for the others. And:
            positions: int64, 0 at the first token of each sample, counted through its padding.
            segment_ids: int64, number of the sample of each token; -1 in the padding at the end.
            mask: bool, True = real token.
            cu_seqlens: int32, sums of the samples' lengths: 0, then one per sample.
            cu_seqlens_padded: int32, where each sample begins, with its padding.
            max_seqlen: int, the longest sample, with its padding.

    Raises:
        ValueError: if a sample has another number of tokens than planned, the tokens don't fit `length`, or the ragged
            fields of a sample differ in length.
        TypeError: if a sample holds another kind of numbers than the dtype of the field.
        KeyError: if a sample lacks a field.

    Example:
        >>> batch = collate_packed([[5, 6, 7], [8]])
        >>> batch["ids"], batch["positions"], batch["segment_ids"]
        (tensor([5, 6, 7, 8]), tensor([0, 1, 2, 0]), tensor([0, 0, 0, 1]))
        >>> batch["cu_seqlens"], batch["max_seqlen"]
        (tensor([0, 3, 4], dtype=torch.int32), 3)
    """
    samples = listed(samples, name="samples")
    fields, columns = (_TOKENS, {"ids": samples}) if fields is None else (fields, _columns(samples, fields))
    rows, counts = {}, {}
    for name, field in fields.items():
        if isinstance(field, RaggedField):
            rows[name], counts[name] = read_field(columns[name], field, name=name)
    found = shared_lengths(counts)
    if bins is not None:
        _check_planned(found, bins)
    lengths = np.array(found, dtype=np.int64)
    multiple = check_int(divisible_by, name="divisible_by", low=1)
    check_memory(multiple * int(np.count_nonzero(lengths)), name="divisible_by", value=multiple)
    padded = lengths if multiple == 1 else -(-lengths // multiple) * multiple
    starts = _sums(padded)
    stop = int(starts[-1])
    total = stop if length is None else check_int(length, name="length", low=1)
    if total < stop:
        message = f"length must be at least the batch's {stop} tokens, got length={total}. Raise it."
        raise ValueError(message)
    check_memory(8 * total, name="length" if length is not None else "divisible_by", value=total)
    batch: dict[str, Any] = {}
    for name, field in fields.items():
        if isinstance(field, RaggedField):
            batch[name] = _flat(rows[name], field, starts, total, name)
        elif isinstance(field, ScalarField):
            batch[name] = scalar_block(columns[name], field, name=name)
        else:
            batch[name] = columns[name]
    positions = np.arange(stop) - starts[:-1].repeat(padded)
    is_real = np.ones(stop, np.bool_) if multiple == 1 else positions < lengths.repeat(padded)
    batch["positions"] = _extended(positions, total, 0)
    batch["segment_ids"] = _extended(np.arange(len(samples)).repeat(padded), total, -1)
    batch["mask"] = _extended(is_real, total, 0)
    batch["cu_seqlens"] = torch.from_numpy(_sums(lengths).astype(np.int32))
    batch["cu_seqlens_padded"] = torch.from_numpy(starts.astype(np.int32))
    batch["max_seqlen"] = int(padded.max(initial=0))
    return batch


def _sums(lengths: IntArray) -> IntArray:
    """Return where rows of some lengths begin on one axis, and where the last one ends."""
    sums = np.zeros(len(lengths) + 1, dtype=np.int64)
    lengths.cumsum(out=sums[1:])
    return sums


def _columns(samples: list[Any], fields: Mapping[str, RaggedField | ScalarField | ObjectField]) -> dict[str, list[Any]]:
    """Return the values of each field, in a list with one per sample."""
    check_fields(fields)
    own = [name for name in fields if name in _OWN]
    if own:
        message = f"fields must have other names than {', '.join(_OWN)}, got {own[0]}. Rename it."
        raise ValueError(message)
    check_keys(samples, fields)
    return {name: [sample[name] for sample in samples] for name in fields}


def _check_planned(lengths: list[int], bins: Iterable[Iterable[AnyInt]]) -> None:
    parts = [as_integers(part, name="bins") for part in listed(bins, name="bins")]
    if any(part.ndim != 1 for part in parts):
        message = f"bins must hold the numbers of tokens of each bin's samples, got {shown(bins)}."
        raise ValueError(message)
    planned = [length for part in parts for length in part.tolist()]
    if planned == lengths:
        return
    if len(planned) != len(lengths):
        message = f"bins must hold one number per sample, got {len(planned)} for {len(lengths)} samples."
        raise ValueError(message)
    number = int(np.not_equal(planned, lengths).argmax())
    message = (
        f"samples must have the planned numbers of tokens, got {lengths[number]} tokens in sample {number} of the "
        f"batch, for which {shown(planned[number])} are planned. Make the order with the lengths of what is "
        "collated; with truncate=True, crop longer samples to max_tokens."
    )
    raise ValueError(message)


def _flat(rows: Rows, field: RaggedField, starts: Any, total: int, name: str) -> Tensor:
    """Return the rows of a field one after the other, each at its start."""
    size = prod(field.shape)
    flat = torch.empty((total * size,), dtype=field.dtype, device="cpu")
    if sum(rows.lengths) < len(flat):
        flat.fill_(field.padding_value)
    lay_out_flat(rows, flat.numpy(), starts[:-1] * size, name=name)
    return flat.reshape(total, *field.shape)


def _extended(array: Any, total: int, padding_value: int) -> Tensor:
    """Return an array as a tensor that is padded at its end."""
    if len(array) < total:
        array = np.pad(array, (0, total - len(array)), constant_values=padding_value)
    return torch.from_numpy(array)


def check_packed(batch: Mapping[str, Any], /, *names: str, name: str = "batch") -> None:
    """Check that a batch is a packed one, with fields of some names.

    Args:
        batch: the batch.
        *names: names of its fields.
        name: name of the batch, for errors.

    Raises:
        ValueError: if it isn't.
        TypeError: if a tensor isn't dense or of another dtype.

    Example:
        >>> check_packed(collate_packed([[5, 6, 7], [8]]), "ids")
    """
    tensors = [*names, *_OWN[:-1]]
    missing = [field for field in tensors if not isinstance(batch.get(field), Tensor)]
    if missing or batch.get("max_seqlen") is None:
        found = f"no tensor {shown(missing[0])} in {shown(dict(batch))}" if missing else "no max_seqlen"
        message = f"{name} must be what collate_packed returned, got {found}."
        raise ValueError(message)
    for field in tensors:
        check_dense(batch[field], name=f"{name}[{field!r}]")
    if batch["mask"].dtype != torch.bool:
        message = f"{name}['mask'] must hold bools, got dtype={batch['mask'].dtype}. Convert it by .bool()."
        raise TypeError(message)
    for field in ("positions", "segment_ids", "cu_seqlens", "cu_seqlens_padded"):
        check_signed(batch[field], name=f"{name}[{field!r}]")
    shapes = {field: tuple(batch[field].shape) for field in ("mask", "positions", "segment_ids")}
    if batch["mask"].ndim != 1 or len({*shapes.values()}) > 1:
        message = f"{name} must have one mask, position and segment per token, got shapes {shapes}."
        raise ValueError(message)
    wrong = [field for field in names if batch[field].shape[:1] != batch["mask"].shape]
    if wrong:
        found = f"{tuple(batch[wrong[0]].shape)} for {len(batch['mask'])} tokens"
        message = f"{name}[{wrong[0]!r}] must have a value per token, got shape {found}."
        raise ValueError(message)
    bounds = [tuple(batch[field].shape) for field in ("cu_seqlens", "cu_seqlens_padded")]
    if len(bounds[0]) != 1 or bounds[0] != bounds[1] or bounds[0] == (0,):
        message = f"{name} must have equally many cu_seqlens and cu_seqlens_padded, got shapes {bounds}."
        raise ValueError(message)


def check_bounds(batch: Mapping[str, Any], /, *, name: str = "batch") -> None:
    """Check that the samples of a packed batch follow one another within it; on an accelerator, nothing is checked.

    Args:
        batch: a packed batch, as `check_packed` accepts it.
        name: name of the batch, for errors.

    Raises:
        ValueError: if they don't.

    Example:
        >>> check_bounds(collate_packed([[5, 6, 7], [8]]))
    """
    stop = len(batch["mask"])
    for field in ("cu_seqlens_padded", "cu_seqlens"):
        if not is_concrete(batch[field]):
            return
        bounds = batch[field].tolist()
        if bounds != sorted(bounds) or bounds[0] != 0 or bounds[-1] > stop:
            message = f"{name}[{field!r}] must ascend from 0 to at most {stop}, got {shown(bounds)}."
            raise ValueError(message)
        stop = bounds[-1]


@checked
def unpack(batch: Mapping[str, Any], name: str = "ids", /) -> list[Tensor]:
    """Return the real tokens of each sample of a packed batch, or the rows of another field.

    Law: the inverse of `collate_packed`.

    Args:
        batch: what `collate_packed` returned.
        name: name of a field with one value per token.

    Example:
        >>> unpack(collate_packed([[5, 6, 7], [8]]))
        [tensor([5, 6, 7]), tensor([8])]
    """
    check_packed(batch, name)
    check_bounds(batch)
    starts, lengths = batch["cu_seqlens_padded"].tolist(), batch["cu_seqlens"].diff().tolist()
    return [batch[name][start : start + length].clone() for start, length in zip(starts, lengths, strict=False)]
