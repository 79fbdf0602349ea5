"""The loader that transformers' Trainer reads: torch's DataLoader over the steps of an epoch."""

from collections.abc import Iterator
from itertools import count
from operator import itemgetter
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from bionemo.data.pipeline.steps import end_position, step_of, step_start
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["NextBatches", "num_samples", "step_loader"]


class _Steps:
    """Numbers of the steps of an epoch, one per batch.

    The Trainer skips what it has trained by discarding numbers: no batch is read for them, and no position moves.
    """

    def __init__(self, length: int | None, *, is_done: bool) -> None:
        self.length, self.is_done = length, is_done

    def __len__(self) -> int:
        if self.length is None:
            message = "an order without end has no length."
            raise TypeError(message)
        return self.length

    def __iter__(self) -> Iterator[list[int]]:
        if self.is_done:
            return iter(())
        return ([step] for step in (count() if self.length is None else range(self.length)))


class NextBatches(Dataset[Any]):
    """A data set that has the next batch of a loader at any index, and the number of samples of an epoch as length."""

    def __init__(self, batches: PipelineLoader[Any], length: int | None) -> None:
        self.batches = batches
        self._iterator = iter(batches)
        self.num_batches = length

    def __len__(self) -> int:
        return num_samples(self.batches, self.num_batches)

    def __getitem__(self, step: int) -> Any:
        return next(self._iterator)


def num_samples(batches: PipelineLoader[Any], num_batches: int | None, /) -> int:
    """Return the number of samples in the first batches of a loader, from its start.

    Raises:
        TypeError: if there is no end to them.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> num_samples(PipelineLoader(pipeline, start=1), 4)
        7
    """
    if num_batches is None:
        message = "an order without end has no number of samples."
        raise TypeError(message)
    try:
        stop = step_start(batches.pipeline, step_of(batches.pipeline, batches.start) + num_batches)
    except IndexError:  # the order ends there, or before
        stop = end_position(batches.pipeline)
    return stop - batches.start


def step_loader(batches: PipelineLoader[Any], length: int | None, /, *, is_done: bool) -> DataLoader[Any]:
    """Return torch's DataLoader over the next batches of a loader, `length` of them per iteration.

    Law: the batches of all its iterations together are those of the loader, whatever a caller skips.

    Args:
        batches: what is read, without pauses.
        length: number of batches of an epoch; None for an order without end.
        is_done: whether the training is complete, so that an iteration has no batch.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batches = step_loader(PipelineLoader(pipeline), 2, is_done=False)
        >>> list(batches), list(batches), len(batches), len(batches.dataset)
        (['ab', 'ed'], ['c'], 2, 4)
    """
    return DataLoader(
        NextBatches(batches, length),
        batch_sampler=_Steps(length, is_done=is_done),
        collate_fn=itemgetter(0),
        generator=torch.Generator(),  # an iteration draws from it, and would else draw from the global one
    )
