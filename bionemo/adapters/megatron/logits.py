"""Logits over the whole vocabulary, gathered from the tensor-parallel ranks."""

from typing import Any

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor

__all__ = ["gather_logits"]


class _Gather(torch.autograd.Function):
    """All-gather along the last axis, with a gradient that is not summed over ranks.

    Every rank computes the same loss from the same logits, so the gradient of a rank's part is simply its slice of the
    gradient. Megatron-core's own function for this works on GPUs only.
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
    """Return the logits of the whole vocabulary. Every tensor-parallel rank must call it, and gets the same logits.

    Law: if all ranks compute the same loss from them, the gradients are those of a single process.

    Args:
        part: this rank's logits; the ranks' parts of the vocabulary are equally large.
        group: the ranks that share the vocabulary, in the order of their parts.

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
