"""The gradient of batches that are accumulated: weighed by their tokens, and kept in a checkpoint between them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

__all__ = ["ACCUMULATED", "num_kept", "num_open", "rescale_gradients", "restore_gradients", "save_gradients"]

ACCUMULATED: Final = "accumulated"
"""Where a checkpoint holds them."""


def num_open(trainer: Any, batches: int, /) -> int:
    """Return how many of so many batches of an epoch belong to an optimizer's step that is unfinished.

    Example:
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(accumulate_grad_batches=3, num_training_batches=7)
        >>> [num_open(trainer, batches) for batches in range(8)]
        [0, 1, 2, 0, 1, 2, 0, 0]
    """
    accumulated: int = trainer.accumulate_grad_batches
    return 0 if batches == trainer.num_training_batches else batches % accumulated


def num_kept(trainer: Any, module: Any, /) -> int:
    """Return how many batches of an unfinished step a checkpoint saved now would keep the gradient of.

    A module that keeps it has `num_accumulated`, the number of batches in its gradient. Where one of several ranks
    failed, their gradients can't be put together.

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
    """Put the number of tokens of all batches of a step in the place of the first one's, by which they were divided.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> module.weight.grad = torch.ones(1, 1)
        >>> rescale_gradients(module, [torch.tensor(2), torch.tensor(6)])
        >>> module.weight.grad
        tensor([[0.2500]])
    """
    first, *others = num_tokens
    if others:
        factor = first.clamp(min=1).double() / torch.stack([first, *others]).sum().clamp(min=1)
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad *= factor


def save_gradients(
    module: nn.Module, num_tokens: Sequence[Tensor], /, *, accumulated: int, mean: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    """Return what a checkpoint holds between two batches of a step.

    Args:
        module: whose gradients.
        num_tokens: of each batch so far.
        accumulated: batches of a step.
        mean: gives the mean of a tensor over the ranks, each of which has a gradient of its own.

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
    """Give a module the gradients of a checkpoint, and return the numbers of tokens of the batches behind them.

    Raises:
        ValueError: if another number of batches is accumulated now.

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
            f"accumulate_grad_batches must be as it was, got {accumulated} and {before} before, at a checkpoint "
            "between accumulated batches. Change it at a checkpoint behind an optimizer's step."
        )
        raise ValueError(message)
    for name, gradient in saved["gradients"].items():
        parameter = module.get_parameter(name)
        parameter.grad = gradient.to(parameter.device)
    device = next(module.parameters()).device
    return [count.to(device) for count in saved["num_tokens"]]
