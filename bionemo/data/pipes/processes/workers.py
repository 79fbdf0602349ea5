"""Batches read by worker processes: torch's DataLoader over the positions at which batches start."""

import multiprocessing.connection
import multiprocessing.queues
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from itertools import chain, repeat
from time import perf_counter
from typing import Any, Final

import attrs
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import batch_stop, rank_positions, step_bounds
from bionemo.data.pipes.delivery import Delivery
from bionemo.data.pipes.processes.reader import Stretch, StretchReader
from bionemo.data.pipes.processes.transfer import unpack
from bionemo.data.pipes.stretches import stretch_stop

__all__ = ["BatchWorkers"]

_GRACE: Final = 5.0
"""Seconds that worker processes have to exit by themselves."""


@attrs.define
class _Starts:
    """Where stretches of batches start, up to a pause or the end of the order, and the next stretch of their worker.

    Changed before each iteration, because a DataLoader keeps its sampler.
    """

    pipeline: Pipeline[Any]
    read_ahead: int
    num_workers: int
    start: int = 0
    pause: int | None = None

    def __iter__(self) -> Iterator[tuple[Stretch, Stretch]]:
        # A DataLoader deals the stretches to its workers in turn.
        ahead: deque[Stretch] = deque()
        for stretch in chain(self._stretches(), repeat((0, 0), max(self.num_workers, 1))):
            if len(ahead) == max(self.num_workers, 1):
                yield ahead.popleft(), stretch
            ahead.append(stretch)

    def _stretches(self) -> Iterator[Stretch]:
        first, num_batches = self.start, 0
        start = first
        while start != self.pause and (stop := batch_stop(self.pipeline, start)) > start:
            if not num_batches:
                end = stretch_stop(self.pipeline, first, self.read_ahead)
            start, num_batches = stop, num_batches + 1
            if num_batches == self.read_ahead or stop >= end:
                yield first, num_batches
                first, num_batches = start, 0
        if num_batches:
            yield first, num_batches


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


def _num_ready(iterator: Any) -> int:
    """Return the number of batches that a DataLoader's iterator has received, and those that wait in its queue."""
    try:
        waiting = iterator._data_queue.qsize()  # noqa: SLF001
    except NotImplementedError:  # macOS can't count what is in a queue between processes
        waiting = 0
    received = sum(len(task) > 1 for task in iterator._task_info.values())  # noqa: SLF001
    return int(waiting + received)


def _unchanged(batch: Any) -> Any:
    return batch


class BatchWorkers:
    """Processes that read a rank's batches ahead of time; they live until `close`, or as long as this object.

    Law: for any number of workers, the batches and their order are those of reading in one process.

    Args:
        options: a `PipelineLoader`, whose options are read. It is not kept: without a reference cycle, the processes
            end as soon as the loader is dropped.
        pipeline: what is read; if processes are spawned, it must pickle.
        pin_memory: whether batches are pinned.
    """

    def __init__(self, options: Any, pipeline: Pipeline[Any], *, pin_memory: bool) -> None:
        has_workers = options.num_workers > 0
        self._starts = _Starts(pipeline, options.read_ahead, options.num_workers)
        self._reader = StretchReader(pipeline, options.read, options.rank, options.world_size)
        self._loader: DataLoader[list[Any]] = DataLoader(
            self._reader,
            batch_size=None,
            sampler=self._starts,
            collate_fn=_unchanged,
            num_workers=options.num_workers,
            multiprocessing_context=options.multiprocessing_context if has_workers else None,
            prefetch_factor=options.prefetch_factor if has_workers else None,
            persistent_workers=has_workers,
            pin_memory=pin_memory,
            timeout=float(options.timeout),
            worker_init_fn=_prepare_worker if has_workers else None,
            generator=torch.Generator(),  # without one it would draw a seed from the global state
        )

    def batches(self, start: int, pause: int | None) -> Iterator[Delivery]:
        """Yield the batches from a position to a pause or the end of the order.

        Raises:
            Exception: what a data set, transform or collate raises, with the worker's traceback in its message; a
                RuntimeError with this message if the class of the exception doesn't pickle.
            TypeError: if a batch doesn't pickle.
            RuntimeError: if a worker dies, or no batch comes within the timeout.
        """
        self._starts.start, self._starts.pause = start, pause
        try:
            for received in self._received(iter(self._loader)):
                yield received
                start = received.stop
        except Exception as raised:
            error = self._of_lost_worker(raised) or raised
            error.add_note(self._awaited(start, error))
            self.close(grace=0 if _is_timeout(error) else _GRACE)
            if error is raised:
                raise
            raise error from raised

    def _received(self, iterator: Iterator[list[Any]]) -> Iterator[Delivery]:
        """Yield the batches of the stretches that workers have made."""
        while True:
            num_ready = _num_ready(iterator) * self._starts.read_ahead if self._loader.num_workers else 0
            made = next(iterator, None)
            if made is None:
                return
            for number, one in enumerate(made):
                if isinstance(one, ExceptionWrapper):
                    one.reraise()  # type: ignore[no-untyped-call]
                if isinstance(one, Exception):
                    raise one
                delivery, batch = one
                began = perf_counter()
                if self._loader.num_workers:
                    batch = unpack(batch)
                read, transforming, collating, making, transfer = delivery.seconds
                seconds = (read, transforming, collating, making, transfer + perf_counter() - began)
                is_ready = number and len(made) - number  # with the rest of its stretch
                yield delivery._replace(batch=batch, seconds=seconds, num_ready=num_ready + is_ready)

    def _of_lost_worker(self, error: Exception) -> Exception | None:
        """Return the error of a worker that dies while its batch is fetched: torch may raise that of a connection."""
        workers: Any = getattr(self._loader._iterator, "_workers", ())  # noqa: SLF001
        if not workers or not isinstance(error, ConnectionError | EOFError | FileNotFoundError):
            return None
        # A data set may raise such an error, too: all workers live then.
        try:
            dead = multiprocessing.connection.wait([worker.sentinel for worker in workers], timeout=1)
        except RuntimeError as killed:  # torch's handler of SIGCHLD
            return killed
        pids = ", ".join(str(worker.pid) for worker in workers if worker.sentinel in dead)
        return RuntimeError(f"DataLoader worker (pid {pids}) exited unexpectedly") if dead else None

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
