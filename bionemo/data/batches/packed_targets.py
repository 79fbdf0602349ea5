"""Targets of packed batches: the same as in padded blocks, sample by sample."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_word, is_concrete
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.data.batches.corruption import TokenRows, corrupt_tokens
from bionemo.data.batches.masking import as_corruption
from bionemo.data.batches.packing import check_bounds, check_packed

__all__ = ["mask_packed_tokens", "next_packed_labels"]


@checked
def mask_packed_tokens(
    batch: Mapping[str, Any],
    *,
    seeds: Int[Tensor, " samples"],
    mask_id: AnyInt,
    replacement_ids: Iterable[AnyInt] | Integer[Tensor, " replacements"],
    **options: Any,
) -> dict[str, Any]:
    """Return a packed batch with its `ids` corrupted for masked-language modelling, and `labels` to predict.

    Law: a sample's tokens and labels are those that `mask_tokens` gives for it in a padded block, with the same seed.

    Args:
        batch: what `collate_packed` returned.
        seeds: one per sample, 0..2**63-1.
        mask_id: as in `mask_tokens`.
        replacement_ids: as in `mask_tokens`.
        **options: the others of `mask_tokens`.

    Example:
        >>> from bionemo.data import collate_packed
        >>> batch = collate_packed([range(3, 9), range(9, 15)])
        >>> options = {"mask_id": 1, "replacement_ids": range(3, 15), "mask_prob": 0.5}
        >>> mask_packed_tokens(batch, seeds=torch.tensor([7, 8]), **options)["ids"]
        tensor([ 3,  4,  1,  6,  1,  1,  9, 10,  1,  1, 13, 14])
    """
    check_packed(batch, "ids")
    ids, mask = batch["ids"], batch["mask"]
    if seeds.shape != (len(batch["cu_seqlens"]) - 1,):
        message = f"seeds must be one per sample, got {tuple(seeds.shape)} for {len(batch['cu_seqlens']) - 1} samples."
        raise ValueError(message)
    check_bounds(batch)
    segments = batch["segment_ids"].long()
    if len(segments) and is_concrete(segments):
        lowest, highest = (numbers := segments.numpy()).min(), numbers.max()
        if not -1 <= lowest <= highest < len(seeds):
            message = f"batch['segment_ids'] must be in -1..{len(seeds) - 1}, got {lowest}..{highest}."
            raise ValueError(message)
    corruption = as_corruption(ids, mask, mask_id=mask_id, replacement_ids=replacement_ids, **options)
    starts = batch["cu_seqlens_padded"].long()
    rows = TokenRows(check_word(seeds, name="seeds"), segments, starts=starts)
    masked = corrupt_tokens(ids, mask, rows, corruption)
    return {**batch, "ids": masked.ids, "labels": masked.labels}


@checked
def next_packed_labels(batch: Mapping[str, Any], /) -> Int[Tensor, " tokens"]:
    """Return labels for next-token prediction in a packed batch: for each token, the one that follows in its sample.

    Law: a sample's labels are those that `next_token_labels` gives for it in a padded block; they never come from
    another sample.

    Returns:
        int64 labels; -100 at padding and at the last token of each sample.

    Example:
        >>> from bionemo.data import collate_packed
        >>> next_packed_labels(collate_packed([[5, 6, 7], [8]]))
        tensor([   6,    7, -100, -100])
    """
    check_packed(batch, "ids")
    ids, mask, segments = batch["ids"], batch["mask"], batch["segment_ids"]
    labels = torch.full_like(ids, IGNORE_INDEX, dtype=torch.int64)
    follows = mask[:-1] & mask[1:] & (segments[:-1] == segments[1:])
    labels[:-1] = torch.where(follows, ids[1:].long(), IGNORE_INDEX)
    return labels
