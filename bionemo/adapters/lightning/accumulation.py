"""The gradient of batches that are accumulated: weighed by their tokens, and kept in a checkpoint between them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

__all__ = ["ACCUMULATED", "rescale_gradients", "restore_gradients", "save_gradients"]

ACCUMULATED: Final = "accumulated"
"""Where a checkpoint holds them."""


def rescale_gradients(module: LightningModule, num_tokens: Sequence[Tensor], /) -> None:
    """Put the number of tokens of all batches of a step in the place of the first one's, by which they were divided."""
    first, *others = num_tokens
    if others:
        factor = first.clamp(min=1).double() / torch.stack([first, *others]).sum().clamp(min=1)
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad *= factor


def save_gradients(module: LightningModule, num_tokens: Sequence[Tensor], /) -> dict[str, Any]:
    """Return what a checkpoint holds between two batches of a step: the gradients' means over the ranks."""
    return {
        "num_tokens": list(num_tokens),
        "accumulate_grad_batches": module.trainer.accumulate_grad_batches,
        "gradients": {
            name: module.trainer.strategy.reduce(part.grad.clone(), reduce_op="mean")
            for name, part in module.named_parameters()
            if part.grad is not None
        },
    }


def restore_gradients(module: LightningModule, saved: Mapping[str, Any], /) -> list[Tensor]:
    """Give a module the gradients of a checkpoint, and return the numbers of tokens of the batches behind them.

    Raises:
        ValueError: if another number of batches is accumulated now.
    """
    now, before = module.trainer.accumulate_grad_batches, saved["accumulate_grad_batches"]
    if now != before:
        message = (
            f"accumulate_grad_batches must be as it was, got {now} and {before} before, at a checkpoint between "
            "accumulated batches. Change it at a checkpoint behind an optimizer's step."
        )
        raise ValueError(message)
    for name, gradient in saved["gradients"].items():
        module.get_parameter(name).grad = gradient.to(module.device)
    return [count.to(module.device) for count in saved["num_tokens"]]
