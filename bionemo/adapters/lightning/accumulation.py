"""Gradient accumulation: the gradient is normalized by the tokens of all batches, and a checkpoint can hold it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from bionemo.core.model.loss import divisor_of

__all__ = ["ACCUMULATED", "num_kept", "num_open", "rescale_gradients", "restore_gradients", "save_gradients"]

ACCUMULATED: Final = "accumulated"
"""The key of a checkpoint that holds the accumulated gradient."""


def num_open(trainer: Any, batches: int, /) -> int:
    """Return the number of batches of an unfinished optimizer step after the first `batches` batches of an epoch.

    Example:
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(accumulate_grad_batches=3, num_training_batches=7)
        >>> [num_open(trainer, batches) for batches in range(8)]
        [0, 1, 2, 0, 1, 2, 0, 0]
    """
    accumulated: int = trainer.accumulate_grad_batches
    return 0 if batches == trainer.num_training_batches else batches % accumulated


def num_kept(trainer: Any, module: Any, /) -> int:
    """Return the number of batches of an unfinished step whose gradient a checkpoint saved now would hold.

    A module that saves its gradient has `num_accumulated`, the number of batches in the gradient. The result is 0 if
    one of several ranks has failed: the ranks can no longer average their gradients.

    Example:
        >>> from types import SimpleNamespace
        >>> num_kept(SimpleNamespace(interrupted=False, world_size=2), SimpleNamespace(num_accumulated=2))
        2
    """
    if trainer.interrupted and trainer.world_size > 1:
        return 0
    kept: int = getattr(module, "num_accumulated", 0)
    return kept


def rescale_gradients(module: nn.Module, num_tokens: Sequence[Tensor], /) -> None:
    """Rescale gradients divided by the first batch's number of tokens so that they are divided by the whole step's.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> module.weight.grad = torch.ones(1, 1)
        >>> rescale_gradients(module, [torch.tensor(2), torch.tensor(6)])
        >>> module.weight.grad
        tensor([[0.2500]])
    """
    first, *others = num_tokens
    if others:
        factor = divisor_of(first).double() / divisor_of(torch.stack([first, *others]).sum())
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad *= factor


def save_gradients(
    module: nn.Module, num_tokens: Sequence[Tensor], /, *, accumulated: int, mean: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    """Return what a checkpoint holds between two batches of an optimizer step.

    Args:
        module: the module whose gradients are saved.
        num_tokens: number of tokens of each batch so far.
        accumulated: number of batches per step.
        mean: averages a tensor over the ranks, each of which has its own gradient.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> module.weight.grad = torch.ones(1, 1)
        >>> saved = save_gradients(module, [torch.tensor(2)], accumulated=3, mean=lambda gradient: gradient)
        >>> saved["gradients"]
        {'weight': tensor([[1.]])}
    """
    return {
        "num_tokens": list(num_tokens),
        "accumulate_grad_batches": accumulated,
        "gradients": {
            name: mean(part.grad.clone()) for name, part in module.named_parameters() if part.grad is not None
        },
    }


def restore_gradients(module: nn.Module, saved: Mapping[str, Any], /, *, accumulated: int) -> list[Tensor]:
    """Set a module's gradients to those of a checkpoint, and return the number of tokens of each accumulated batch.

    Raises:
        ValueError: if the number of batches per step has changed.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> module.weight.grad = torch.ones(1, 1)
        >>> saved = save_gradients(module, [torch.tensor(2)], accumulated=3, mean=lambda gradient: gradient)
        >>> restore_gradients(nn.Linear(1, 1, bias=False), saved, accumulated=3)
        [tensor(2)]
    """
    before = saved["accumulate_grad_batches"]
    if accumulated != before:
        message = (
            f"accumulate_grad_batches must be {before} to resume between accumulated batches, got "
            f"accumulate_grad_batches={accumulated}. Change it at a checkpoint after an optimizer step."
        )
        raise ValueError(message)
    for name, gradient in saved["gradients"].items():
        parameter = module.get_parameter(name)
        parameter.grad = gradient.to(parameter.device)
    device = next(module.parameters()).device
    return [count.to(device) for count in saved["num_tokens"]]
