"""Logits of the whole vocabulary from those that each tensor-parallel rank has."""

from typing import Any

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor

__all__ = ["gather_logits"]


class _Gather(torch.autograd.Function):
    """Every rank goes on with the same logits to the same loss: the gradient of its part is its part of the gradient.

    Megatron-core's function for this insists on the GPU.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: torch.distributed.ProcessGroup) -> Tensor:
        ctx.rank, ctx.size = torch.distributed.get_rank(group), torch.distributed.get_world_size(group)
        parts = [torch.empty_like(part) for _ in range(ctx.size)]
        torch.distributed.all_gather(parts, part, group=group)
        return torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].chunk(ctx.size, dim=-1)[ctx.rank].contiguous(), None


def gather_logits(
    part: Float[Tensor, "*batch part"], /, *, group: torch.distributed.ProcessGroup
) -> Float[Tensor, "*batch vocabulary"]:
    """Return the logits of the whole vocabulary, on every tensor-parallel rank; every one of them must call it.

    Law: where all ranks go on to the same loss, the gradients are those of one process.

    Args:
        part: this rank's logits, of an equal share of the vocabulary.
        group: of the ranks that share it, in the sequence of their parts.

    Example:
        >>> from bionemo.adapters.megatron import model_parallel
        >>> with model_parallel():
        ...     gather_logits(torch.ones(2), group=torch.distributed.group.WORLD)
        tensor([1., 1.])
    """
    if torch.distributed.get_world_size(group) == 1:
        return part
    logits: Tensor = _Gather.apply(part.contiguous(), group)  # type: ignore[no-untyped-call]
    return logits
