"""The size of a batch, and the speed at which it was processed."""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, as_int, shown
from bionemo.core.fields import to_float
from bionemo.core.html.batch import batch_html

__all__ = ["Throughput", "throughput"]


class Throughput(NamedTuple):
    """The size of a batch, and the speed at which it was processed."""

    num_tokens: int
    """Number of real tokens."""
    padding_fraction: float
    """Fraction of the elements that are padding, 0..1; 0 for an empty batch."""
    samples_per_second: float
    """Rows per second."""
    tokens_per_second: float
    """Real tokens per second."""

    def _repr_html_(self) -> str:
        return batch_html(self)


@checked
def throughput(mask: Bool[Tensor, "batch length"], seconds: AnyFloat) -> Throughput:
    """Return the size of a batch, and the speed at which it was processed.

    Args:
        mask: True = real token.
        seconds: time that the batch took, above 0.

    Raises:
        ValueError: if `seconds` isn't above 0.
        TypeError: if the mask isn't a block of bools.

    Example:
        >>> throughput(torch.tensor([[True, True, True], [True, False, False]]), 0.5)
        Throughput(num_tokens=4, padding_fraction=0.3333333333333333, samples_per_second=4.0, tokens_per_second=8.0)
    """
    if mask.dtype != torch.bool or mask.ndim != 2:  # noqa: PLR2004 - rows and columns
        found = f"{mask.dtype} {tuple(mask.shape)}"
        message = f"mask must be a tensor of bools of shape (rows, tokens), got {found}. Convert it by .bool()."
        raise TypeError(message)
    if not seconds > 0:
        message = f"seconds must be above 0, got seconds={shown(as_int(seconds))}. Measure it with time.perf_counter()."
        raise ValueError(message)
    num_tokens = int(mask.sum())
    padding_fraction = (mask.numel() - num_tokens) / mask.numel() if mask.numel() else 0.0
    return Throughput(num_tokens, padding_fraction, len(mask) / to_float(seconds), num_tokens / to_float(seconds))
