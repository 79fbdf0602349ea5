"""A small causal language model of DNA, and its configuration."""

from collections.abc import Mapping

import attrs
from torch import Tensor, nn

from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.cross_entropy import TokenCrossEntropy


class StrandModel(nn.Module):
    """Reads a strand from left to right and predicts each next base."""

    def __init__(self, config: "StrandConfig") -> None:
        super().__init__()
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.read = nn.GRU(config.width, config.width, batch_first=True)
        self.predict = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.width, config.vocab_size))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each next base."""
        hidden, _ = self.read(self.embed(batch["ids"]))
        return self.predict(hidden)


@attrs.frozen(kw_only=True)
class StrandConfig(BionemoTrainableModelConfig[StrandModel, TokenCrossEntropy]):
    """Configuration of a `StrandModel`."""

    vocab_size: int = 6
    width: int = attrs.field(default=16, validator=attrs.validators.ge(1))
    dropout: float = 0.1

    def configure_model(self) -> StrandModel:
        """Return a new model."""
        return StrandModel(self)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        """Return the class of the cross-entropy over real bases."""
        return TokenCrossEntropy
