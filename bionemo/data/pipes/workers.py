"""Batches read by worker processes: torch's own DataLoader, over the positions at which batches start."""

import pickle
from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bionemo.data.assembly import assemble, columns_at
from bionemo.data.batches import batch_stop, rank_positions
from bionemo.data.pipeline import Pipeline
from bionemo.data.pipes.nodes import call_within_node

__all__ = ["BatchWorkers"]


@attrs.define
class _Starts:
    """The positions at which batches start, up to a pause or the end of the order."""

    pipeline: Pipeline[Any]
    start: int = 0
    pause: int | None = None

    def __iter__(self) -> Iterator[int]:
        start = self.start
        while start != self.pause and (stop := batch_stop(self.pipeline, start)) > start:
            yield start
            start = stop


@attrs.define
class _BatchReader(Dataset[tuple[int, Any]]):
    """A rank's parts of batches by the positions at which these start, each with the position behind it."""

    pipeline: Pipeline[Any]
    rank: int
    world_size: int
    is_checked: bool = False
    """Whether a batch was found to pickle in this process: of one that doesn't, a queue never hears."""

    def __getitem__(self, start: int) -> tuple[int, Any]:
        stop = batch_stop(self.pipeline, start)
        positions = rank_positions(start, stop, rank=self.rank, world_size=self.world_size)
        batch = call_within_node(assemble, self.pipeline, positions, columns_at(self.pipeline.order, positions))
        if get_worker_info() is not None and not self.is_checked:
            try:
                pickle.dumps(batch)
            except Exception as error:
                message = f"a batch must pickle to leave a worker process, got {type(batch).__name__}: {error}"
                raise TypeError(message) from error
            self.is_checked = True
        return stop, batch


def _as_it_is(batch: Any) -> Any:
    return batch


class BatchWorkers:
    """Processes that read a rank's batches ahead of time; they live until `close`, or as long as this object.

    Law: they give the batches that one process gives, in order, for any number of workers.

    Args:
        pipeline: what is read; where processes are spawned, it must pickle.
        rank: data-parallel place.
        world_size: how many ranks share each batch.
        num_workers: how many processes; 0 reads in this one.
        context: how they are started: "fork", "spawn", "forkserver"; None for the platform's way.
        prefetch_factor: batches that each reads ahead.
        pin_memory: hand batches over in page-locked memory.
    """

    def __init__(
        self,
        pipeline: Pipeline[Any],
        *,
        rank: int,
        world_size: int,
        num_workers: int,
        context: str | None,
        prefetch_factor: int,
        pin_memory: bool,
    ) -> None:
        self._starts = _Starts(pipeline)
        self._loader: DataLoader[tuple[int, Any]] = DataLoader(
            _BatchReader(pipeline, rank, world_size),
            batch_size=None,
            sampler=self._starts,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            multiprocessing_context=context if num_workers else None,
            prefetch_factor=prefetch_factor if num_workers else None,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # it would draw a seed from the global state else
        )

    def batches(self, start: int, pause: int | None) -> Iterator[tuple[int, Any]]:
        """Yield the batches from a position to a pause or the end, each with the position behind it.

        Raises:
            Exception: what a data set, transform or collate raises, with the worker's traceback in its text.
            RuntimeError: if a worker dies.
        """
        self._starts.start, self._starts.pause = start, pause
        try:
            yield from self._loader
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """End the processes; the next iteration starts others."""
        iterator: Any = self._loader._iterator  # noqa: SLF001 - torch ends them only when nothing refers to them
        self._loader._iterator = None  # noqa: SLF001
        if iterator is not None:
            iterator._shutdown_workers()  # noqa: SLF001
