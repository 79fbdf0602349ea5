"""Packed batches as models take them: FlashAttention, masks of attention, and shares of context-parallel ranks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_dense, check_int, shown
from bionemo.core.int64 import listed
from bionemo.data.batches.packing import check_bounds, check_packed

__all__ = [
    "attention_block_mask",
    "flash_attention_inputs",
    "shard_for_context_parallel",
    "unshard_context_parallel",
]


@checked
def flash_attention_inputs(batch: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a packed batch as the arguments of a model of the transformers library with FlashAttention.

    Raises:
        ValueError: if samples are padded: these models take none.

    Source: `DataCollatorWithFlattening(return_flash_attn_kwargs=True)` of transformers 5.

    Example:
        >>> from bionemo.data import collate_packed
        >>> inputs = flash_attention_inputs(collate_packed([[5, 6, 7], [8]]))
        >>> inputs["input_ids"], inputs["cu_seq_lens_q"], inputs["max_length_k"]
        (tensor([[5, 6, 7, 8]]), tensor([0, 3, 4], dtype=torch.int32), 3)
    """
    check_packed(batch, "ids")
    if not torch.equal(batch["cu_seqlens"], batch["cu_seqlens_padded"]):
        message = (
            "batch must be packed without padding, got cu_seqlens_padded other than cu_seqlens. Use divisible_by=1."
        )
        raise ValueError(message)
    inputs = {"input_ids": batch["ids"][None], "position_ids": batch["positions"][None]}
    bounds = {f"cu_seq_lens_{side}": batch["cu_seqlens"] for side in "qk"}
    labels = {"labels": batch["labels"][None]} if "labels" in batch else {}
    return inputs | labels | bounds | {f"max_length_{side}": batch["max_seqlen"] for side in "qk"}


@checked
def attention_block_mask(batch: Mapping[str, Any], /, *, causal: bool = False) -> Bool[Tensor, "tokens tokens"]:
    """Return which token may attend to which: those of its own sample, with `causal` only itself and earlier ones.

    For `scaled_dot_product_attention(attn_mask=...)`, e.g. on the CPU. The padding at the end attends to itself, so
    that no row is empty.

    Example:
        >>> from bionemo.data import collate_packed
        >>> attention_block_mask(collate_packed([[5, 6], [8]]))
        tensor([[ True,  True, False],
                [ True,  True, False],
                [False, False,  True]])
    """
    check_packed(batch)
    segments, mask = batch["segment_ids"], batch["mask"]
    allowed: Tensor = (segments[:, None] == segments) & (mask[:, None] == mask)
    return allowed.tril() if causal else allowed


@checked
def shard_for_context_parallel(
    batch: Mapping[str, Any], rank: AnyInt, world_size: AnyInt, /, *, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the tokens of a batch that a context-parallel rank computes, of a packed or a padded batch.

    Each sample, of a padded batch each row, is cut into `2 * world_size` chunks; a rank gets chunks `rank` and `2 *
    world_size - 1 - rank`. So with causal attention all ranks have the same work. Every rank of a group makes the same
    batch and takes its part, so that nothing has to be sent.

    Law: `unshard_context_parallel` of the parts of all ranks gives the batch back.

    Args:
        batch: what `collate_packed` returned, with a `divisible_by` that is a multiple of `2 * world_size`, or what
            `collate_fields` returned, with such a `pad_size_divisible_by`.
        rank: context-parallel rank, 0..world_size-1.
        world_size: number of context-parallel ranks.
        names: names of the tensors with one value per token; by default those whose shape begins with that of `mask`.

    Returns:
        The batch with the rank's part of each tensor that has one value per token. `cu_seqlens` stay those of the whole
        samples, as `PackedSeqParams` takes them.

    Raises:
        ValueError: if it is no such batch, a sample's length, with its padding, is no multiple of `2 * world_size`, or
            `rank` is out of range.

    Source: `get_batch_on_this_cp_rank` and `thd_get_partitioned_indices` in megatron-core and TransformerEngine.

    Example:
        >>> from bionemo.data import collate_packed
        >>> batch = collate_packed([[5, 6, 7, 8], [9, 10]], divisible_by=4)
        >>> [shard_for_context_parallel(batch, rank, 2)["ids"].tolist() for rank in range(2)]
        [[5, 8, 9, 0], [6, 7, 10, 0]]
    """
    world_size = check_int(world_size, name="world_size", low=1, high=2**31)
    rank = check_int(rank, name="rank", high=world_size - 1)
    shape = _check_tokens(batch, "batch").shape
    (index,) = _chunks(batch, world_size, [rank], "batch")
    axis = len(shape) - 1
    names = _token_names(batch, names)
    return {name: _select(part, axis, index) if name in names else part for name, part in batch.items()}


@checked
def unshard_context_parallel(
    parts: Sequence[Mapping[str, Any]], /, *, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return a batch from the parts of all context-parallel ranks: the inverse of `shard_for_context_parallel`.

    Args:
        parts: what each rank got, in the order of the ranks, perhaps with the model's outputs added to each.
        names: as in `shard_for_context_parallel`.

    Example:
        >>> from bionemo.data import collate_packed
        >>> batch = collate_packed([[5, 6, 7, 8], [9, 10]], divisible_by=4)
        >>> unshard_context_parallel([shard_for_context_parallel(batch, rank, 2) for rank in range(2)])["ids"]
        tensor([ 5,  6,  7,  8,  9, 10,  0,  0])
    """
    parts = listed(parts, name="parts")
    mask = _check_tokens(parts[0] if parts else None, "each of the parts")
    axis = mask.ndim - 1
    whole = {**parts[0], "mask": torch.cat([mask] * len(parts), dim=axis)}
    back = torch.cat(_chunks(whole, len(parts), range(len(parts)), "parts")).argsort()
    names = _token_names(parts[0], names)
    return {
        name: _select(torch.cat([other[name] for other in parts], dim=axis), axis, back) if name in names else part
        for name, part in parts[0].items()
    }


def _select(part: Tensor, axis: int, index: Int[Tensor, " tokens"]) -> Tensor:
    """Return the tokens of some indices, also of unsigned dtypes, which `index_select` lacks."""
    return part[index] if axis == 0 else part[:, index]


def _check_tokens(batch: Any, name: str) -> Tensor:
    """Return the mask of a packed or padded batch."""
    mask = batch.get("mask") if isinstance(batch, Mapping) else None
    if isinstance(mask, Tensor):
        check_dense(mask, name=f"{name}['mask']")
    if not isinstance(mask, Tensor) or mask.ndim not in {1, 2}:
        message = f"{name} must be what collate_packed or collate_fields returned, got {shown(batch)}."
        raise ValueError(message)
    if mask.ndim == 1:
        check_packed(batch, name=name)
    return mask


def _token_names(batch: Mapping[str, Any], names: Iterable[str] | None) -> set[str]:
    """Return the names of the tensors with one value per token."""
    if names is not None:
        names = listed(names, name="names")
        unknown = [name for name in names if not isinstance(name, str) or name not in batch]
        if unknown:
            message = f"names must be names of the batch, {shown([*batch])}, got {shown(unknown[0])}."
            raise ValueError(message)
    shape = batch["mask"].shape
    dense = {name: part for name, part in batch.items() if isinstance(part, Tensor) and not part.is_nested}
    tensors = {name for name, part in dense.items() if part.shape[: len(shape)] == shape}
    if names is None:
        return tensors - {"cu_seqlens", "cu_seqlens_padded"}  # which may be as long by chance
    if others := [name for name in names if name not in tensors]:
        message = f"names must be those of tensors with one value per token, got {others[0]!r} in {shown(dict(batch))}."
        raise ValueError(message)
    return {*names}


def _chunks(batch: Mapping[str, Any], world_size: int, ranks: Iterable[int], name: str) -> list[Int[Tensor, " tokens"]]:
    """Return the indices of the tokens of some context-parallel ranks."""
    mask = batch["mask"]
    if mask.ndim == 1:
        check_bounds(batch, name=name)
        bounds = batch["cu_seqlens_padded"].long()
        if len(mask) > int(bounds[-1]):  # the padding at the end counts as one more sample
            bounds = torch.cat([bounds, torch.tensor([len(mask)], device=bounds.device)])
    else:
        bounds = torch.tensor([0, mask.shape[1]], device=mask.device)
    lengths = bounds.diff()
    wrong = [length for length in lengths.tolist() if length % (2 * world_size)]
    if wrong:
        message = (
            f"{name} must hold samples whose lengths are multiples of {2 * world_size} for {world_size} "
            f"context-parallel ranks, got {wrong[0]}. Collate with divisible_by={2 * world_size}, or "
            "pad_size_divisible_by for a padded batch."
        )
        raise ValueError(message)
    token = torch.arange(int(bounds[-1]), device=mask.device)
    sample = torch.repeat_interleave(torch.arange(len(lengths), device=mask.device), lengths)
    chunk = (token - bounds[sample]) * 2 * world_size // lengths[sample]
    owner = torch.minimum(chunk, 2 * world_size - 1 - chunk)
    return [token[owner == rank] for rank in ranks]
