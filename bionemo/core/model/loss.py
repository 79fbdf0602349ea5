"""Losses as sums over tokens, which add up to the same total however a batch is split."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import torch
import torch.distributed
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.fx.immutable_collections import immutable_dict

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import listed

__all__ = [
    "LossSum",
    "add_losses",
    "divisor_of",
    "mean_loss",
    "mean_metrics",
    "scale_for_ranks",
    "sum_over_ranks",
]

# All losses without metrics share this dict, so it must be immutable. torch treats it as a tree, like a plain dict.
_NO_METRICS: Final[dict[str, Tensor]] = immutable_dict()


class LossSum(NamedTuple):
    """A loss that can be added to other losses: sums over tokens, and the number of tokens.

    It is the triple that Megatron's schedules expect from a loss function, and a tree of tensors for `torch.vmap`.
    """

    loss_sum: Float[Tensor, ""]
    """Sum of the loss over the tokens, in nats for a cross-entropy."""
    num_tokens: Num[Tensor, ""]
    """Number of tokens that the sums run over; with weights, the sum of the tokens' weights."""
    metrics: dict[str, Float[Tensor, ""] | Int[Tensor, ""]] = _NO_METRICS
    """Other sums over the same tokens by name, e.g. of correct predictions. Treat it as immutable: the default is."""


@checked
def add_losses(losses: Iterable[LossSum], /) -> LossSum:
    """Return the sum of the losses of several parts of a batch.

    Law: loss and gradients equal those of the whole batch, to rounding. The sum is computed in at least float32.

    Args:
        losses: one per part, with metrics of the same names. Parts without tokens contribute nothing.

    Raises:
        ValueError: if `losses` is empty, or the names of the metrics differ.

    Example:
        >>> part = LossSum(torch.tensor(6.0), torch.tensor(2))
        >>> add_losses([part, part]).loss_sum
        tensor(12.)
    """
    losses = listed(losses, name="losses")
    for number, loss in enumerate(losses):
        if not isinstance(loss, LossSum):
            message = f"losses must hold LossSums, got losses[{number}]={shown(loss)}."
            raise TypeError(message)
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


def divisor_of(num_tokens: Num[Tensor, "*shape"], /) -> Num[Tensor, "*shape"]:
    """Return what a sum over tokens is divided by for its mean: their number or weight, or 1 if it is 0.

    Example:
        >>> divisor_of(torch.tensor(0)), divisor_of(torch.tensor(0.3))
        (tensor(1), tensor(0.3000))
    """
    return num_tokens.where(num_tokens != 0, torch.ones_like(num_tokens))


@checked
def mean_loss(losses: Iterable[LossSum], /) -> Float[Tensor, ""]:
    """Return the mean loss per token over several parts of a batch.

    Law: equal to the mean over the whole batch, to rounding.

    Args:
        losses: one per part, with metrics of the same names. Parts without tokens contribute nothing.

    Returns:
        The mean; 0 if there is no token.

    Raises:
        ValueError: if `losses` is empty, or the names of the metrics differ.

    Example:
        >>> part = LossSum(torch.tensor(6.0), torch.tensor(2))
        >>> mean_loss([part, part])
        tensor(3.)
    """
    total = add_losses(losses)
    return total.loss_sum / divisor_of(total.num_tokens)


@checked
def mean_metrics(losses: Iterable[LossSum], /) -> dict[str, Tensor]:
    """Return the mean of each metric per token, over several parts of a batch.

    Raises:
        ValueError: if `losses` is empty, or the names of the metrics differ.

    Example:
        >>> mean_metrics([LossSum(torch.tensor(6.0), torch.tensor(4), {"num_right": torch.tensor(3)})])
        {'num_right': tensor(0.7500)}
    """
    total = add_losses(losses)
    return {name: number / divisor_of(total.num_tokens) for name, number in total.metrics.items()}


@checked
def sum_over_ranks(loss: LossSum, /, group: torch.distributed.ProcessGroup | None = None) -> LossSum:
    """Return the sum of the losses of all ranks, without gradients, for logging and for the total number of tokens.

    Every rank must call it, including ranks without tokens, with metrics of the same names in any order.

    Args:
        loss: loss of this rank.
        group: process group to sum over; by default all ranks. If torch.distributed is not initialized, this process is
            the only rank.

    Returns:
        The sums, equal on all ranks.

    Example:
        >>> sum_over_ranks(LossSum(torch.tensor(6.0), torch.tensor(2))).num_tokens
        tensor(2)
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return LossSum(loss.loss_sum.detach(), loss.num_tokens, {n: part.detach() for n, part in loss.metrics.items()})
    names = sorted(loss.metrics)
    parts = (*loss[:2], *(loss.metrics[name] for name in names))
    # All sums travel in one float64 message, in which numbers of tokens are exact up to 2**53. Sorting the names gives
    # every rank the same order.
    sums = torch.stack([part.detach().double() for part in parts])
    torch.distributed.all_reduce(sums, group=group)
    loss_sum, num_tokens, *metrics = (total.to(part.dtype) for total, part in zip(sums, parts, strict=True))
    return LossSum(loss_sum, num_tokens, dict(zip(names, metrics, strict=True)))


@checked
def scale_for_ranks(loss: LossSum, num_tokens: Num[Tensor, ""], world_size: AnyInt) -> Float[Tensor, ""]:
    """Return a scalar whose gradient, averaged over ranks, is the gradient of the mean over all tokens of a step.

    DDP averages gradients over ranks as if all had the same number of tokens. With this scale the average equals the
    gradient of the whole batch, however it is split into micro-batches and ranks, and also if a rank has no token.

    Args:
        loss: loss of a batch or micro-batch of this rank.
        num_tokens: number of tokens in all ranks and micro-batches of the step: `sum_over_ranks(...).num_tokens`.
        world_size: number of ranks that the gradients are averaged over.

    Example:
        >>> scale_for_ranks(LossSum(torch.tensor(6.0), torch.tensor(2)), torch.tensor(12), world_size=2)
        tensor(1.)
    """
    if num_tokens.ndim or num_tokens.is_complex() or num_tokens.dtype == torch.bool:
        message = f"num_tokens must be one number, got shape {tuple(num_tokens.shape)} and dtype={num_tokens.dtype}."
        raise ValueError(message)
    return loss.loss_sum * check_int(world_size, name="world_size", low=1) / divisor_of(num_tokens)
