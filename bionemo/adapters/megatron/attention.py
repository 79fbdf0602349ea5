"""Attention for megatron-core's layers on any device, with dropout that is independent of the tensor-parallel size."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bionemo.adapters.megatron.gathering import gather_tokens
from bionemo.adapters.megatron.parallel import parallel_state
from bionemo.core.random import make_generator, seed_from_generator

__all__ = ["PortableDotProductAttention"]


class PortableDotProductAttention(nn.Module):
    """Scaled dot-product attention for the `core_attention` slot of a megatron-core layer.

    It runs on the device of its tensors, including the CPU, which megatron-core's own attention doesn't support. With
    dropout, it uses no fused kernel and holds a few tensors of size queries x keys.

    Law: in training, the tensor-parallel ranks together drop the attention weights that a single rank would drop. Each
    call takes one draw from torch's global state, the same on every rank, and each head derives its own stream from
    that draw and from its index in the whole model.

    Packed batches are supported on one and on several context-parallel ranks, which gather the keys and values of all
    tokens: it saves the memory of activations, not that of attention.

    Args:
        config: megatron-core's configuration.
        layer_number: not used.
        attn_mask_type: megatron-core's mask type, e.g. causal. All types that aren't causal use the mask alone.
        attention_type: not used.
        attention_dropout: fraction of attention weights dropped in training; None for the one in `config`.
        softmax_scale: factor on the scores; None for the usual `1 / sqrt(head width)`.
        cp_comm_type: not used.
        pg_collection: its `tp` is the group that shares the heads, and its `cp` the one that shares the tokens; None
            for megatron-core's own groups.

    Raises:
        ValueError: if `config` has window attention or a softmax other than the usual one.
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
        for name, usual in (("window_size", None), ("softmax_type", "vanilla")):
            if getattr(config, name) != usual:
                message = (
                    f"{name} must be {usual!r} for this attention, got {name}={getattr(config, name)!r}. "
                    "Pass a layer_spec with Transformer Engine's attention."
                )
                raise ValueError(message)
        self.attn_mask_type = attn_mask_type
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.scale = 1 / math.sqrt(config.kv_channels) if softmax_scale is None else softmax_scale
        tensor_group = parallel_state().get_tensor_model_parallel_group() if pg_collection is None else pg_collection.tp
        self.tensor_parallel_rank: int = tensor_group.rank()
        self.context_group = None
        if config.context_parallel_size > 1:
            own = parallel_state().get_context_parallel_group
            self.context_group = own() if pg_collection is None else pg_collection.cp

    def forward(
        self,
        query: Float[Tensor, "queries *batch heads width"],
        key: Float[Tensor, "keys *batch groups width"],
        value: Float[Tensor, "keys *batch groups value_width"],
        attention_mask: Bool[Tensor, "#batch #heads #queries keys"] | None,
        *,
        attn_mask_type: Any = None,
        attention_bias: Any = None,
        packed_seq_params: Any = None,
    ) -> Float[Tensor, "queries batch hidden"]:
        """Return the attention output of each query, with heads and channels flattened into one axis.

        Args:
            query: queries of this rank's heads.
            key: keys. Their number of heads divides that of the queries: each serves a group of query heads.
            value: values, with as many heads as `key`.
            attention_mask: True = hidden, as everywhere in megatron-core. A query whose keys are all hidden attends to
                all of them, so that its output is finite.
            attn_mask_type: overrides the layer's; None keeps it.
            attention_bias: not supported.
            packed_seq_params: of a packed batch, as this library's models make them. Then the tensors have no axis
                "batch", and there is no `attention_mask`.

        Raises:
            ValueError: if a bias or other packed sequences are given, or context-parallel ranks don't get packed ones.
        """
        if attention_bias is not None:
            message = "attention_bias must be None. Use Transformer Engine's attention for it."
            raise ValueError(message)
        is_causal = "causal" in (attn_mask_type or self.attn_mask_type).name
        visible: Tensor | None = None if attention_mask is None else ~attention_mask
        if packed_seq_params is not None or self.context_group is not None:
            visible, is_causal = _visible(packed_seq_params), False  # it knows which tokens are later
            query, key, value = (
                part[:, None]
                for part in (query, gather_tokens(key, self.context_group), gather_tokens(value, self.context_group))
            )
        query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        num_queries, num_keys = query.shape[2], key.shape[2]
        if is_causal and (visible is not None or dropout or num_queries != num_keys):
            # The queries are the last positions of the keys (as in decoding), so the diagonal ends at the last key;
            # torch's own is_causal would align it with the first one.
            earlier = torch.ones(num_queries, num_keys, dtype=torch.bool, device=query.device)
            earlier = earlier.tril(num_keys - num_queries)
            visible = earlier if visible is None else visible & earlier
        if visible is not None:
            visible = visible | ~visible.any(-1, keepdim=True)  # a softmax over no key would be NaN
        if dropout:
            output = self._attend_with_dropout(query, key, value, visible, dropout)
        else:
            output = nn.functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=visible,
                is_causal=is_causal and visible is None,
                scale=self.scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        return output.permute(2, 0, 1, 3).flatten(2)

    def _attend_with_dropout(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, dropout: float
    ) -> Tensor:
        """Return the attention output with a fraction of the weights dropped and the rest scaled up."""
        num_heads = query.shape[1]
        key, value = (part.repeat_interleave(num_heads // part.shape[1], dim=1) for part in (key, value))
        scores = (query * self.scale) @ key.transpose(-2, -1)  # scaled before the product: fp16 overflows above 65,504
        if visible is not None:
            scores = scores.masked_fill(~visible, -math.inf)
        weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
        seed = seed_from_generator(torch.default_generator)  # the step's seed, the same on every rank
        keep = torch.empty_like(weights.transpose(0, 1), memory_format=torch.contiguous_format)
        for local_head, kept in enumerate(keep):
            head = self.tensor_parallel_rank * num_heads + local_head  # index in the whole model
            kept.bernoulli_(1 - dropout, generator=make_generator(seed, "head", head, device=keep.device))
        return (weights * keep.transpose(0, 1)) @ value / (1 - dropout)


def _visible(packed_seq_params: Any) -> Tensor:
    """Return which keys each query attends to, in a packed batch."""
    visible: Tensor | None = getattr(packed_seq_params, "visible", None)
    if visible is None:
        message = (
            "packed_seq_params must be those that the models of this library make of a packed batch. Call the model "
            "with what collate_packed returned, or use Transformer Engine's attention."
        )
        raise ValueError(message)
    return visible
