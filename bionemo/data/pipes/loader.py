"""The loader of a pipeline: an iterable whose state is one integer."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final, Generic, Literal, TypeVar

import attrs

from bionemo.core.checks import AnyFloat, AnyInt, check_int
from bionemo.core.fields import Documented, check_bool, check_choice, check_instance, check_size, to_bool, to_int
from bionemo.data.pipeline.assemble import assemble
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.state import check_state, loader_state
from bionemo.data.pipeline.steps import batch_stop, end_position, next_pause, num_batches, rank_positions
from bionemo.data.pipes.stream import Batches, Read, check_every_rank_reads, read_batches
from bionemo.data.pipes.workers import BatchWorkers, check_timeout

__all__ = ["PipelineLoader", "loader"]

Batch = TypeVar("Batch")


def _check_batches_per_epoch(batches_per_epoch: AnyInt | None) -> int | None:
    return None if batches_per_epoch is None else check_int(batches_per_epoch, name="batches_per_epoch", low=1)


@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class PipelineLoader(Generic[Batch], metaclass=Documented):
    """An iterable over a rank's batches of a pipeline, which can stop anywhere and resume elsewhere.

    `loader` is another name for it. It continues where it stopped: `consumed_samples` only grows, and each `iter()`
    ends at the next pause. Under Lightning use `PipelineDataModule`: Lightning alone restores a position only from the
    middle of an epoch.

    Laws: the batch of step `k` is `batch_at(pipeline, k, rank, world_size)`; a loader that loads another one's state
    yields what the other would have yielded next; over any history of stops, world sizes and batch sizes, the delivered
    samples are a prefix of the order.

    Args:
        pipeline: what is read.
        rank: data-parallel rank, 0..world_size-1.
        world_size: number of ranks that share each batch.
        batches_per_epoch: iteration pauses after this many steps, and `len` is this number; by default a finite order
            is one pass.
        restart: start over at `start` with every `iter()`, as an evaluation does; also after a state was loaded.
        start: position to begin at, counted in samples over all ranks; a loaded state overrides it.
        num_workers: processes that read batches ahead; 0 reads in this one. They start with the first iteration and
            live as long as the loader, or until `close()`. The batches are the same for any number, if reading depends
            on the index alone: they keep the data set as it was when they started.
        multiprocessing_context: how they are started; with "spawn" the pipeline must pickle. None for the platform's
            default.
        prefetch_factor: batches that each process reads ahead.
        pin_memory: deliver batches in page-locked memory, for faster copies to a GPU.
        timeout: seconds to wait for a batch of the worker processes before an error is raised; 0 waits forever.
        read: makes a batch from positions and the samples there; samplers replace it.

    Warns:
        UserWarning: if it is iterated again after its order has ended, or ranks will get an empty batch.

    Raises:
        ValueError: if a number is out of range, or a step has fewer samples than ranks and `collate` can't take an
            empty list.
        TypeError: if an option has the wrong type.

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

    pipeline: Pipeline[Batch] = attrs.field(validator=check_instance(Pipeline))
    rank: int = attrs.field(default=0, converter=to_int)
    world_size: int = attrs.field(default=1, converter=to_int)
    batches_per_epoch: int | None = attrs.field(default=None, converter=_check_batches_per_epoch, kw_only=True)
    restart: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    start: int = attrs.field(default=0, converter=to_int, kw_only=True)
    num_workers: int = attrs.field(default=0, converter=to_int, kw_only=True)
    multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_choice("fork", "spawn", "forkserver"))
    )
    prefetch_factor: int = attrs.field(default=2, converter=to_int, validator=check_size, kw_only=True)
    pin_memory: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    timeout: AnyFloat = attrs.field(default=0, kw_only=True)
    read: Read = attrs.field(default=assemble, kw_only=True)
    consumed_samples: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rank_positions((0,), rank=self.rank, world_size=self.world_size)
        check_timeout(self.timeout, check_int(self.num_workers, name="num_workers"))
        self.start = self.consumed_samples = check_int(self.start, name="start", high=end_position(self.pipeline))
        check_every_rank_reads(self.pipeline, self.read, world_size=self.world_size, start=self.start)
        self._begin = self._last_start = self.start
        self._current: object = None
        self._workers = BatchWorkers(self) if self.num_workers or self.pin_memory else None

    def __len__(self) -> int:
        """Return the number of batches from pause to pause, or in a finite order without pauses.

        Raises:
            TypeError: if the order never ends and there is no pause.
        """
        length = num_batches(self.pipeline) if self.batches_per_epoch is None else self.batches_per_epoch
        if length is None:
            message = "a loader over an order without end has no length. Give batches_per_epoch to make it pause."
            raise TypeError(message)
        return length

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        options = {"rank": self.rank, "world_size": self.world_size, "consumed_samples": self.consumed_samples}
        shown = ", ".join(f"{name}={value}" for name, value in options.items())
        return f"{type(self).__name__}({self.pipeline!r}, {shown})"

    def __iter__(self) -> Iterator[Batch]:
        """Return an iterator over the batches up to the next pause; it is empty if the order has ended.

        A state that is loaded before the first batch moves the start of the iteration.

        Raises:
            RuntimeError: while iterating, if a newer iteration has begun, a state was loaded or the loader was closed.
        """
        self._current = current = object()
        if self.restart:
            self.consumed_samples = self.start
        elif self.is_exhausted and self._begin < self.consumed_samples:
            message = (
                f"the order ended at position {self.consumed_samples} in an earlier iteration: this one has no batch. "
                "Start over with restart=True, or read an order without end (num_samples=None) by batches_per_epoch."
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        self._begin = self.consumed_samples
        return Batches(self._iterate(current))

    def _iterate(self, current: object) -> Iterator[Batch]:
        if self._current is None:  # a state was loaded before the first batch
            self._current, self._begin = current, self.consumed_samples
        self._check_current(current)
        pause = self._next_pause()
        for stop, batch in self._batches(pause):
            self._last_start, self.consumed_samples = self.consumed_samples, stop
            yield batch
            if stop == pause:
                return
            self._check_current(current)

    def _check_current(self, current: object) -> None:
        if self._current is not current:
            message = "this iteration is over: a newer one has begun, a state was loaded, or the loader was closed."
            raise RuntimeError(message)

    def _batches(self, pause: int | None) -> Iterable[tuple[int, Batch]]:
        """Return an iterable over the batches from here on, each with the position after it."""
        if self._workers is not None:
            return self._workers.batches(self.consumed_samples, pause)
        return read_batches(
            self.pipeline, self.read, rank=self.rank, world_size=self.world_size, start=self.consumed_samples
        )

    def close(self) -> None:
        """End the iteration and the worker processes, if there are any; a new iteration starts others."""
        self._current = None
        if self._workers is not None:
            self._workers.close()

    def set_epoch(self, epoch: int) -> None:
        """Check that the loader is not at its start when a trainer begins a later epoch.

        Trainers of Lightning, transformers and accelerate call this. Their epochs are not the loader's: it resumes from
        its own position, which they must save and restore.

        Raises:
            RuntimeError: if the position was not restored.
        """
        if epoch > 0 and not self.restart and self.consumed_samples == 0:
            message = (
                f"a loader must be where a trainer resumes, got epoch={epoch} and a loader at sample 0. "
                "Restore its position by load_state_dict; under Lightning, use PipelineDataModule, which does."
            )
            raise RuntimeError(message)

    @property
    def dataset(self) -> Any:
        """Raise an error: transformers and accelerate ask for it to skip batches that were trained.

        Raises:
            AttributeError: always.
        """
        message = (
            "a PipelineLoader has no dataset to skip batches in. Restore its position by load_state_dict, and give "
            "transformers' TrainingArguments ignore_data_skip=True."
        )
        raise AttributeError(message)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Object with the loader as its `sampler`: Lightning calls `batch_sampler.sampler.set_epoch`."""
        return SimpleNamespace(sampler=self)

    @property
    def is_exhausted(self) -> bool:
        """Whether the order has ended, so that nothing more will be yielded."""
        return batch_stop(self.pipeline, self.consumed_samples) == self.consumed_samples

    @property
    def last_positions(self) -> range:
        """Positions of the batch delivered last, all ranks together; empty before the first one of an iteration."""
        return range(max(self._begin, self._last_start), self.consumed_samples)

    def _next_pause(self) -> int | None:
        """Return the position at which iteration pauses: the end of every `batches_per_epoch`-th step."""
        if self.batches_per_epoch is None:
            return None
        return next_pause(self.pipeline, self.consumed_samples, self.batches_per_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain values, equal on every rank: it counts the batches delivered."""
        return loader_state(self.pipeline, self.consumed_samples)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume at the position of another loader of the same order; rank, world size and batch size may differ.

        Warns:
            UserWarning: if a transform or collate has another name.

        Raises:
            ValueError: if `state` has another order, seed or data (the message lists the fields that differ), or is
                not a loader's state.
        """
        start = check_state(self.pipeline, state)
        check_every_rank_reads(self.pipeline, self.read, world_size=self.world_size, start=start)
        self.consumed_samples = self._begin = start
        self._current = None


loader: Final = PipelineLoader
"""`PipelineLoader` as a function: `loader(pipeline, rank, world_size)`."""
