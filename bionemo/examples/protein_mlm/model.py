"""A small masked-language model for proteins, configured by a frozen record."""

from collections.abc import Mapping
from typing import Any, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.data import attention_block_mask

__all__ = ["ProteinModel", "ProteinModelConfig"]


class ProteinModel(nn.Module):
    """A transformer encoder that maps a padded or packed batch of tokens to logits over the vocabulary.

    Args:
        config: the sizes of the model.
    """

    def __init__(self, config: "ProteinModelConfig") -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_length, config.hidden_size)
        layer = nn.TransformerEncoderLayer(
            config.hidden_size,
            config.num_heads,
            4 * config.hidden_size,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        layer.self_attn.dropout = 0.0  # one random number per pair of tokens would dominate the run time
        self.encoder = nn.TransformerEncoder(
            layer, config.num_layers, norm=nn.LayerNorm(config.hidden_size), enable_nested_tensor=False
        )
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, batch: Mapping[str, Any]) -> Float[Tensor, "*batch vocabulary"]:
        """Return the logits of every token.

        Args:
            batch: int64 `ids` and bool `mask` (True = real token), both of shape (batch, length); or a packed batch,
                whose samples attend to their own tokens only.
        """
        ids, mask = batch["ids"], batch["mask"]
        if "segment_ids" in batch:
            packed = (self.tokens(ids) + self.positions(batch["positions"]))[None]
            return cast("Tensor", self.head(self.encoder(packed, mask=~attention_block_mask(batch))[0]))
        if not len(ids):  # a rank without samples: attention needs a row, so run a dummy row and drop its logits
            return self.forward({"ids": ids.new_zeros(1, ids.shape[1]), "mask": mask.new_ones(1, ids.shape[1])})[:0]
        hidden = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        hidden = self.encoder(hidden, src_key_padding_mask=~mask)
        logits: Tensor = self.head(hidden)
        return logits


@attrs.frozen(kw_only=True)
class ProteinModelConfig(BionemoTrainableModelConfig[ProteinModel, TokenCrossEntropy]):
    """The sizes of a `ProteinModel`.

    Args:
        vocab_size: number of distinct tokens.
        max_length: maximum number of tokens per row.
        hidden_size: width of the embeddings; a multiple of `num_heads`.
        num_layers: number of transformer layers.
        num_heads: number of attention heads.
        dropout: fraction of activations dropped in training; attention weights are never dropped.

    Raises:
        ValueError: if a size isn't positive, `num_heads` doesn't divide `hidden_size`, or `dropout` isn't in 0..1.
    """

    vocab_size: int = attrs.field(validator=attrs.validators.ge(1))
    max_length: int = attrs.field(validator=attrs.validators.ge(1))
    hidden_size: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    num_layers: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    num_heads: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    dropout: float = attrs.field(default=0.1, validator=[attrs.validators.ge(0.0), attrs.validators.le(1.0)])

    @num_heads.validator
    def _check_heads(self, _: "attrs.Attribute[int]", num_heads: int) -> None:
        if self.hidden_size % num_heads:
            message = (
                f"hidden_size must be a multiple of num_heads, got hidden_size={self.hidden_size} "
                f"and num_heads={num_heads}."
            )
            raise ValueError(message)

    def configure_model(self) -> ProteinModel:
        """Return a new model."""
        return ProteinModel(self)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        """Return the class of the cross-entropy over the masked tokens."""
        return TokenCrossEntropy
