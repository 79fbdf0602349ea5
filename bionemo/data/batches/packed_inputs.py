"""Packed batches as models take them: FlashAttention, masks of attention, and shares of context-parallel ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int

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
    if not torch.equal(batch["cu_seqlens"], batch["cu_seqlens_padded"]):
        message = (
            "samples must be packed without padding, got cu_seqlens_padded other than cu_seqlens. Use divisible_by=1."
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
    segments, mask = batch["segment_ids"], batch["mask"]
    allowed: Tensor = (segments[:, None] == segments) & (mask[:, None] == mask)
    return allowed.tril() if causal else allowed


@checked
def shard_for_context_parallel(batch: Mapping[str, Any], rank: AnyInt, world_size: AnyInt, /) -> dict[str, Any]:
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

    Returns:
        The batch with the rank's part of each tensor that has one value per token. `cu_seqlens` stay those of the whole
        samples, as `PackedSeqParams` takes them.

    Raises:
        ValueError: if a sample's length, with its padding, is no multiple of `2 * world_size`, or `rank` is out of
            range.
        KeyError: if the batch has no `mask`.

    Source: `get_batch_on_this_cp_rank` and `thd_get_partitioned_indices` in megatron-core and TransformerEngine.

    Example:
        >>> from bionemo.data import collate_packed
        >>> batch = collate_packed([[5, 6, 7, 8], [9, 10]], divisible_by=4)
        >>> [shard_for_context_parallel(batch, rank, 2)["ids"].tolist() for rank in range(2)]
        [[5, 8, 9, 0], [6, 7, 10, 0]]
    """
    world_size = check_int(world_size, name="world_size", low=1)
    rank = check_int(rank, name="rank", high=world_size - 1)
    shape = batch["mask"].shape
    index = _chunks(batch, world_size)[rank]
    axis = len(shape) - 1
    return {name: part.index_select(axis, index) if _has_tokens(part, shape) else part for name, part in batch.items()}


@checked
def unshard_context_parallel(parts: Sequence[Mapping[str, Any]], /) -> dict[str, Any]:
    """Return a batch from the parts of all context-parallel ranks: the inverse of `shard_for_context_parallel`.

    Args:
        parts: what each rank got, in the order of the ranks, perhaps with the model's outputs added to each.

    Example:
        >>> from bionemo.data import collate_packed
        >>> batch = collate_packed([[5, 6, 7, 8], [9, 10]], divisible_by=4)
        >>> unshard_context_parallel([shard_for_context_parallel(batch, rank, 2) for rank in range(2)])["ids"]
        tensor([ 5,  6,  7,  8,  9, 10,  0,  0])
    """
    mask = parts[0]["mask"]
    axis = mask.ndim - 1
    back = torch.cat(_chunks({**parts[0], "mask": torch.cat([mask] * len(parts), dim=axis)}, len(parts))).argsort()
    return {
        name: torch.cat([other[name] for other in parts], dim=axis).index_select(axis, back)
        if _has_tokens(part, mask.shape)
        else part
        for name, part in parts[0].items()
    }


def _has_tokens(part: Any, shape: torch.Size) -> bool:
    """Return whether a value has one element per token of a mask of a shape."""
    return isinstance(part, Tensor) and part.shape[: len(shape)] == shape


def _chunks(batch: Mapping[str, Any], world_size: int) -> list[Int[Tensor, " tokens"]]:
    """Return the indices of each context-parallel rank's tokens."""
    mask = batch["mask"]
    if mask.ndim == 1:
        bounds = batch["cu_seqlens_padded"].long()
        if len(mask) > int(bounds[-1]):  # the padding at the end counts as one more sample
            bounds = torch.cat([bounds, torch.tensor([len(mask)], device=bounds.device)])
    else:
        bounds = torch.tensor([0, mask.shape[1]], device=mask.device)
    lengths = bounds.diff()
    if (lengths % (2 * world_size)).any():
        longest = int(lengths[lengths % (2 * world_size) > 0][0])
        message = (
            f"the lengths of samples must be multiples of {2 * world_size} for {world_size} context-parallel ranks, "
            f"got {longest}. Collate with divisible_by={2 * world_size}, or pad_size_divisible_by for a padded batch."
        )
        raise ValueError(message)
    token = torch.arange(int(bounds[-1]), device=mask.device)
    sample = torch.repeat_interleave(torch.arange(len(lengths), device=mask.device), lengths)
    chunk = (token - bounds[sample]) * 2 * world_size // lengths[sample]
    owner = torch.minimum(chunk, 2 * world_size - 1 - chunk)
    return [token[owner == rank] for rank in range(world_size)]
