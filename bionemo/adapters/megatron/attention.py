"""The attention of megatron-core's layers on any device, its dropout the same however the heads are shared out."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bionemo.adapters.megatron.parallel import parallel_state
from bionemo.core.utils.random_utils import make_generator, seed_from_generator

__all__ = ["CoreAttention"]


class CoreAttention(nn.Module):
    """Scaled dot-product attention, for the slot `core_attention` of a layer of megatron-core.

    It runs where its tensors are, also on the CPU, where megatron-core's own can't. In training its dropout follows
    torch's global state, as all dropout does, one draw a call on every rank; each head has a stream of its own, by its
    number in the whole model. So tensor-parallel ranks drop different weights, and together the very ones that a single
    rank would. (Where it drops, it goes without torch's fused kernels, and holds a few tensors of queries x keys.)

    Args:
        config: megatron-core's configuration.
        layer_number: not used.
        attn_mask_type: one of megatron-core's, "causal" for one; others leave all to the mask.
        attention_type: not used.
        attention_dropout: share of attention weights dropped in training; None for that of the configuration.
        softmax_scale: what scores are multiplied by; None for the usual `1 / sqrt(width of a head)`.
        cp_comm_type: not used.
        pg_collection: whose `tp` is the group that shares the heads; None for megatron-core's.

    Raises:
        ValueError: if the configuration asks for context parallelism, a window or another softmax.
    """

    def __init__(  # noqa: PLR0917 - megatron-core's signature
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
    ) -> None:
        super().__init__()
        for name, usual in (("context_parallel_size", 1), ("window_size", None), ("softmax_type", "vanilla")):
            if getattr(config, name) != usual:
                message = (
                    f"{name} must be {usual!r} for this attention, got {getattr(config, name)!r}. "
                    "Hand over a layer_spec with Transformer Engine's attention."
                )
                raise ValueError(message)
        self.attn_mask_type = attn_mask_type
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.scale = 1 / math.sqrt(config.kv_channels) if softmax_scale is None else softmax_scale
        tensor_group = parallel_state().get_tensor_model_parallel_group() if pg_collection is None else pg_collection.tp
        self.tensor_parallel_rank: int = tensor_group.rank()

    def forward(
        self,
        query: Float[Tensor, "queries batch heads width"],
        key: Float[Tensor, "keys batch groups width"],
        value: Float[Tensor, "keys batch groups value_width"],
        attention_mask: Bool[Tensor, "#batch #heads #queries keys"] | None,
        *,
        attn_mask_type: Any = None,
        attention_bias: Any = None,
        packed_seq_params: Any = None,
    ) -> Float[Tensor, "queries batch hidden"]:
        """Return what each query reads.

        Args:
            query: of this rank's heads.
            key: of as many heads, or of a divisor of them, each for several queries.
            value: likewise.
            attention_mask: True = hidden, as in all of megatron-core; a query from which all is hidden reads all.
            attn_mask_type: in the place of the layer's, where it isn't None.
            attention_bias: not supported.
            packed_seq_params: not supported.

        Raises:
            ValueError: if a bias or packed sequences are given.
        """
        if attention_bias is not None or packed_seq_params is not None:
            message = "attention_bias and packed_seq_params must be None. Use Transformer Engine's attention for them."
            raise ValueError(message)
        query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key, value))
        is_causal = "causal" in (attn_mask_type or self.attn_mask_type).name
        dropout = self.dropout if self.training else 0.0
        num_queries, num_keys = query.shape[2], key.shape[2]
        visible = None if attention_mask is None else ~attention_mask
        if is_causal and (visible is not None or dropout or num_queries != num_keys):
            earlier = torch.ones(num_queries, num_keys, dtype=torch.bool, device=query.device)
            earlier = earlier.tril(num_keys - num_queries)
            visible = earlier if visible is None else visible & earlier
        if visible is not None:
            visible = visible | ~visible.any(-1, keepdim=True)
        if dropout:
            read = self._read_with_dropout(query, key, value, visible, dropout)
        else:
            read = nn.functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=visible,
                is_causal=is_causal and visible is None,
                scale=self.scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        return read.permute(2, 0, 1, 3).flatten(2)

    def _read_with_dropout(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, dropout: float
    ) -> Tensor:
        """Return what each query reads of the attention weights that are kept."""
        num_heads = query.shape[1]
        key, value = (part.repeat_interleave(num_heads // part.shape[1], dim=1) for part in (key, value))
        scores = (query * self.scale) @ key.transpose(-2, -1)  # scaled first: fp16 ends at 65,504
        if visible is not None:
            scores = scores.masked_fill(~visible, -math.inf)
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
        seed = seed_from_generator(torch.default_generator)  # as all dropout: the step's, the same on every rank
        keep = torch.empty_like(weights.transpose(0, 1), memory_format=torch.contiguous_format)
        for head, kept in enumerate(keep):
            number = self.tensor_parallel_rank * num_heads + head
            kept.bernoulli_(1 - dropout, generator=make_generator(seed, "head", number, device=keep.device))
        return (weights * keep.transpose(0, 1)) @ value / (1 - dropout)
