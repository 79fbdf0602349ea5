"""Losses as sums over tokens, which add up however a batch is cut."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import attrs
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["IGNORED_LABEL", "LossSum", "TokenCrossEntropy", "mean_loss", "token_cross_entropy"]

IGNORED_LABEL: Final = -100
"""Label of a token that counts for nothing: torch's `ignore_index`."""


class LossSum(NamedTuple):
    """A loss that can be added to others: its sum over tokens, and how many they are.

    Both are scalar tensors: `loss_sum` in the unit of the loss (nats), `num_tokens` int64.
    """

    loss_sum: Float[Tensor, ""]
    num_tokens: Int[Tensor, ""]


def token_cross_entropy(logits: Float[Tensor, "*batch vocabulary"], labels: Int[Tensor, "*batch"], /) -> LossSum:
    """Return the cross-entropy of every labelled token, summed, in nats.

    Law: the answers for parts of a batch add up to the answer for the whole, to rounding; padding, which bears no
    label, changes nothing.

    Args:
        logits: scores before the softmax.
        labels: the right token, or `IGNORED_LABEL`.

    Returns:
        The sum, in the dtype of the logits and at least float32, and the number of labelled tokens; 0 and 0 where there
        is none.

    Example:
        >>> token_cross_entropy(torch.zeros(3, 4), torch.tensor([1, -100, 2])).num_tokens
        tensor(2)
    """
    loss_sum = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).to(torch.promote_types(logits.dtype, torch.float32)),
        labels.flatten().long(),
        ignore_index=IGNORED_LABEL,
        reduction="sum",
    )
    return LossSum(loss_sum, (labels != IGNORED_LABEL).sum())


def mean_loss(losses: Sequence[LossSum], /) -> Float[Tensor, ""]:
    """Return the mean over all tokens of several parts of a batch.

    Law: equal to the mean over the batch in one piece, to rounding.

    Args:
        losses: one a part; those without tokens count for nothing.

    Returns:
        The mean a token; 0 where there is no token.

    Raises:
        ValueError: if there is no part.

    Example:
        >>> part = LossSum(torch.tensor(6.0), torch.tensor(2))
        >>> mean_loss([part, part])
        tensor(3.)
    """
    if not losses:
        message = "losses must hold at least one part, got none."
        raise ValueError(message)
    loss_sum = torch.stack([loss.loss_sum for loss in losses]).sum()
    num_tokens = torch.stack([loss.num_tokens for loss in losses]).sum()
    return loss_sum / num_tokens.clamp(min=1)


@attrs.frozen
class TokenCrossEntropy:
    """The cross-entropy of labelled tokens, in the form that `get_loss_reduction_class` promises.

    A batch is a mapping with int64 `labels`; the model's output is a tensor of logits. No function of it talks to other
    processes.
    """

    validation_step: bool = False

    def forward(self, batch: Mapping[str, Tensor], out: Float[Tensor, "*batch vocabulary"]) -> LossSum:
        """Return the loss of one (micro-)batch, as a sum and a count."""
        return token_cross_entropy(out, batch["labels"])

    def reduce(self, losses: Sequence[LossSum]) -> Float[Tensor, ""]:
        """Return the mean over the tokens of several (micro-)batches."""
        return mean_loss(losses)
