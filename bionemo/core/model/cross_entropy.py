"""The cross-entropy of labeled tokens, with or without a weight for each."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import attrs
import torch
from jaxtyping import Float, Integer, Num
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import is_concrete
from bionemo.core.fields import check_bool, to_bool
from bionemo.core.int64 import check_signed
from bionemo.core.model.loss import LossSum, mean_loss

__all__ = ["IGNORE_INDEX", "TokenCrossEntropy", "token_cross_entropy"]

IGNORE_INDEX: Final = -100
"""Label of tokens that don't contribute to the loss: the default `ignore_index` of torch's losses."""


@checked
def token_cross_entropy(
    logits: Float[Tensor, "*batch vocabulary"],
    labels: Integer[Tensor, "*batch"],
    /,
    *,
    weights: Num[Tensor, "*batch"] | None = None,
) -> LossSum:
    """Return the sum of the cross-entropy over all labeled tokens, in nats, each times its weight.

    Laws: the results for the parts of a batch add up to the result for the whole batch, to rounding; padding, which has
    no labels, changes nothing; a token of weight 2 counts like two tokens. Only the ratios of weights matter in means.

    Args:
        logits: scores before the softmax.
        labels: correct tokens, or `IGNORE_INDEX` for unlabeled ones.
        weights: finite and not negative, one per label; by default 1. Those of unlabeled tokens don't count. Integers,
            e.g. 10 and 1 for 1 and 0.1, keep the number of tokens an integer, as megatron-core needs it.

    Returns:
        The sum, in the dtype of the logits but at least float32, and the number of labeled tokens, or the sum of their
        weights; 0 and 0 if there is none.

    Raises:
        ValueError: if there is not one row of logits and one weight per label, or a weight is negative, infinite or
            NaN. The values of weights on an accelerator are not checked.
        TypeError: if the logits are not floats, or the labels are bools, or other numbers than integers.
        IndexError: on the CPU, if a label is neither -100 nor in 0..classes-1.

    Example:
        >>> token_cross_entropy(torch.zeros(3, 4), torch.tensor([1, -100, 2])).num_tokens
        tensor(2)
        >>> token_cross_entropy(torch.zeros(2, 4), torch.tensor([1, 2]), weights=torch.tensor([1.0, 0.1])).num_tokens
        tensor(1.1000)
    """
    if logits.shape[:-1] != labels.shape or not logits.ndim or not logits.shape[-1]:
        shapes = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}"
        message = f"logits must have one row per label, of at least one element, got {shapes}."
        raise ValueError(message)
    if not logits.is_floating_point():
        message = f"logits must be floats, got dtype={logits.dtype}."
        raise TypeError(message)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        message = f"labels must be integers, got dtype={labels.dtype}. They are tokens."
        raise TypeError(message)
    check_signed(labels, name="labels")
    is_labeled = labels != IGNORE_INDEX
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).to(torch.promote_types(logits.dtype, torch.float32)),
        labels.flatten().long(),
        ignore_index=IGNORE_INDEX,
        reduction="sum" if weights is None else "none",
    )
    if weights is None:
        return LossSum(losses, is_labeled.sum())
    weights = _check_weights(weights, is_labeled)
    counts = weights if not weights.is_floating_point() else weights.to(losses.dtype)
    return LossSum((losses * weights.flatten()).sum(), counts.sum())


def _check_weights(weights: Tensor, is_labeled: Tensor) -> Tensor:
    """Return the weights of the labeled tokens, and 0 for the others."""
    if weights.shape != is_labeled.shape:
        message = f"weights must be one per label, got weights {tuple(weights.shape)} for {tuple(is_labeled.shape)}."
        raise ValueError(message)
    if weights.dtype == torch.bool or weights.is_complex():
        message = f"weights must be real numbers, got dtype={weights.dtype}. Convert a mask by .float() or .long()."
        raise TypeError(message)
    if not weights.is_floating_point():
        check_signed(weights, name="weights")
    weights = weights.detach().where(is_labeled, torch.zeros_like(weights))
    if is_concrete(weights):
        is_wrong = ~(torch.isfinite(weights) & (weights >= 0))
        if is_wrong.any():
            message = f"weights must be finite and not negative, got {float(weights[is_wrong][0])}."
            raise ValueError(message)
    return weights


@attrs.frozen
class TokenCrossEntropy:
    """The cross-entropy of labeled tokens, as a class that `get_loss_reduction_class` may return.

    A batch is a mapping with int64 `labels` and, optionally, one weight per label in `loss_weights`; the model's output
    is a tensor of logits. No method communicates with other processes.

    Example:
        >>> batch, out = {"labels": torch.tensor([[1, -100]])}, torch.zeros(1, 2, 4)
        >>> loss_func = TokenCrossEntropy().setup(batch)  # Megatron's schedules call it with the output
        >>> loss_func(out).num_tokens
        tensor(1)
    """

    validation_step: bool = attrs.field(default=False, converter=to_bool, validator=check_bool)
    """Whether losses have the metric "accuracy", the number of correct predictions, or the sum of their weights."""

    def setup(self, batch: Mapping[str, Tensor]) -> Callable[[Tensor], LossSum]:
        """Return the function from a model's output to the loss of a (micro-)batch."""
        return partial(self.forward, batch)

    def forward(self, batch: Mapping[str, Tensor], out: Float[Tensor, "*batch vocabulary"]) -> LossSum:
        """Return the loss of one (micro-)batch as a `LossSum`."""
        labels, weights = batch["labels"], batch.get("loss_weights")
        loss = token_cross_entropy(out, labels, weights=weights)
        if not self.validation_step:
            return loss
        is_right = out.argmax(-1) == labels  # never where the label is -100
        return loss._replace(metrics={"accuracy": (is_right if weights is None else is_right * weights).sum()})

    def reduce(self, losses: Iterable[LossSum]) -> Float[Tensor, ""]:
        """Return the mean loss per token over several (micro-)batches."""
        return mean_loss(losses)
