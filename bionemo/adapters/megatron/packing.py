"""Packed batches as megatron-core's attention takes them."""

from collections.abc import Mapping
from typing import Any

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.checked import checked
from bionemo.data.batches.packing import check_packed

__all__ = ["packed_seq_params"]


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
