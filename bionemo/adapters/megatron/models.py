"""Megatron-core's models, called with a batch like every model here. Importing this module imports megatron-core."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bionemo.adapters.megatron.attention import PortableDotProductAttention
from bionemo.adapters.megatron.gathering import gather_logits
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.packing import packed_rows
from bionemo.core.checks import is_concrete
from bionemo.data.batches.packing import check_packed

__all__ = ["BatchBertModel", "BatchGPTModel", "BatchModule"]

_Bert: Any = import_megatron("megatron.core.models.bert.bert_model").BertModel
_GPT: Any = import_megatron("megatron.core.models.gpt.gpt_model").GPTModel
_Rotary: Any = import_megatron("megatron.core.models.common.embeddings.rotary_pos_embedding").RotaryEmbedding
_Module: Any = import_megatron("megatron.core.transformer.module").MegatronModule
_ModelType: Any = import_megatron("megatron.core.transformer.enums").ModelType


class _RotaryEmbedding(_Rotary):
    """Rotary position embedding on the model's device; megatron-core's own works on GPUs only."""

    inv_freq: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: FBT001, FBT002 - torch's
        # Follow the model's device, but stay in float32 whatever its dtype: half precision can't tell
        # distant positions apart.
        self.inv_freq = self.inv_freq.to(fn(self.inv_freq).device)
        return super()._apply(fn, recurse)

    def get_emb(self, max_seq_len: int, offset: int = 0) -> Tensor:
        """Return the angle of each position and channel, of shape (positions, 1, 1, channels)."""
        angles: Tensor = self.get_freqs_non_repeated(max_seq_len, offset)
        both = angles.repeat_interleave(2, dim=-1) if self.rotary_interleaved else torch.cat([angles, angles], dim=-1)
        return both[:, None, None]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the angles, computed at each call."""
        # __wrapped__ skips megatron-core's lru_cache, which would return angles on the device of the first call.
        angles: Tensor = _Rotary.forward.__wrapped__(self, *args, **kwargs)
        return angles


def _replace_rotary(model: Any) -> None:
    if model.position_embedding_type == "rope":
        model.rotary_pos_emb.__class__ = _RotaryEmbedding  # keeps the attributes that the constructor set


def _checked(batch: Mapping[str, Tensor], model: Any) -> tuple[Tensor, Tensor | None]:
    """Return the ids of a batch and its mask as bools, if it has one."""
    if not isinstance(batch, Mapping) or "ids" not in batch:
        found = f"with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        message = f'batch must be a mapping with "ids", and "mask" if rows are padded, got {found}.'
        raise TypeError(message)
    ids, mask = batch["ids"], batch.get("mask")
    if "cu_seqlens" in batch:
        check_packed(batch, "ids")
        ids = ids[None]
        longest, mask = int(batch["max_seqlen"]), None
    elif model.config.context_parallel_size > 1:
        message = (
            "batch must be packed with context parallelism, got a padded one. Collate it by collate_packed, and give "
            "each rank its part by shard_for_context_parallel, as iter_micro_batches does."
        )
        raise ValueError(message)
    else:
        longest = ids.shape[1] if ids.ndim == 2 else 0  # noqa: PLR2004
    if ids.ndim != 2 or ids.is_floating_point() or (mask is not None and mask.shape != ids.shape):  # noqa: PLR2004
        masked = "no mask" if mask is None else f"mask {tuple(mask.shape)}"
        message = (
            "ids must be integers of shape (rows, tokens), and mask of the same shape, "
            f"got {ids.dtype} {tuple(ids.shape)}, {masked}."
        )
        raise ValueError(message)
    if longest > model.max_sequence_length:
        message = (
            f"rows must have at most max_length={model.max_sequence_length} tokens, got ids {tuple(ids.shape)}. "
            "Crop them."
        )
        raise ValueError(message)
    if is_concrete(ids) and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < model.vocab_size:
        message = f"ids must be in the vocabulary, 0..{model.vocab_size - 1}, got {int(ids.min())}..{int(ids.max())}."
        raise ValueError(message)
    return ids, None if mask is None else mask.bool()


def _gathered(model: Any, output: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """Return the logits of the whole vocabulary; before the last stage, the hidden states unchanged."""
    if not model.post_process:
        return output
    logits = gather_logits(output, group=model.pg_collection.tp)
    return logits[0] if "cu_seqlens" in batch else logits


class BatchGPTModel(_GPT):
    """Megatron-core's `GPTModel`, called with a batch.

    A batch is a mapping with int64 `ids` and, if rows are padded (on either side), a bool `mask`, True = real token; or
    what `collate_packed` returned. The output is logits; before the last pipeline-parallel stage it is hidden states.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _replace_rotary(self)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return, at each token, the logits of the next one."""
        ids, mask = _checked(batch, self)
        if "cu_seqlens" in batch:
            rows = packed_rows(batch, self.pg_collection.cp, causal=True)
            output = super().forward(ids, batch["positions"][None], None, packed_seq_params=rows)
            return _gathered(self, output, batch)
        if mask is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        else:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)  # counted from the first real token
        hidden = None if mask is None else ~mask[:, None, None]
        return _gathered(self, super().forward(ids, positions, hidden), batch)


class BatchBertModel(_Bert):
    """Megatron-core's `BertModel`, called with a batch.

    A batch is a mapping with int64 `ids` and, if rows are padded, a bool `mask`, True = real token; or what
    `collate_packed` returned. The output is logits; before the last pipeline-parallel stage it is hidden states.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _replace_rotary(self)

    def _sanity_check_attention_and_get_attn_mask_dimension(self) -> str:
        """Return the shape of the mask, without megatron-core's check of Transformer Engine if that isn't used."""
        attention = self.transformer_layer_spec.submodules.self_attention.submodules.core_attention
        if attention is PortableDotProductAttention:
            return "b11s"
        shape: str = super()._sanity_check_attention_and_get_attn_mask_dimension()
        return shape

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each token."""
        ids, mask = _checked(batch, self)
        if "cu_seqlens" in batch:
            rows = packed_rows(batch, self.pg_collection.cp, causal=False)
            return _gathered(self, self._forward_packed(ids, batch["positions"][None], rows), batch)
        output = super().forward(ids, torch.ones_like(ids) if mask is None else mask.long())
        return _gathered(self, output[0] if self.post_process else output, batch)

    def _forward_packed(self, ids: Tensor, positions: Tensor, rows: Any) -> Tensor:
        """Return what `BertModel.forward` returns, which doesn't take packed batches."""
        hidden: Any = self.embedding(ids, positions) if self.pre_process else None
        rotary = self.rotary_pos_emb(rows.max_seqlen_q, packed_seq=True) if hasattr(self, "rotary_pos_emb") else None
        hidden = self.encoder(hidden_states=hidden, attention_mask=None, rotary_pos_emb=rotary, packed_seq_params=rows)
        if not self.post_process:
            return cast("Tensor", hidden)
        shared = self.shared_embedding_or_output_weight() if self.share_embeddings_and_output_weights else None
        logits: Tensor = self.output_layer(self.lm_head(hidden_states=hidden), weight=shared)[0]
        return logits.transpose(0, 1).contiguous()


class BatchModule(_Module):
    """A torch module that megatron-core's schedules can train, whole on every rank.

    Args:
        model: called with a batch.
        config: megatron-core's `TransformerConfig`; schedules read their options from it.
    """

    def __init__(self, model: nn.Module, config: Any) -> None:
        super().__init__(config=config)
        self.model = model
        self.model_type = _ModelType.encoder_or_decoder

    def set_input_tensor(self, _: Any) -> None:
        """Do nothing: a whole module has no earlier stage to take an input from."""

    def forward(self, batch: Any) -> Any:
        """Return the model's output."""
        return self.model(batch)
