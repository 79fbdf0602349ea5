"""Whether a rank would be left without samples, found before the first step and on all ranks alike."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.assemble import StageSeconds
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import end_position, step_bounds

__all__ = ["Read", "check_every_rank_reads"]

Read: TypeAlias = Callable[[Pipeline[Any], Sequence[int], SampleIndex], tuple[Any, StageSeconds]]
"""Makes a batch from positions and the samples there: `assemble_timed`, or for a sampler the keys of a data set."""


def check_every_rank_reads(pipeline: Pipeline[Any], read: Read, *, world_size: int, start: int) -> None:
    """Check that no rank fails for want of samples: each step has as many as ranks, or an empty batch can be made.

    An empty batch is made only if a step will need one, and on all ranks alike, before the first step.

    Warns:
        UserWarning: if some ranks will get an empty batch.

    Raises:
        ValueError: if a step from `start` on has fewer samples than ranks, and no empty batch can be made, or a planned
            step has fewer bins than ranks.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=9, seed=7, num_samples=9)
        >>> pipeline = Pipeline(order=order, sources="abcdefghi", batch_size=4, seed=42, collate=max)
        >>> check_every_rank_reads(pipeline, assemble_timed, world_size=2, start=0)
        Traceback (most recent call last):
        ValueError: each step must have a sample per rank, or collate must take an empty list, got a step of 1 sample
        for 2 ranks (batch_size=4, num_samples=9), and ValueError: max() arg is an empty sequence. Use drop_last=True,
        another batch_size, or a collate that returns an empty batch.
    """
    bounds = step_bounds(pipeline, start)
    first = bounds[-1]
    short_steps = getattr(pipeline.order, "short_steps", None)
    has_bins = pipeline.batch_size is None and short_steps is None
    if has_bins and start < first and len(bounds) <= world_size:
        message = (
            f"a step must have a bin per rank, got {len(bounds) - 1} for world_size={world_size}. Raise bins_per_step."
        )
        raise ValueError(message)
    sizes = {_num_units(pipeline, start), _num_units(pipeline, first), *(short_steps or ())}
    if first > start and pipeline.order.num_samples is not None and pipeline.batch_size and not pipeline.drop_last:
        sizes.add(end_position(pipeline) % pipeline.batch_size)  # the last step's
    smallest = min(sizes - {0}, default=world_size)
    if smallest >= world_size:
        return
    unit = "bin" if has_bins else "sample"
    size = f"batch_size={pipeline.batch_size}" if pipeline.batch_size else "a planned order"
    nothing = np.empty(0, dtype=np.int64)
    try:
        read(pipeline, range(0), SampleIndex(nothing, nothing, nothing))
    except Exception as error:
        message = (
            f"each step must have a sample per rank, or collate must take an empty list, got a step of {smallest} "
            f"{unit}{'s' * (smallest > 1)} for {world_size} ranks ({size}, "
            f"num_samples={pipeline.order.num_samples}), and {type(error).__name__}: {error}. "
            "Use drop_last=True, another batch_size, or a collate that returns an empty batch."
        )
        raise ValueError(message) from error
    message = (
        f"a step of {smallest} {unit}{'s' * (smallest > 1)} leaves ranks of {world_size} without any. They get an "
        "empty batch, which collate, model and loss must take. Use drop_last=True or another batch_size to avoid it."
    )
    warnings.warn(message, UserWarning, stacklevel=4)


def _num_units(pipeline: Pipeline[Any], start: int) -> int:
    bounds = step_bounds(pipeline, start)
    return len(bounds if isinstance(bounds, range) else {*bounds}) - 1
