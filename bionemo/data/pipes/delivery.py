"""A batch on its way to the consumer: what was planned, how it was made, and how large it is."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.assemble import StageSeconds

__all__ = ["BatchSize", "Delivery", "Planned", "size_of"]


BatchSize: TypeAlias = tuple[int, int, int]
"""How large a batch is: the bytes of its tensors and arrays, how often its mask is True (its real tokens), and the
elements of the mask; 0 and 0 without a mask. A plain tuple, which takes no time to make."""


def size_of(batch: Any, /) -> BatchSize:
    """Return how large a batch is.

    The mask is the tensor of bools named "mask" of a mapping, or the first one of a tuple or list.

    Example:
        >>> size_of((torch.zeros(2, 3, dtype=torch.uint8), torch.tensor([[True, True, False], [True, False, False]])))
        (12, 3, 6)
    """
    if isinstance(batch, _ARRAYS):
        return batch.nbytes, 0, 0
    if type(batch) is list and not (batch and isinstance(batch[0], _ARRAYS)):  # of samples, which are not searched
        return 0, 0, 0
    num_bytes = _num_bytes(batch)
    if not num_bytes:
        return 0, 0, 0
    mask: Any = batch.get("mask") if isinstance(batch, Mapping) else next(filter(_is_mask, batch), None)
    if _is_mask(mask):
        return num_bytes, int(np.count_nonzero(mask.numpy())), mask.numel()
    return num_bytes, 0, 0


_ARRAYS: Final = (Tensor, np.ndarray)


def _is_mask(part: Any) -> bool:
    return isinstance(part, Tensor) and part.is_cpu and part.dtype == torch.bool


def _num_bytes(part: Any) -> int:
    if isinstance(part, _ARRAYS):
        return int(part.nbytes)
    if isinstance(part, list):
        return sum(map(_num_bytes, part)) if part and isinstance(part[0], _ARRAYS) else 0
    if isinstance(part, tuple):
        return sum(map(_num_bytes, part))
    return sum(map(_num_bytes, part.values())) if isinstance(part, Mapping) else 0


Planned: TypeAlias = tuple[int, range, SampleIndex]
"""A rank's part of a batch that is to be made: the position after the whole batch, the positions of the rank's samples,
and the samples there."""


class Delivery(NamedTuple):
    """A rank's part of a batch, and how it was made."""

    stop: int
    """Position after the whole batch."""
    first: int
    """Position of this rank's first sample."""
    num_samples: int
    """Number of this rank's samples."""
    batch: Any
    seconds: StageSeconds
    """How long each of the `STAGES` took."""
    size: BatchSize
    worker: int = 0
    """Number of the worker process or thread that made it."""
    num_ready: int = 0
    """Number of batches that were ready when this one was asked for."""

    @property
    def positions(self) -> range:
        """Positions of this rank's samples."""
        return range(self.first, self.first + self.num_samples)
