"""Functions from node to node: order, read, transform, batch, collate.

Composed by hand they make the chain that `loader` makes of a `Pipeline`, for one process; batches count from where the
chain starts. The state of the whole chain is one position.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeVar

from torchdata.nodes import BaseNode, Batcher, Mapper, PinMemory, Prefetcher

from bionemo.core.utils.checks import AnyInt, check_int, check_seed
from bionemo.data.assembly import collating_note, read_sample, transform_batch, transform_sample
from bionemo.data.order import Order, SampleIndex, indices_at
from bionemo.data.pipeline import Source, to_sources

__all__ = [
    "CHUNK",
    "PlacedSample",
    "batch",
    "call_within_node",
    "collate",
    "pin_memory",
    "prefetch",
    "read",
    "sample_indices",
    "transform",
]

Batch = TypeVar("Batch")
Result = TypeVar("Result")

CHUNK: Final = 2**14
"""Positions whose indices are computed at once."""


def call_within_node(function: Callable[..., Result], /, *arguments: Any) -> Result:
    """Return what a function of the user's answers, with a StopIteration in it turned into an error.

    In a node it would pass for the end of the data.

    Example:
        >>> call_within_node(next, iter([]))
        Traceback (most recent call last):
        RuntimeError: a data set, transform or collate raised StopIteration: an iterator in it has ended.
    """
    try:
        return function(*arguments)
    except StopIteration as error:
        message = "a data set, transform or collate raised StopIteration: an iterator in it has ended."
        raise RuntimeError(message) from error


class PlacedSample(NamedTuple):
    """A sample, and where in the training order it stands."""

    position: int
    sample_index: SampleIndex
    sample: Any


class _SampleIndices(BaseNode[tuple[int, SampleIndex]]):
    """Positions and what stands there; the state is the next position."""

    def __init__(self, order: Order, start: int) -> None:
        super().__init__()
        self.order = order
        self.start = start
        self.position = start
        self.ahead: deque[SampleIndex] = deque()

    def reset(self, initial_state: dict[str, Any] | None = None) -> None:
        super().reset(initial_state)
        self.position = self.start if initial_state is None else initial_state["position"]
        self.ahead.clear()

    def next(self) -> tuple[int, SampleIndex]:
        if not self.ahead:
            end = self.order.num_samples
            stop = self.position + CHUNK if end is None else min(self.position + CHUNK, end)
            if self.position >= stop:
                raise StopIteration
            self.ahead.extend(indices_at(self.order, range(self.position, stop)))
        self.position += 1
        return self.position - 1, self.ahead.popleft()

    def get_state(self) -> dict[str, Any]:
        return {"position": self.position}


def sample_indices(order: Order, *, start: AnyInt = 0) -> BaseNode[tuple[int, SampleIndex]]:
    """Return a node of positions, from `start` to the end of an order, each with what stands there.

    Law: resumed from its state, which is one position, it goes on as if it had never stopped, in the time of one
    lookup.

    Raises:
        ValueError: if `start` is negative.
        TypeError: if it is no integer.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> list(sample_indices(EpochOrder(length=3, seed=7, num_samples=2)))
        [(0, SampleIndex(source=0, epoch=0, idx=1)), (1, SampleIndex(source=0, epoch=0, idx=0))]
    """
    return _SampleIndices(order, check_int(start, name="start"))


def _read(place: tuple[int, SampleIndex], *, sources: Sequence[Source]) -> PlacedSample:
    position, sample_index = place
    source = sources[sample_index.source]
    try:
        return PlacedSample(position, sample_index, call_within_node(read_sample, source, sample_index))
    except Exception as error:
        error.add_note(f"while reading position {position}: {sample_index}")
        raise


def read(node: BaseNode[tuple[int, SampleIndex]], *datasets: Any) -> BaseNode[PlacedSample]:
    """Return a node of the samples that stand at a node's positions.

    Args:
        node: what `sample_indices` gives.
        *datasets: data sets, or sources, one for each source of the order; a transform in one isn't called.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> [placed.sample for placed in node]
        ['b', 'a', 'c']
    """
    return Mapper(node, partial(_read, sources=to_sources(datasets)))


def _transform(placed: PlacedSample, *, function: Callable[..., Any], seed: int) -> PlacedSample:
    transformed = partial(transform_sample, function, placed.sample, seed=seed, position=placed.position)
    try:
        return placed._replace(sample=call_within_node(transformed))
    except Exception as error:
        error.add_note(f"while reading position {placed.position}: {placed.sample_index}")
        raise


def transform(node: BaseNode[PlacedSample], function: Callable[..., Any], *, seed: AnyInt) -> BaseNode[PlacedSample]:
    """Return a node of transformed samples.

    Args:
        node: samples with their positions.
        function: called as `function(sample, generator=generator)` with the sample's own generator.
        seed: 0..2**63-1; with the position it makes the generator, as in a `Pipeline` of that seed.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> node = transform(node, lambda sample, *, generator: sample.upper(), seed=42)
        >>> next(node)
        PlacedSample(position=0, sample_index=SampleIndex(source=0, epoch=0, idx=1), sample='B')
    """
    return Mapper(node, partial(_transform, function=function, seed=check_seed(seed)))


def batch(
    node: BaseNode[PlacedSample], batch_size: AnyInt, *, tail: Literal["drop", "short"] = "short"
) -> BaseNode[list[PlacedSample]]:
    """Return a node of lists of `batch_size` samples; the last may be short, or is left out by `tail="drop"`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> [len(placed) for placed in batch(node, 2)]
        [2, 1]
    """
    return Batcher(node, check_int(batch_size, name="batch_size", low=1), drop_last=tail == "drop")


def _collate(
    placed: list[PlacedSample],
    *,
    function: Callable[[list[Any]], Any],
    batch_transform: Callable[..., Any] | None,
    seed: int | None,
) -> Any:
    positions = [part.position for part in placed]
    try:
        collated = call_within_node(function, [part.sample for part in placed])
        if batch_transform is None or seed is None:
            return collated
        return call_within_node(partial(transform_batch, batch_transform, collated, seed=seed, positions=positions))
    except Exception as error:
        error.add_note(collating_note((part.position, part.sample_index) for part in placed))
        raise


def collate(
    node: BaseNode[list[PlacedSample]],
    function: Callable[[list[Any]], Batch],
    *,
    batch_transform: Callable[..., Batch] | None = None,
    seed: AnyInt | None = None,
) -> BaseNode[Batch]:
    """Return a node of batches.

    Args:
        node: lists of samples with their positions.
        function: makes a batch from a list of samples.
        batch_transform: called as `batch_transform(batch, seeds=seeds)` with a seed a row; None leaves batches as they
            are.
        seed: 0..2**63-1, needed for `batch_transform`: with the positions it makes the rows' seeds, as in a `Pipeline`
            of that seed.

    Raises:
        TypeError: if there is a `batch_transform` and no seed.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> list(collate(batch(node, 2), "".join))
        ['ba', 'c']
    """
    if batch_transform is not None and seed is None:
        message = "seed must be given with batch_transform, got None. Pass the seed that the rows' seeds are made from."
        raise TypeError(message)
    seed = None if seed is None else check_seed(seed)
    return Mapper(node, partial(_collate, function=function, batch_transform=batch_transform, seed=seed))


def prefetch(node: BaseNode[Batch], num_batches: AnyInt = 2) -> BaseNode[Batch]:
    """Return a node that a thread works out ahead of time.

    Law: it gives what the node gives; its state counts what was handed on, not what was worked out.

    Args:
        node: any node.
        num_batches: how many of its answers wait, at most.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), "abc")
        >>> list(prefetch(collate(batch(node, 2), "".join)))
        ['ba', 'c']
    """
    return Prefetcher(node, prefetch_factor=check_int(num_batches, name="num_batches", low=1))


def pin_memory(node: BaseNode[Batch]) -> BaseNode[Batch]:
    """Return a node of batches in page-locked memory, for a faster way to a GPU; it needs one.

    Example:
        >>> import torch
        >>> from bionemo.data import EpochOrder
        >>> node = read(sample_indices(EpochOrder(length=3, seed=7, num_samples=3)), torch.arange(3))
        >>> node = collate(batch(node, 2), torch.stack)
        >>> node = pin_memory(node) if torch.cuda.is_available() else node
    """
    return PinMemory(node)
