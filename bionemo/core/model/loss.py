"""Losses as sums over tokens, which add up however a batch is cut."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import attrs
import torch
import torch.distributed
from jaxtyping import Float, Int
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, as_int

__all__ = [
    "IGNORED_LABEL",
    "LossSum",
    "TokenCrossEntropy",
    "add_losses",
    "as_pair",
    "mean_loss",
    "mean_metrics",
    "scale_for_ranks",
    "sum_over_ranks",
    "token_cross_entropy",
]

IGNORED_LABEL: Final = -100
"""Label of a token that counts for nothing: torch's `ignore_index`."""


class LossSum(NamedTuple):
    """A loss that can be added to others: sums over tokens, and how many tokens they are.

    It is the triple that Megatron's schedules take of a loss function, and a tree of tensors for `torch.vmap`.
    """

    loss_sum: Float[Tensor, ""]
    """In the unit of the loss (nats)."""
    num_tokens: Int[Tensor, ""]
    metrics: dict[str, Float[Tensor, ""] | Int[Tensor, ""]] = {}  # noqa: RUF012 - never changed
    """Other sums over the same tokens, by name: of right guesses, for one. Never changed in place."""


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

    Raises:
        ValueError: if the logits aren't one row a label.
        TypeError: if the labels are no integers.

    Example:
        >>> token_cross_entropy(torch.zeros(3, 4), torch.tensor([1, -100, 2])).num_tokens
        tensor(2)
    """
    if logits.shape[:-1] != labels.shape:
        message = f"logits must be one row a label, got logits {tuple(logits.shape)} and labels {tuple(labels.shape)}."
        raise ValueError(message)
    if labels.is_floating_point():
        message = f"labels must be integers, got dtype={labels.dtype}."
        raise TypeError(message)
    loss_sum = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).to(torch.promote_types(logits.dtype, torch.float32)),
        labels.flatten().long(),
        ignore_index=IGNORED_LABEL,
        reduction="sum",
    )
    return LossSum(loss_sum, (labels != IGNORED_LABEL).sum())


def add_losses(losses: Sequence[LossSum], /) -> LossSum:
    """Return the loss of several parts of a batch together.

    Law: equal to the loss of the batch in one piece, to rounding, with equal gradients; summed in at least float32.

    Args:
        losses: one a part, with metrics of the same names; those without tokens count for nothing.

    Raises:
        ValueError: if there is no part, or the metrics differ in name.

    Example:
        >>> part = LossSum(torch.tensor(6.0), torch.tensor(2))
        >>> add_losses([part, part]).loss_sum
        tensor(12.)
    """
    if not losses:
        message = "losses must hold at least one part, got none."
        raise ValueError(message)
    names = list(losses[0].metrics)
    if any(set(loss.metrics) != set(names) for loss in losses):
        message = f"losses must have metrics of the same names, got {[sorted(loss.metrics) for loss in losses]}."
        raise ValueError(message)
    loss_sums = torch.stack([loss.loss_sum for loss in losses])
    return LossSum(
        loss_sums.to(torch.promote_types(loss_sums.dtype, torch.float32)).sum(),
        torch.stack([loss.num_tokens for loss in losses]).sum(),
        {name: torch.stack([loss.metrics[name] for loss in losses]).sum() for name in names},
    )


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
    total = add_losses(losses)
    return total.loss_sum / total.num_tokens.clamp(min=1)


def mean_metrics(losses: Sequence[LossSum], /) -> dict[str, Tensor]:
    """Return the mean a token of each metric, over several parts of a batch.

    Raises:
        ValueError: if there is no part, or the metrics differ in name.

    Example:
        >>> mean_metrics([LossSum(torch.tensor(6.0), torch.tensor(4), {"num_right": torch.tensor(3)})])
        {'num_right': tensor(0.7500)}
    """
    total = add_losses(losses)
    return {name: number / total.num_tokens.clamp(min=1) for name, number in total.metrics.items()}


def sum_over_ranks(loss: LossSum, /, group: torch.distributed.ProcessGroup | None = None) -> LossSum:
    """Return the loss of all ranks together, for reports and for the number of tokens to divide by: without a gradient.

    Every rank must call it, with metrics of the same names in any sequence, also a rank without tokens.

    Args:
        loss: this rank's.
        group: of processes; None for all. Where no group was started there is one rank.

    Returns:
        The sums over the ranks, the same on each.

    Example:
        >>> sum_over_ranks(LossSum(torch.tensor(6.0), torch.tensor(2))).num_tokens
        tensor(2)
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return LossSum(loss.loss_sum.detach(), loss.num_tokens, {n: part.detach() for n, part in loss.metrics.items()})
    names = sorted(loss.metrics)
    parts = (*loss[:2], *(loss.metrics[name] for name in names))
    # One message: counts of tokens are exact in float64 to 2**53.
    sums = torch.stack([part.detach().double() for part in parts])
    torch.distributed.all_reduce(sums, group=group)
    loss_sum, num_tokens, *metrics = (total.to(part.dtype) for total, part in zip(sums, parts, strict=True))
    return LossSum(loss_sum, num_tokens, dict(zip(names, metrics, strict=True)))


def scale_for_ranks(loss: LossSum, num_tokens: Int[Tensor, ""], world_size: AnyInt) -> Float[Tensor, ""]:
    """Return the number whose gradient, averaged over ranks, is that of the mean over all tokens of a step.

    DDP averages gradients over ranks as if each had as many tokens. Scaled by this, they come to the gradient of the
    whole batch in one piece, however it is cut into micro-batches and ranks, also where a rank has no token.

    Args:
        loss: of this rank's (micro-)batch.
        num_tokens: of all ranks and micro-batches of the step together: `sum_over_ranks(...).num_tokens`.
        world_size: ranks that the gradients are averaged over.

    Example:
        >>> scale_for_ranks(LossSum(torch.tensor(6.0), torch.tensor(2)), torch.tensor(12), world_size=2)
        tensor(1.)
    """
    return loss.loss_sum * as_int(world_size) / num_tokens.clamp(min=1)


@attrs.frozen
class TokenCrossEntropy:
    """The cross-entropy of labelled tokens, in the form that `get_loss_reduction_class` promises.

    A batch is a mapping with int64 `labels`; the model's output is a tensor of logits. No function of it talks to other
    processes.

    Example:
        >>> batch, out = {"labels": torch.tensor([[1, -100]])}, torch.zeros(1, 2, 4)
        >>> loss_func = TokenCrossEntropy().setup(batch)  # what Megatron's schedules call with the output
        >>> loss_func(out).num_tokens
        tensor(1)
    """

    validation_step: bool = False

    def setup(self, batch: Mapping[str, Tensor]) -> Callable[[Tensor], LossSum]:
        """Return the function from a model's output to the loss of a (micro-)batch."""
        return partial(self.forward, batch)

    def forward(self, batch: Mapping[str, Tensor], out: Float[Tensor, "*batch vocabulary"]) -> LossSum:
        """Return the loss of one (micro-)batch, as sums and a count; in validation with the number of right guesses."""
        loss = token_cross_entropy(out, batch["labels"])
        if not self.validation_step:
            return loss
        return loss._replace(metrics={"accuracy": (out.argmax(-1) == batch["labels"]).sum()})

    def reduce(self, losses: Sequence[LossSum]) -> Float[Tensor, ""]:
        """Return the mean over the tokens of several (micro-)batches."""
        return mean_loss(losses)


def as_pair(loss: LossSum, /) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Return the mean of a (micro-)batch and its mean metrics: the other form that Megatron's schedules take.

    Micro-batches weigh alike in it, whatever their tokens: hand over the `LossSum` itself, with
    `calculate_per_token_loss=True`, where their tokens are to.

    Example:
        >>> as_pair(LossSum(torch.tensor(6.0), torch.tensor(2)))
        (tensor(3.), {'loss': tensor(3.)})
    """
    mean = mean_loss([loss])
    return mean, {"loss": mean.detach(), **mean_metrics([loss])}
