"""Packed batches as megatron-core's attention takes them."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.distributed import ProcessGroup

from bionemo.adapters.megatron.gathering import gather_tokens
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.checked import checked
from bionemo.data.batches.packing import check_packed

__all__ = ["packed_rows", "packed_seq_params", "visible_tokens"]


@checked
def packed_seq_params(batch: Mapping[str, Any], /) -> Any:
    """Return the `PackedSeqParams` of a packed batch, for a model of megatron-core.

    With context parallelism, pass those of the whole batch, and shard its tokens by `shard_for_context_parallel`. The
    padded sums are always given: without them, tokens leak across padded samples.

    Args:
        batch: what `collate_packed` returned.

    Raises:
        ImportError: if megatron-core is not installed.
        ValueError: if the batch isn't packed.

    Example:
        >>> from bionemo.data import collate_packed
        >>> params = packed_seq_params(collate_packed([[5, 6, 7], [8]], divisible_by=4))
        >>> params.qkv_format, params.cu_seqlens_q.tolist(), params.cu_seqlens_q_padded.tolist(), params.max_seqlen_q
        ('thd', [0, 3, 4], [0, 4, 8], 4)
    """
    check_packed(batch)
    bounds = {f"cu_seqlens_{side}": batch["cu_seqlens"] for side in ("q", "kv")}
    padded = {f"cu_seqlens_{side}_padded": batch["cu_seqlens_padded"] for side in ("q", "kv")}
    longest = {f"max_seqlen_{side}": batch["max_seqlen"] for side in ("q", "kv")}
    params = import_megatron("megatron.core.packed_seq_params").PackedSeqParams
    return params(qkv_format="thd", **bounds, **padded, **longest)


def packed_rows(batch: Mapping[str, Any], group: ProcessGroup, /, *, causal: bool) -> Any:
    """Return the parameters of a packed batch for this library's models, of which each rank has its part.

    They are those of `packed_seq_params`, with the mask for `PortableDotProductAttention` as `visible`. Padding at the
    end of the batch counts as one more sample, without real tokens.

    Args:
        batch: this rank's part of what `collate_packed` returned.
        group: the context-parallel ranks.
        causal: whether a token attends to itself and earlier ones only.

    Example:
        >>> from bionemo.adapters.megatron import model_parallel
        >>> from bionemo.data import collate_packed
        >>> with model_parallel():
        ...     rows = packed_rows(collate_packed([[5, 6], [8]], length=6), torch.distributed.group.WORLD, causal=False)
        >>> rows.cu_seqlens_q.tolist(), rows.cu_seqlens_q_padded.tolist(), rows.max_seqlen_q
        ([0, 2, 3, 3], [0, 2, 3, 6], 3)
    """
    rest = len(batch["mask"]) * group.size() - int(batch["cu_seqlens_padded"][-1])
    extended = dict(batch)
    if rest:
        for name, added in (("cu_seqlens", 0), ("cu_seqlens_padded", rest)):
            extended[name] = torch.cat([batch[name], batch[name][-1:] + added])
        extended["max_seqlen"] = max(batch["max_seqlen"], rest)
    params = packed_seq_params(extended)
    params.visible = visible_tokens(batch, group, causal=causal)
    return params


def visible_tokens(
    batch: Mapping[str, Any], group: ProcessGroup | None, /, *, causal: bool
) -> Bool[Tensor, "part tokens"]:
    """Return which of all ranks' tokens each token of this rank attends to, in the order of `gather_tokens`.

    Args:
        batch: this rank's part of a packed batch, from `shard_for_context_parallel`.
        group: the context-parallel ranks; None for this one alone.
        causal: whether a token attends to itself and earlier ones only.

    Example:
        >>> from bionemo.data import collate_packed
        >>> visible_tokens(collate_packed([[5, 6], [8]]), None, causal=True)
        tensor([[ True, False, False],
                [ True,  True, False],
                [False, False,  True]])
    """
    own = torch.stack([batch["segment_ids"], batch["positions"], batch["mask"].long()], dim=1)
    segments, positions, is_real = gather_tokens(own, group).unbind(1)
    visible: Tensor = (batch["segment_ids"][:, None] == segments) & is_real.bool()
    return visible & (positions <= batch["positions"][:, None]) if causal else visible
