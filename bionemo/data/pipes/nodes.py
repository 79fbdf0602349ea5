"""Nodes of torchdata to compose by hand: positions, reading, transforms, batches, collation.

In one process, a chain of them yields the batches that `loader` yields for a `Pipeline`, except that batches are
counted from where the chain starts. The state of the whole chain is one position.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torchdata.nodes import BaseNode, Batcher, Mapper, PinMemory, Prefetcher

from bionemo.core.arrays import BLOCK
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, check_seed
from bionemo.data.orders.order import Order, SampleIndex, index_at
from bionemo.data.pipeline.assemble import no_stop_iteration, note
from bionemo.data.pipeline.transform import position_seeds, transform_sample
from bionemo.data.reading.dataset import Source, to_sources
from bionemo.data.reading.functions import accept_keyword, check_function
from bionemo.data.reading.read import read_sample

__all__ = ["PositionedSample", "batch", "collate", "pin_memory", "prefetch", "read", "sample_indices", "transform"]

Batch = TypeVar("Batch")


class PositionedSample(NamedTuple):
    """A sample with its position in the training order."""

    position: int
    sample_index: SampleIndex
    sample: Any


class _SampleIndices(BaseNode[tuple[int, SampleIndex]]):
    """Positions, each with the sample index there; the state is the next position."""

    def __init__(self, order: Order, start: int) -> None:
        super().__init__()
        self.order = order
        self.start = start
        self.position = start
        self.ahead: deque[SampleIndex] = deque()  # for the next positions: a block costs little more than one lookup

    def reset(self, initial_state: dict[str, Any] | None = None) -> None:
        super().reset(initial_state)
        self.position = self.start if initial_state is None else initial_state["position"]
        self.ahead.clear()

    def next(self) -> tuple[int, SampleIndex]:
        if not self.ahead:
            end = self.order.num_samples
            stop = self.position + BLOCK if end is None else min(self.position + BLOCK, end)
            if self.position >= stop:
                raise StopIteration
            columns = (part.tolist() for part in index_at(self.order, range(self.position, stop)))
            self.ahead.extend(map(SampleIndex, *columns))
        self.position += 1
        return self.position - 1, self.ahead.popleft()

    def get_state(self) -> dict[str, Any]:
        return {"position": self.position}


@checked
def sample_indices(order: Order, *, start: AnyInt = 0) -> BaseNode[tuple[int, SampleIndex]]:
    """Return a node that yields the positions of an order from `start` on, each with the sample index there.

    Law: restored from its state, which is one position, it continues as if it had never stopped, after a single lookup.

    Raises:
        ValueError: if `start` is negative.
        TypeError: if `start` is not an integer.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> list(sample_indices(EpochOrder(length=3, seed=7, num_samples=2)))
        [(0, SampleIndex(source=0, epoch=0, idx=1)), (1, SampleIndex(source=0, epoch=0, idx=0))]
    """
    return _SampleIndices(order, check_int(start, name="start"))


def _read(positioned: tuple[int, SampleIndex], *, sources: Sequence[Source]) -> PositionedSample:
    position, sample_index = positioned
    source = sources[sample_index.source]
    try:
        return PositionedSample(position, sample_index, no_stop_iteration(read_sample, source, sample_index))
    except Exception as error:
        error.add_note(f"while reading position {position}: {sample_index}")
        raise


@checked
def read(node: BaseNode[tuple[int, SampleIndex]], *datasets: Any) -> BaseNode[PositionedSample]:
    """Return a node that yields the samples at a node's positions, as their data sets hold them.

    Args:
        node: positions with sample indices, from `sample_indices`.
        *datasets: data sets or sources, one per source of the order; the transform of a source is not called.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> [positioned.sample for positioned in node]
        ['b', 'a', 'c']
    """
    return Mapper(node, partial(_read, sources=to_sources(datasets, name="datasets")))


def _transform(positioned: PositionedSample, *, function: Callable[..., Any], seed: int) -> PositionedSample:
    position, sample_index, sample = positioned
    try:
        transformed = no_stop_iteration(partial(transform_sample, function, sample, seed=seed, position=position))
        return positioned._replace(sample=transformed)
    except Exception as error:
        error.add_note(f"while reading position {position}: {sample_index}")
        raise


@checked
def transform(
    node: BaseNode[PositionedSample], function: Callable[..., Any], *, seed: AnyInt
) -> BaseNode[PositionedSample]:
    """Return a node that yields transformed samples.

    Args:
        node: samples with their positions.
        function: called as `function(sample, generator=generator)` with the sample's own generator, or as
            `function(sample)` if it takes no generator.
        seed: 0..2**63-1; the generator is made from it and the position, as in a `Pipeline` with this seed.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> node = transform(node, lambda sample, *, generator: sample.upper(), seed=42)
        >>> next(node)
        PositionedSample(position=0, sample_index=SampleIndex(source=0, epoch=0, idx=1), sample='B')
    """
    function = accept_keyword(function, "generator", name="function")
    return Mapper(node, partial(_transform, function=function, seed=check_seed(seed)))


@checked
def batch(
    node: BaseNode[PositionedSample], batch_size: AnyInt, *, drop_last: bool = False
) -> BaseNode[list[PositionedSample]]:
    """Return a node that yields lists of `batch_size` samples; the last may be short, or is dropped if `drop_last`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> [len(samples) for samples in batch(node, 2)]
        [2, 1]
    """
    return Batcher(node, check_int(batch_size, name="batch_size", low=1), drop_last=drop_last)


def _collate(
    samples: list[PositionedSample],
    *,
    function: Callable[[list[Any]], Any],
    batch_transform: Callable[..., Any] | None,
    seed: int | None,
) -> Any:
    positions = [positioned.position for positioned in samples]
    try:
        collated = no_stop_iteration(function, [positioned.sample for positioned in samples])
        if batch_transform is None or seed is None:
            return collated
        return no_stop_iteration(partial(batch_transform, collated, seeds=position_seeds(seed, "row", positions)))
    except Exception as error:
        index = SampleIndex(*map(np.array, zip(*(positioned.sample_index for positioned in samples), strict=True)))
        error.add_note(note("collating", positions, index))
        raise


@checked
def collate(
    node: BaseNode[list[PositionedSample]],
    function: Callable[[list[Any]], Batch],
    *,
    batch_transform: Callable[..., Batch] | None = None,
    seed: AnyInt | None = None,
) -> BaseNode[Batch]:
    """Return a node that yields batches.

    Args:
        node: lists of samples with their positions.
        function: makes a batch from a list of samples.
        batch_transform: called as `batch_transform(batch, seeds=seeds)` with an int64 seed per row; None leaves batches
            unchanged.
        seed: 0..2**63-1, required with `batch_transform`: the rows' seeds are derived from it and the positions, as in
            a `Pipeline` with this seed.

    Raises:
        TypeError: if `batch_transform` is given without a seed.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> list(collate(batch(node, 2), "".join))
        ['ba', 'c']
    """
    if batch_transform is not None and seed is None:
        message = "seed must be given with batch_transform, got seed=None. The rows' seeds are derived from it."
        raise TypeError(message)
    check_function(function, name="function")
    batch_transform = batch_transform and accept_keyword(batch_transform, "seeds", name="batch_transform")
    seed = None if seed is None else check_seed(seed)
    return Mapper(node, partial(_collate, function=function, batch_transform=batch_transform, seed=seed))


@checked
def prefetch(node: BaseNode[Batch], num_batches: AnyInt = 2) -> BaseNode[Batch]:
    """Return a node whose items are computed ahead of time, by a thread.

    Law: it yields what the given node yields; its state counts the items that were delivered, not those computed.

    Args:
        node: any node.
        num_batches: largest number of items that wait.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> list(prefetch(collate(batch(node, 2), "".join)))
        ['ba', 'c']
    """
    return Prefetcher(node, prefetch_factor=check_int(num_batches, name="num_batches", low=1))


@checked
def pin_memory(node: BaseNode[Batch]) -> BaseNode[Batch]:
    """Return a node that copies batches to page-locked memory, for faster transfers to a GPU; it needs a CUDA device.

    Example:
        >>> import torch
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), torch.arange(3))
        >>> node = collate(batch(node, 2), torch.stack)
        >>> node = pin_memory(node) if torch.cuda.is_available() else node
    """
    return PinMemory(node)
