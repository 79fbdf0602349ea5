"""Batches moved to a device one ahead of their use, and transformed there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from bionemo.core.random import fold_in, random_global_context
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.transform import position_seeds
from bionemo.data.pipes.delivery import Delivery
from bionemo.data.reading.functions import is_pure

__all__ = ["check_device", "on_device", "to_device", "transform_on"]


def check_device(device: Any, /) -> torch.device | None:
    """Return a device as a `torch.device`, after checking that it is available; None for None.

    Raises:
        ValueError: if it is no device, or is not available.

    Example:
        >>> check_device("cpu")
        device(type='cpu')
    """
    if device is None:
        return None
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        message = f"device must be a device of torch, got device={device!r}: {str(error).splitlines()[0]}"
        raise ValueError(message) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        message = f"device must be available, got device={device!r} without a CUDA device. Use 'cpu', or None."
        raise ValueError(message)
    return found


def to_device(batch: Any, device: torch.device | str, /) -> Any:
    """Return a batch with its tensors on a device.

    Args:
        batch: tensors, also inside mappings, lists and tuples, and other objects with a method `to`. Anything else is
            returned unchanged.
        device: the device. Copies from pinned memory to a GPU don't wait for it.

    Example:
        >>> to_device({"ids": torch.arange(3), "names": ["a"]}, "meta")["ids"].device
        device(type='meta')
    """
    return _mapped(batch, device)


def _mapped(batch: Any, device: torch.device | str, *, is_pinned: bool = False) -> Any:
    """Return a batch with its tensors on a device, copied to page-locked memory first if they are to be pinned."""
    if isinstance(batch, Tensor):
        return (batch.pin_memory() if is_pinned and batch.is_cpu else batch).to(device, non_blocking=True)
    if hasattr(batch, "to"):  # a batch class with a `to` of its own
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: _mapped(part, device, is_pinned=is_pinned) for name, part in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [_mapped(part, device, is_pinned=is_pinned) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)  # a named tuple takes fields
    return batch


def transform_on(pipeline: Pipeline[Any], device: torch.device, /, *, compiled: bool) -> Callable[[Any, range], Any]:
    """Return the batch transform of a pipeline as a function of a batch on a device and the positions of its rows.

    The global random states that it may draw from are seeded for it alone, by the pipeline's seed and the first
    position: it draws other numbers than in the process that reads.

    Args:
        pipeline: one with a batch transform.
        device: where the seeds of the rows are needed.
        compiled: whether to compile it.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=5, seed=7)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, batch_transform="".join)
        >>> transform_on(pipeline, torch.device("cpu"), compiled=False)(["a", "b"], range(2))
        'ab'
    """
    apply: Any = pipeline.apply_to_batch
    if compiled:
        apply = torch.compile(apply, dynamic=True)
    is_seeded = pipeline.seed_global_states and not is_pure(pipeline.batch_transform)

    def transform(batch: Any, positions: range) -> Any:
        seeds = position_seeds(pipeline.seed, "row", positions).to(device, non_blocking=True)
        first = positions.start if positions else 0
        with random_global_context(fold_in(pipeline.seed, "device", first)) if is_seeded else nullcontext():
            return apply(batch, seeds=seeds)

    return transform


def on_device(
    deliveries: Iterator[Delivery],
    device: torch.device,
    /,
    *,
    transform: Callable[[Any, range], Any] | None,
    pause: int | None,
) -> Iterator[Delivery]:
    """Yield batches moved to a device, each while the one after it is moved already.

    On a GPU, copies and transforms run on a stream of their own, and the consumer's stream waits for the batch that it
    gets. An error in reading a batch is raised after the batch before it was delivered.

    Args:
        deliveries: batches in the memory of the CPU.
        device: where they are moved.
        transform: called with each batch on the device and the positions of its rows.
        pause: position after which nothing is read.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> from bionemo.data.pipes.stream import read_batches
        >>> pipeline = Pipeline(order=EpochOrder(length=4, seed=7), sources=torch.arange(4), batch_size=2, seed=42)
        >>> batches = read_batches(pipeline, assemble_timed, rank=0, world_size=1, start=0)
        >>> [moved.batch for moved in on_device(batches, torch.device("cpu"), transform=None, pause=4)]
        [tensor([2, 3]), tensor([0, 1])]
    """
    stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    ahead: tuple[Delivery, Any] | None = None
    failure: Exception | None = None
    while True:
        moved = None
        if ahead is None or ahead[0].stop != pause:
            try:
                delivery = next(deliveries, None)
                moved = None if delivery is None else _move(delivery, device, transform, stream)
            except Exception as error:  # noqa: BLE001 - raised below
                failure = error
        if ahead is not None:
            yield _ready(*ahead, device)
        if failure is not None:
            raise failure
        if moved is None:
            return
        ahead = moved


def _move(
    delivery: Delivery, device: torch.device, transform: Callable[[Any, range], Any] | None, stream: Any
) -> tuple[Delivery, Any]:
    """Return a batch that is being moved, and the event after which it has arrived."""
    began = perf_counter()
    with nullcontext() if stream is None else torch.cuda.stream(stream):
        batch = _mapped(delivery.batch, device, is_pinned=stream is not None)
        was_moved = perf_counter()
        if transform is not None:
            batch = transform(batch, delivery.positions)
        event = None if stream is None else stream.record_event()
    read, transforming, collating, making, transfer = delivery.seconds
    made = perf_counter() - was_moved
    seconds = (read, transforming, collating, making + made, transfer + was_moved - began)
    return delivery._replace(batch=batch, seconds=seconds), event


def _ready(delivery: Delivery, event: Any, device: torch.device) -> Delivery:
    """Return a batch for the consumer's stream, which waits until the batch has arrived."""
    if event is not None:
        current = torch.cuda.current_stream(device)
        current.wait_event(event)
        _record_stream(delivery.batch, current)
    return delivery


def _record_stream(batch: Any, stream: Any) -> None:
    """Keep the memory of a batch from being used again before a stream is done with it."""
    if isinstance(batch, Tensor):
        batch.record_stream(stream)
    elif isinstance(batch, Mapping):
        for part in batch.values():
            _record_stream(part, stream)
    elif isinstance(batch, list | tuple):
        for part in batch:
            _record_stream(part, stream)
