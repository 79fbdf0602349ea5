"""Gathering from ranks: logits from tensor-parallel ones, and tokens from context-parallel ones."""

from typing import Any

import torch
import torch.distributed
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributed import ProcessGroup

__all__ = ["gather_logits", "gather_tokens"]


class _GatherLogits(torch.autograd.Function):
    """All-gather along the last axis, with a gradient that is not summed over ranks.

    Every rank computes the same loss from the same logits, so the gradient of a rank's part is simply its slice of the
    gradient. Megatron-core's own function for this works on GPUs only.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: ProcessGroup) -> Tensor:
        ctx.rank, ctx.size = torch.distributed.get_rank(group), torch.distributed.get_world_size(group)
        parts = [torch.empty_like(part) for _ in range(ctx.size)]
        torch.distributed.all_gather(parts, part, group=group)
        return torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].chunk(ctx.size, dim=-1)[ctx.rank].contiguous(), None


def gather_logits(part: Float[Tensor, "*batch part"], /, *, group: ProcessGroup) -> Float[Tensor, "*batch vocabulary"]:
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
    logits: Tensor = _GatherLogits.apply(part.contiguous(), group)  # type: ignore[no-untyped-call]
    return logits


class _GatherTokens(torch.autograd.Function):
    """All-gather along the first axis, whose gradient is summed over the ranks: each of them computes other losses."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size(group))]
        torch.distributed.all_gather(parts, part, group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total, group=ctx.group)
        size = torch.distributed.get_world_size(ctx.group)
        return total.chunk(size)[torch.distributed.get_rank(ctx.group)], None


def gather_tokens(part: Shaped[Tensor, "part *rest"], group: ProcessGroup | None, /) -> Shaped[Tensor, "tokens *rest"]:
    """Return the tokens of all context-parallel ranks, one rank after the other. Every rank must call it.

    Law: the sum of the ranks' losses has the gradients that a single process computes.

    Args:
        part: what this rank has of each of its tokens, as many as the other ranks have.
        group: the context-parallel ranks; None for this one alone.

    Example:
        >>> gather_tokens(torch.ones(2), None)
        tensor([1., 1.])
    """
    if group is None or torch.distributed.get_world_size(group) == 1:
        return part
    tokens: Tensor = _GatherTokens.apply(part.contiguous(), group)  # type: ignore[no-untyped-call]
    return tokens
