"""A batch on its way to the consumer: what was planned, how it was made, and how large it is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.assemble import StageSeconds

__all__ = ["BatchSize", "Delivery", "Planned", "size_of"]


class BatchSize(NamedTuple):
    """How large a batch is."""

    num_bytes: int
    """Bytes of its tensors and arrays."""
    num_tokens: int
    """Real tokens: how often its mask is True; 0 without a mask."""
    num_elements: int
    """Elements of the mask."""


def size_of(batch: Any, /) -> BatchSize:
    """Return how large a batch is.

    The mask is the tensor named "mask" of a mapping, or the second part of a pair or longer tuple if it holds bools.

    Example:
        >>> size_of((torch.zeros(2, 3, dtype=torch.uint8), torch.tensor([[True, True, False], [True, False, False]])))
        BatchSize(num_bytes=12, num_tokens=3, num_elements=6)
    """
    mask = batch.get("mask") if isinstance(batch, Mapping) else batch[1] if _is_pair(batch) else None
    if isinstance(mask, Tensor) and mask.is_cpu and mask.dtype == torch.bool:
        return BatchSize(_num_bytes(batch), int(np.count_nonzero(mask.numpy())), mask.numel())
    return BatchSize(_num_bytes(batch), 0, 0)


def _is_pair(batch: Any) -> bool:
    return isinstance(batch, tuple) and len(batch) > 1


def _num_bytes(part: Any) -> int:
    if isinstance(part, Tensor | np.ndarray):
        return int(part.nbytes)
    if isinstance(part, Mapping):
        return sum(map(_num_bytes, part.values()))
    if isinstance(part, tuple) or (isinstance(part, list) and part and isinstance(part[0], Tensor | np.ndarray)):
        return sum(map(_num_bytes, part))
    return 0


class Planned(NamedTuple):
    """A rank's part of a batch that is to be made."""

    stop: int
    """Position after the whole batch."""
    positions: range
    """Positions of this rank's samples."""
    samples: SampleIndex
    """The samples there."""


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
    size: BatchSize
    worker: int = 0
    """Number of the worker process or thread that made it."""
    num_ready: int = 0
    """Number of batches that were ready when this one was asked for."""

    @property
    def positions(self) -> range:
        """Positions of this rank's samples."""
        return range(self.first, self.first + self.num_samples)
