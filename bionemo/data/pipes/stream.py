"""The batches of a pipeline from a position on, read in this process."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from bionemo.core.arrays import BLOCK
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.assemble import no_stop_iteration
from bionemo.data.pipeline.batch import batch_stop, end_position, rank_positions
from bionemo.data.pipeline.pipeline import Pipeline

__all__ = ["Read", "read_batches"]

Read: TypeAlias = Callable[[Pipeline[Any], Sequence[int], SampleIndex], Any]
"""Makes a batch from positions and the samples there: `assemble`, or for a sampler the keys of a data set."""


def read_batches(
    pipeline: Pipeline[Any], read: Read, *, rank: int, world_size: int, start: int
) -> Iterator[tuple[int, Any]]:
    """Yield a rank's parts of the batches from a position on, each with the position after the whole batch.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> list(read_batches(pipeline, assemble, rank=0, world_size=1, start=2))
        [(4, 'ed'), (5, 'c')]
    """
    while (stop := batch_stop(pipeline, start)) > start:
        # Look up the indices of many batches at once, as many as fit a block; a short batch is looked up alone.
        size = stop - start
        part = rank_positions(0, size, rank=rank, world_size=world_size)
        is_full = size == pipeline.batch_size
        count = min(max(BLOCK // max(len(part), 1), 1), (end_position(pipeline) - start) // size) if is_full else 1
        starts = start + size * np.arange(count)
        index = index_at(pipeline.order, np.add.outer(starts, np.array(part, dtype=np.int64)))
        for one in map(SampleIndex, *index):
            positions = range(start + part.start, start + part.stop)
            start += size
            yield start, no_stop_iteration(read, pipeline, positions, one)
