"""Evaluation by transformers' Trainer: its loader, and gathering from processes with unequal parts of a batch."""

from typing import Any

import attrs
import torch
from accelerate.utils import recursively_apply

from bionemo.adapters.huggingface.accelerated import AcceleratedLoader
from bionemo.adapters.huggingface.ranks import rank_and_world_size
from bionemo.adapters.huggingface.steps import num_samples
from bionemo.core.checks import check_dense, shown

__all__ = ["EvaluationLoader", "gather_parts"]


class _Samples:
    """What the Trainer asks for the number of samples."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class EvaluationLoader(AcceleratedLoader):
    """A loader that starts over with each iteration, and knows its number of samples."""

    @property
    def dataset(self) -> Any:
        """Object with the number of samples as its length."""
        return _Samples(num_samples(self, len(self)))


def gather_parts(accelerator: Any, values: Any, /) -> Any:
    """Return the values of all processes, the rows of the first process first.

    Accelerate's own `gather` needs an equal number of rows on each process. The parts of a batch may differ by one.

    Args:
        accelerator: an `accelerate.Accelerator`.
        values: a tensor, or tuples, lists and dicts of tensors.

    Example:
        >>> from accelerate import Accelerator
        >>> gather_parts(Accelerator(cpu=True), (torch.arange(3), torch.tensor(7)))
        (tensor([0, 1, 2]), tensor([7]))
    """
    rank_and_world_size(accelerator)  # raises if it is something else

    def gather(rows: torch.Tensor) -> torch.Tensor:
        check_dense(rows, name="values")
        rows = rows[None] if rows.ndim == 0 else rows
        sizes = accelerator.gather(torch.tensor([len(rows)], device=rows.device)).tolist()
        padded = accelerator.gather(accelerator.pad_across_processes(rows, dim=0))
        parts = padded.split(max(*sizes, 1))
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=False)])

    try:
        return recursively_apply(gather, values)
    except TypeError as error:
        message = f"values must be a tensor, or tuples, lists and dicts of tensors, got values={shown(values)}: {error}"
        raise TypeError(message[:400]) from error
