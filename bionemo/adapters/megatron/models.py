"""Megatron-core's models, called with a batch as every model of this library. Importing this imports megatron-core."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bionemo.adapters.megatron.attention import CoreAttention
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.logits import gather_logits
from bionemo.core.utils.checks import is_concrete

__all__ = ["BatchBertModel", "BatchGPTModel", "BatchModule"]

_Bert: Any = import_megatron("megatron.core.models.bert.bert_model").BertModel
_GPT: Any = import_megatron("megatron.core.models.gpt.gpt_model").GPTModel
_Rotary: Any = import_megatron("megatron.core.models.common.embeddings.rotary_pos_embedding").RotaryEmbedding
_Module: Any = import_megatron("megatron.core.transformer.module").MegatronModule
_ModelType: Any = import_megatron("megatron.core.transformer.enums").ModelType


class _RotaryEmbedding(_Rotary):
    """Rotary positions on the device of the model, where megatron-core's insist on the GPU."""

    inv_freq: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: FBT001, FBT002 - torch's
        self.inv_freq = self.inv_freq.to(fn(self.inv_freq).device)  # in float32, whatever the model's dtype
        return super()._apply(fn, recurse)

    def get_emb(self, max_seq_len: int, offset: int = 0) -> Tensor:
        """Return the angle of each place and channel."""
        angles: Tensor = self.get_freqs_non_repeated(max_seq_len, offset)
        both = angles.repeat_interleave(2, dim=-1) if self.rotary_interleaved else torch.cat([angles, angles], dim=-1)
        return both[:, None, None]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the angles, worked out anew: megatron-core keeps them for good, on the device where they were."""
        angles: Tensor = _Rotary.forward.__wrapped__(self, *args, **kwargs)
        return angles


def _replace_rotary(model: Any) -> None:
    if model.position_embedding_type == "rope":
        model.rotary_pos_emb.__class__ = _RotaryEmbedding  # with all that it was made with


def _checked(batch: Mapping[str, Tensor], model: Any) -> tuple[Tensor, Tensor | None]:
    """Return the ids of a batch, and the mask as bools."""
    if not isinstance(batch, Mapping) or "ids" not in batch:
        found = f"with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        message = f'batch must be a mapping with "ids", and "mask" where rows are padded, got {found}.'
        raise TypeError(message)
    ids, mask = batch["ids"], batch.get("mask")
    if ids.ndim != 2 or ids.is_floating_point() or (mask is not None and mask.shape != ids.shape):  # noqa: PLR2004
        masked = "no mask" if mask is None else f"mask {tuple(mask.shape)}"
        message = (
            f"ids must be integers (rows, tokens), with such a mask, got {ids.dtype} {tuple(ids.shape)}, {masked}."
        )
        raise ValueError(message)
    if ids.shape[1] > model.max_sequence_length:
        message = (
            f"rows must be at most max_length={model.max_sequence_length} long, got ids {tuple(ids.shape)}. Crop them."
        )
        raise ValueError(message)
    if is_concrete(ids) and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < model.vocab_size:
        message = (
            f"ids must be in 0..{model.vocab_size - 1}, those of the vocabulary, "
            f"got {int(ids.min())}..{int(ids.max())}."
        )
        raise ValueError(message)
    return ids, None if mask is None else mask.bool()


def _gathered(model: Any, output: Tensor) -> Tensor:
    """Return the logits of the whole vocabulary; hidden states, on other stages than the last, are whole already."""
    return gather_logits(output, group=model.pg_collection.tp) if model.post_process else output


class BatchGPTModel(_GPT):
    """A `GPTModel` of megatron-core that is called with a batch.

    A batch is a mapping with int64 `ids` and, where rows are padded, on either side, the bool `mask` that is True at
    real tokens. It answers with logits, or on other stages than a pipeline's last with hidden states.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _replace_rotary(self)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each next token."""
        ids, mask = _checked(batch, self)
        if mask is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        else:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)  # from the first real token on
        hidden = None if mask is None else ~mask[:, None, None]
        return _gathered(self, super().forward(ids, positions, hidden))


class BatchBertModel(_Bert):
    """A `BertModel` of megatron-core that is called with a batch.

    A batch is a mapping with int64 `ids` and, where rows are padded, the bool `mask` that is True at real tokens. It
    answers with logits, or on other stages than a pipeline's last with hidden states.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _replace_rotary(self)

    def _sanity_check_attention_and_get_attn_mask_dimension(self) -> str:
        """Return the shape of the mask: megatron-core asks for the version of Transformer Engine, which may be none."""
        attention = self.transformer_layer_spec.submodules.self_attention.submodules.core_attention
        if attention is CoreAttention:
            return "b11s"
        shape: str = super()._sanity_check_attention_and_get_attn_mask_dimension()
        return shape

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each token."""
        ids, mask = _checked(batch, self)
        output = super().forward(ids, torch.ones_like(ids) if mask is None else mask.long())
        return _gathered(self, output[0] if self.post_process else output)


class BatchModule(_Module):
    """A module of torch, whole on every rank, with what megatron-core's schedules ask of a model.

    Args:
        model: called with a batch.
        config: megatron-core's `TransformerConfig`, for what it says of schedules.
    """

    def __init__(self, model: nn.Module, config: Any) -> None:
        super().__init__(config=config)
        self.model = model
        self.model_type = _ModelType.encoder_or_decoder

    def set_input_tensor(self, _: Any) -> None:
        """Take what an earlier stage answered: there is none."""

    def forward(self, batch: Any) -> Any:
        """Return the model's output."""
        return self.model(batch)
