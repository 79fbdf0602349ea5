"""The loader of a pipeline: an iterable with one integer of state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from bionemo.core.utils.checks import AnyInt, check_int
from bionemo.data.assembly import assemble, columns_at
from bionemo.data.batches import batch_stop, last_position, num_batches, rank_positions
from bionemo.data.order import SampleIndex
from bionemo.data.pipeline import Pipeline
from bionemo.data.pipes.nodes import CHUNK, call_within_node
from bionemo.data.pipes.state import check_state, loader_state
from bionemo.data.pipes.workers import BatchWorkers

__all__ = ["PipelineLoader", "loader"]

Batch = TypeVar("Batch")

Read: TypeAlias = Callable[[Pipeline[Any], Sequence[int], SampleIndex], Any]
"""What makes a batch of positions and of what stands there: `assemble`, or for a sampler the keys of a data set."""


def _read_batches(
    pipeline: Pipeline[Any], read: Read, *, rank: int, world_size: int, start: int
) -> Iterator[tuple[int, Any]]:
    """Yield a rank's parts of the batches from a position on, each with the position behind the whole batch."""
    while (stop := batch_stop(pipeline, start)) > start:
        # A stretch of batches of one size, whose indices are computed at once: a short batch is one of its own.
        size = stop - start
        part = rank_positions(0, size, rank=rank, world_size=world_size)
        is_full = size == pipeline.batch_size
        count = min(max(CHUNK // max(len(part), 1), 1), (last_position(pipeline) - start) // size) if is_full else 1
        starts = start + size * np.arange(count)
        sources, epochs, idxs = columns_at(pipeline.order, np.add.outer(starts, np.array(part, dtype=np.int64)).ravel())
        for number in range(count):
            positions = range(start + part.start, start + part.stop)
            places = slice(number * len(part), (number + 1) * len(part))
            index = SampleIndex(sources[places], epochs[places], idxs[places])
            start += size
            yield start, call_within_node(read, pipeline, positions, index)


class PipelineLoader(Generic[Batch]):
    """An iterable over the batches of a pipeline, for one rank; made by `loader`.

    It goes on where it stopped: `consumed_samples` only grows, and each `iter()` ends where the next pause is.
    """

    def __init__(
        self,
        pipeline: Pipeline[Batch],
        *,
        rank: AnyInt,
        world_size: AnyInt,
        batches_per_epoch: AnyInt | None,
        restart: bool,
        start: AnyInt,
        num_workers: AnyInt = 0,
        multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None,
        prefetch_factor: AnyInt = 2,
        pin_memory: bool = False,
        timeout: float = 0,
        read: Read = assemble,
    ) -> None:
        rank_positions(0, 0, rank=rank, world_size=world_size)
        if batches_per_epoch is not None:
            batches_per_epoch = check_int(batches_per_epoch, name="batches_per_epoch", low=1)
        self.pipeline, self.rank, self.world_size = pipeline, int(rank), int(world_size)
        self.batches_per_epoch = batches_per_epoch
        self.restart = restart
        self.start = check_int(start, name="start", high=last_position(pipeline))
        self.consumed_samples = self.start
        self._current: object = None
        self._begin = self.start
        self._read = read
        self._workers: BatchWorkers | None = None
        num_workers = check_int(num_workers, name="num_workers")
        prefetch_factor = check_int(prefetch_factor, name="prefetch_factor", low=1)
        _check_timeout(timeout, num_workers)
        if num_workers or pin_memory:
            self._workers = BatchWorkers(
                pipeline,
                rank=self.rank,
                world_size=self.world_size,
                num_workers=num_workers,
                context=multiprocessing_context,
                prefetch_factor=prefetch_factor,
                pin_memory=pin_memory,
                timeout=timeout,
            )

    def __len__(self) -> int:
        """Return how many batches there are from pause to pause, or in a finite order without pauses.

        Raises:
            TypeError: if the order has no end and no pause was asked for.
        """
        length = num_batches(self.pipeline) if self.batches_per_epoch is None else self.batches_per_epoch
        if length is None:
            message = "a loader over an order without end has no length. Give batches_per_epoch to make it pause."
            raise TypeError(message)
        return length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Batch]:
        """Return an iterator over the batches up to the next pause. If the order has ended, nothing is yielded.

        A state that is loaded before the first batch is where the iteration begins.

        Raises:
            RuntimeError: in the iteration, if a newer one has begun, a state was loaded or the loader was closed since.
        """
        self._current = current = object()
        if self.restart:
            self.consumed_samples = self.start
        self._begin = self.consumed_samples
        return self._iterate(current)

    def _iterate(self, current: object) -> Iterator[Batch]:
        if self._current is None:  # a state was loaded before the first batch
            self._current, self._begin = current, self.consumed_samples
        self._check_current(current)
        pause = self._next_pause()
        for stop, batch in self._batches(pause):
            self.consumed_samples = stop
            yield batch
            if stop == pause:
                return
            self._check_current(current)

    def _check_current(self, current: object) -> None:
        if self._current is not current:
            message = "this iteration is over: a newer one has begun, a state was loaded, or the loader was closed."
            raise RuntimeError(message)

    def _batches(self, pause: int | None) -> Iterable[tuple[int, Batch]]:
        """Return an iterable over the batches from here on, each with the position behind it."""
        if self._workers is not None:
            return self._workers.batches(self.consumed_samples, pause)
        return _read_batches(
            self.pipeline, self._read, rank=self.rank, world_size=self.world_size, start=self.consumed_samples
        )

    def close(self) -> None:
        """End the iteration and the worker processes, if there are any; a new iteration starts others."""
        self._current = None
        if self._workers is not None:
            self._workers.close()

    def set_epoch(self, epoch: int) -> None:
        """Check that the loader is not at its start when a trainer begins a later epoch.

        Trainers of Lightning, transformers and accelerate call this. Their epochs aren't the loader's: it goes on from
        its own position, which they must save and restore.

        Raises:
            RuntimeError: if the position was not restored.
        """
        if epoch > 0 and not self.restart and self.consumed_samples == 0:
            message = (
                f"a loader must be where a trainer resumes, got epoch={epoch} to begin and a loader at sample 0. "
                "Restore its position by load_state_dict; under Lightning, use PipelineDataModule, which does."
            )
            raise RuntimeError(message)

    @property
    def dataset(self) -> Any:
        """Asked for by transformers and accelerate, to skip the batches that were trained.

        Raises:
            AttributeError: always: a loader is put to its position instead.
        """
        message = (
            "a PipelineLoader has no dataset to skip batches in. Restore its position by load_state_dict, and give "
            "transformers' TrainingArguments ignore_data_skip=True."
        )
        raise AttributeError(message)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for a sampler with `set_epoch`: it finds the loader itself."""
        return SimpleNamespace(sampler=self)

    @property
    def is_exhausted(self) -> bool:
        """Whether the order is at its end: nothing will be yielded any more."""
        return batch_stop(self.pipeline, self.consumed_samples) == self.consumed_samples

    @property
    def last_positions(self) -> range:
        """The positions of the batch delivered last, of all ranks together; empty where none was in this iteration."""
        grid = self.pipeline.batch_size
        return range(max(self._begin, (self.consumed_samples - 1) // grid * grid), self.consumed_samples)

    def _next_pause(self) -> int | None:
        """Return the position at which iteration pauses: the end of every `batches_per_epoch`-th step."""
        if self.batches_per_epoch is None:
            return None
        samples = self.batches_per_epoch * self.pipeline.batch_size
        return (self.consumed_samples // samples + 1) * samples

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands, in plain values, the same on every rank: counted by batches delivered."""
        return loader_state(self.pipeline, self.consumed_samples)

    def state_after(self, num_batches: AnyInt) -> dict[str, Any]:
        """Return the state after your code has received so many batches of this iteration.

        For a sampler: a DataLoader with worker processes may have asked for more.

        Raises:
            ValueError: if so many were not handed out.
        """
        num_batches = check_int(num_batches, name="num_batches")
        grid = self.pipeline.batch_size
        first = self._begin // grid  # the step that the iteration began in, perhaps within it
        position = self._begin if num_batches == 0 else batch_stop(self.pipeline, (first + num_batches - 1) * grid)
        is_none = num_batches > 0 and position <= max(self._begin, (first + num_batches - 1) * grid)
        if is_none or position > self.consumed_samples:
            message = f"num_batches must be of batches handed out, got num_batches={num_batches}."
            raise ValueError(message)
        return loader_state(self.pipeline, position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader of the same order stood; rank, world size and batch size may differ.

        Warns:
            UserWarning: if a transform or collate has another name.

        Raises:
            ValueError: if `state` is of another order, seed or data set's length (with the fields that differ), or no
                state of a loader.
        """
        self.consumed_samples = self._begin = check_state(self.pipeline, state)
        self._current = None


def loader(
    pipeline: Pipeline[Batch],
    rank: AnyInt = 0,
    world_size: AnyInt = 1,
    *,
    batches_per_epoch: AnyInt | None = None,
    restart: bool = False,
    start: AnyInt = 0,
    num_workers: AnyInt = 0,
    multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None,
    prefetch_factor: AnyInt = 2,
    pin_memory: bool = False,
    timeout: float = 0,
) -> PipelineLoader[Batch]:
    """Return an iterable over a rank's batches of a pipeline, which can stop anywhere and resume elsewhere.

    Under Lightning use `PipelineDataModule`: Lightning alone restores the position from the middle of an epoch only.

    Laws: the batch of step `k` is `batch_at(pipeline, k, rank, world_size)`; a loader that loads another's state yields
    what the other would have yielded next; over any history of stops, and of other world sizes and batch sizes, the
    delivered samples are a prefix of the order.

    Args:
        pipeline: what is read.
        rank: data-parallel place, 0..world_size-1.
        world_size: how many ranks share each batch.
        batches_per_epoch: iteration pauses behind every so many steps, and `len` is that number; by default a finite
            order is one pass.
        restart: start over with every `iter()`, with the same batches, as an evaluation does; also after a state was
            loaded.
        start: where in the order to begin, counted in samples over all ranks; a state that is loaded overrides it.
        num_workers: processes that read batches ahead of time; 0 reads in this one. They start with the first iteration
            and live as long as the loader, or until `close()`. The batches are the same with any number.
        multiprocessing_context: how they are started; with "spawn" the pipeline must pickle. None for the platform's
            way.
        prefetch_factor: batches that each process reads ahead.
        pin_memory: hand batches over in page-locked memory, for a faster way to the GPU.
        timeout: seconds to wait for a batch of the worker processes before an error is raised; 0 waits without end.

    Returns:
        The loader, with `len`, `state_dict` and `load_state_dict`.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batches = loader(pipeline)
        >>> next(iter(batches)), batches.state_dict()["consumed_samples"]
        ('ab', 2)
        >>> list(batches)
        ['ed', 'c']
    """
    return PipelineLoader(
        pipeline,
        rank=rank,
        world_size=world_size,
        batches_per_epoch=batches_per_epoch,
        restart=restart,
        start=start,
        num_workers=num_workers,
        multiprocessing_context=multiprocessing_context,
        prefetch_factor=prefetch_factor,
        pin_memory=pin_memory,
        timeout=timeout,
    )


def _check_timeout(timeout: float, num_workers: int) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | np.integer | np.floating):
        message = f"timeout must be a number of seconds, got timeout={timeout!r}."
        raise TypeError(message)
    if not 0 <= timeout < float("inf") or (timeout and not num_workers):
        message = (
            f"timeout must be 0 or more seconds, and 0 without worker processes, got timeout={timeout} and "
            f"num_workers={num_workers}."
        )
        raise ValueError(message)
