"""Batches read by worker processes: torch's DataLoader over the positions at which batches start."""

import multiprocessing.queues
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bionemo.core.checks import AnyFloat, AnyInt, shown
from bionemo.data.orders.order import index_at
from bionemo.data.pipeline.assemble import assemble, no_stop_iteration
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import batch_stop, rank_positions, step_bounds
from bionemo.data.pipes.transfer import pack, unpack

__all__ = ["BatchWorkers", "check_timeout"]

_GRACE: Final = 5.0
"""Seconds that worker processes have to exit by themselves."""


@attrs.define
class _Starts:
    """The positions at which batches start, up to a pause or the end of the order.

    Changed before each iteration, because a DataLoader keeps its sampler.
    """

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
    """A rank's part of the batch that starts at a position, with the position after the whole batch."""

    pipeline: Pipeline[Any]
    rank: int
    world_size: int

    def __getitem__(self, start: int) -> tuple[int, Any]:
        bounds = step_bounds(self.pipeline, start)
        if get_worker_info() is None:
            return bounds[-1], self._read(bounds)
        try:
            return bounds[-1], pack(self._read(bounds))
        except Exception as error:
            if _is_picklable(type(error)):
                raise
            # Torch sends the error's class through a queue, which would drop one that doesn't pickle.
            message = f"{type(error).__qualname__}: {error}"
            raise RuntimeError(message) from error

    def _read(self, bounds: Sequence[int]) -> Any:
        positions = rank_positions(bounds, rank=self.rank, world_size=self.world_size)
        return no_stop_iteration(assemble, self.pipeline, positions, index_at(self.pipeline.order, positions))


def _is_picklable(kind: type) -> bool:
    """Return whether a class pickles, which it does by name: not if it was made inside a function."""
    try:
        return pickle.loads(pickle.dumps(kind)) is kind  # noqa: S301 - of this process
    except Exception:  # noqa: BLE001 - whatever was raised, it doesn't pickle
        return False


def _end_worker(error: BaseException, _: object) -> None:
    """End this process, which can't send a batch: the main process notices a dead worker, but not a lost batch."""
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def _prepare_worker(_: int) -> None:
    """Make a failure in a queue's thread end this worker.

    By default the queue drops the batch and continues, and the main process waits forever.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined] # noqa: SLF001


def _kill(workers: list[Any]) -> None:
    """Kill the processes that still run, also those that ignore SIGTERM."""
    for worker in workers:
        if worker.exitcode is None:
            os.kill(worker.pid, signal.SIGKILL)


def _is_timeout(error: Exception) -> bool:
    """Return whether an error is the one that a DataLoader raises after its timeout, which has no class of its own."""
    return isinstance(error, RuntimeError) and "timed out after" in str(error)


def _unchanged(batch: Any) -> Any:
    return batch


def check_timeout(timeout: AnyFloat, num_workers: AnyInt, /) -> None:
    """Check the number of seconds that a loader waits for a batch of its worker processes.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is negative or infinite, or there are no worker processes to wait for.

    Example:
        >>> check_timeout(2.5, 1)
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | np.integer | np.floating):
        message = f"timeout must be a number of seconds, got timeout={shown(timeout)}."
        raise TypeError(message)
    if not 0 <= timeout < float("inf") or (timeout and not num_workers):
        message = (
            f"timeout must be 0 or more seconds, and 0 without worker processes, got timeout={timeout} and "
            f"num_workers={num_workers}."
        )
        raise ValueError(message)


class BatchWorkers:
    """Processes that read a rank's batches ahead of time; they live until `close`, or as long as this object.

    Law: for any number of workers, the batches and their order are those of reading in one process.

    Args:
        options: a `PipelineLoader`, whose options are read. It is not kept: without a reference cycle, the processes
            end as soon as the loader is dropped. If processes are spawned, its pipeline must pickle.
    """

    def __init__(self, options: Any) -> None:
        has_workers = options.num_workers > 0
        self._starts = _Starts(options.pipeline)
        self._reader = _BatchReader(options.pipeline, options.rank, options.world_size)
        self._loader: DataLoader[tuple[int, Any]] = DataLoader(
            self._reader,
            batch_size=None,
            sampler=self._starts,
            collate_fn=_unchanged,
            num_workers=options.num_workers,
            multiprocessing_context=options.multiprocessing_context if has_workers else None,
            prefetch_factor=options.prefetch_factor if has_workers else None,
            persistent_workers=has_workers,
            pin_memory=options.pin_memory,
            timeout=float(options.timeout),
            worker_init_fn=_prepare_worker if has_workers else None,
            generator=torch.Generator(),  # without one it would draw a seed from the global state
        )

    def batches(self, start: int, pause: int | None) -> Iterator[tuple[int, Any]]:
        """Yield the batches from a position to a pause or the end of the order, each with the position after it.

        Raises:
            Exception: what a data set, transform or collate raises, with the worker's traceback in its message; a
                RuntimeError with this message if the class of the exception doesn't pickle.
            TypeError: if a batch doesn't pickle.
            RuntimeError: if a worker dies, or no batch comes within the timeout.
        """
        self._starts.start, self._starts.pause = start, pause
        try:
            for stop, batch in self._loader:
                yield stop, unpack(batch) if self._loader.num_workers else batch
                start = stop
        except Exception as error:
            error.add_note(self._awaited(start, error))
            self.close(grace=0 if _is_timeout(error) else _GRACE)
            raise

    def _awaited(self, start: int, error: Exception) -> str:
        """Return a note for an error: which batch was awaited, and what may help."""
        bounds = step_bounds(self._reader.pipeline, start)
        rank, world_size = self._reader.rank, self._reader.world_size
        positions = rank_positions(bounds, rank=rank, world_size=world_size)
        awaited = f"while waiting for the batch of positions {positions.start}..{positions.stop - 1}"
        if _is_timeout(error):
            return (
                f"{awaited}: the worker that reads it, or an earlier batch, hangs. "
                "Raise timeout if reading may take longer."
            )
        iterator: Any = self._loader._iterator  # noqa: SLF001
        if any(worker.exitcode == -signal.SIGKILL for worker in getattr(iterator, "_workers", ())):
            return (
                f"{awaited}: the system kills processes if it runs out of memory. Lower num_workers or prefetch_factor."
            )
        return awaited

    def close(self, *, grace: float = _GRACE) -> None:
        """End the processes; the next iteration starts new ones. Those that hang are killed after `grace` seconds."""
        # A DataLoader has no method to end persistent workers: torch ends them when nothing refers to its iterator any
        # more, which may be late, e.g. if a traceback does. So take the iterator away, and shut it down here.
        iterator: Any = self._loader._iterator  # noqa: SLF001
        self._loader._iterator = None  # noqa: SLF001
        if iterator is None or not self._loader.num_workers:
            return
        if iterator._worker_pids_set:  # noqa: SLF001
            # Torch watches its workers by SIGCHLD: for each one that is killed it would raise an error in this process.
            signal_handling: Any = torch.utils.data._utils.signal_handling  # noqa: SLF001
            signal_handling._remove_worker_pids(id(iterator))  # noqa: SLF001
            iterator._worker_pids_set = False  # noqa: SLF001
        workers = list(iterator._workers)  # noqa: SLF001
        # Torch joins the workers in turn, each for up to 5 s, before it terminates any. Those that still run after the
        # grace period are killed meanwhile, so that closing takes no longer for many workers than for one.
        killing = threading.Timer(grace, _kill, [workers])
        killing.daemon = True
        killing.start()
        iterator._shutdown_workers()  # noqa: SLF001
        killing.cancel()
