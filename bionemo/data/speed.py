"""What a batch amounts to, and how fast it went."""

from typing import NamedTuple

from jaxtyping import Bool
from torch import Tensor

from bionemo.core.utils.checks import AnyFloat

__all__ = ["Throughput", "throughput"]


class Throughput(NamedTuple):
    """The size of a batch, and its speed."""

    num_tokens: int
    """Real tokens."""
    padding_share: float
    """Share of the cells that hold none, 0..1; 0 of a batch without cells."""
    samples_per_second: float
    """Rows a second."""
    tokens_per_second: float
    """Real tokens a second."""


def throughput(mask: Bool[Tensor, "batch length"], seconds: AnyFloat) -> Throughput:
    """Return what a batch amounts to, and how fast it went.

    Args:
        mask: True = real token.
        seconds: how long the batch took, above 0.

    Raises:
        ValueError: if `seconds` isn't above 0.

    Example:
        >>> import torch
        >>> throughput(torch.tensor([[True, True, True], [True, False, False]]), 0.5)
        Throughput(num_tokens=4, padding_share=0.3333333333333333, samples_per_second=4.0, tokens_per_second=8.0)
    """
    if not seconds > 0:
        message = f"seconds must be above 0, got seconds={seconds}. Take the time by time.perf_counter()."
        raise ValueError(message)
    seconds = float(seconds)
    num_tokens = int(mask.sum())
    padding_share = (mask.numel() - num_tokens) / mask.numel() if mask.numel() else 0.0
    return Throughput(num_tokens, padding_share, len(mask) / seconds, num_tokens / seconds)
