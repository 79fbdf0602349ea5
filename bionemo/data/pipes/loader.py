"""The loader of a pipeline: an iterable whose state is one integer."""

import warnings
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any, Final, Generic, Literal, TypeVar, cast

import attrs
import torch

from bionemo.core.checks import AnyFloat, check_int
from bionemo.core.fields import Documented, check_bool, check_choice, check_instance, check_size, to_bool, to_int
from bionemo.data.pipeline.assemble import assemble_timed
from bionemo.data.pipeline.empty_ranks import Read, check_every_rank_reads
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.state import check_state, loader_state
from bionemo.data.pipeline.steps import batch_stop, end_position, next_pause, num_batches, rank_positions
from bionemo.data.pipes.delivery import Delivery
from bionemo.data.pipes.device import check_device, on_device, transform_on
from bionemo.data.pipes.guards import TrainerGuards
from bionemo.data.pipes.html import loader_html
from bionemo.data.pipes.options import check_batches_per_epoch, check_options
from bionemo.data.pipes.processes.workers import BatchWorkers
from bionemo.data.pipes.stats import LoaderStats, Recorder
from bionemo.data.pipes.stream import raise_again, read_batches

__all__ = ["PipelineLoader", "loader"]

Batch = TypeVar("Batch")

_READING: Final = ("rank", "world_size", "read_ahead", "num_threads", "prefetch_factor")


@attrs.define(eq=False, repr=False, slots=False, on_setattr=attrs.setters.NO_OP)
class PipelineLoader(TrainerGuards, Generic[Batch], metaclass=Documented):
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
        prefetch_factor: batches, or stretches of `read_ahead` batches, that each process or thread makes ahead.
        read_ahead: batches whose samples are read by one call of a data set's `__getitems__`, in ascending order and
            without duplicates, and kept until they are used. The batches are the same. Of a `BlockShuffleOrder`, no
            more than a window is read together: give as many batches as a window holds.
        pin_memory: deliver batches in page-locked memory, for faster copies to a GPU.
        num_threads: threads of this process that read batches ahead, instead of processes: for data sets that release
            the GIL. The batches are the same. Those of a pipeline that seeds the global states are read one by one.
        device: device that batches are moved to, each while the one before it is used; None leaves them on the CPU. For
            a GPU, memory is pinned.
        transform_on: where `batch_transform` runs: "worker", where batches are read, or "device", after they were moved
            there, so that what is moved may be smaller. The batches are the same, unless it draws from a global random
            state.
        compile_transform: compile a `batch_transform` that runs on the device.
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
    batches_per_epoch: int | None = attrs.field(default=None, converter=check_batches_per_epoch, kw_only=True)
    restart: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    start: int = attrs.field(default=0, converter=to_int, kw_only=True)
    num_workers: int = attrs.field(default=0, converter=to_int, kw_only=True)
    multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_choice("fork", "spawn", "forkserver"))
    )
    prefetch_factor: int = attrs.field(default=2, converter=to_int, validator=check_size, kw_only=True)
    read_ahead: int = attrs.field(default=1, converter=to_int, validator=check_size, kw_only=True)
    pin_memory: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    timeout: AnyFloat = attrs.field(default=0, kw_only=True)
    num_threads: int = attrs.field(default=0, converter=to_int, kw_only=True)
    device: torch.device | None = attrs.field(default=None, converter=check_device, kw_only=True)
    transform_on: Literal["worker", "device"] = attrs.field(
        default="worker", validator=check_choice("worker", "device"), kw_only=True
    )
    compile_transform: bool = attrs.field(default=False, converter=to_bool, validator=check_bool, kw_only=True)
    read: Read = attrs.field(default=assemble_timed, kw_only=True)
    consumed_samples: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rank_positions((0,), rank=self.rank, world_size=self.world_size)
        check_options(self)
        self.start = self.consumed_samples = check_int(self.start, name="start", high=end_position(self.pipeline))
        check_every_rank_reads(self.pipeline, self.read, world_size=self.world_size, start=self.start)
        self._begin = self._last_start = self.start
        self._current, self._recorder, self._transform = cast("object", None), Recorder(), cast("Any", None)
        self._made: Pipeline[Any] = self.pipeline  # without a transform that runs on the device
        if self.transform_on == "device" and self.device is not None and self.pipeline.batch_transform is not None:
            self._transform = transform_on(self.pipeline, self.device, compiled=self.compile_transform)
            self._made = attrs.evolve(self.pipeline, batch_transform=None)
        is_pinned = self.pin_memory or (self.device is not None and self.device.type == "cuda")
        has_workers = self.num_workers or self.pin_memory
        self._workers = BatchWorkers(self, self._made, pin_memory=is_pinned) if has_workers else None

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
        at = f"rank={self.rank}, world_size={self.world_size}, consumed_samples={self.consumed_samples}"
        return f"{type(self).__name__}({self.pipeline!r}, {at})"

    def _repr_html_(self) -> str:
        return loader_html(self)

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
        return raise_again(self._iterate(current))

    def _iterate(self, current: object) -> Iterator[Batch]:
        if self._current is None:  # a state was loaded before the first batch
            self._current, self._begin = current, self.consumed_samples
        self._check_current(current)
        num_steps, self._recorder = self.batches_per_epoch, Recorder()
        pause = None if num_steps is None else next_pause(self.pipeline, self.consumed_samples, num_steps)
        deliveries = self._deliveries(pause)
        while True:
            asked = perf_counter()
            delivery = next(deliveries, None)
            if delivery is None:
                return
            self._recorder.add(delivery, asked, perf_counter())
            self._last_start, self.consumed_samples = self.consumed_samples, delivery.stop
            yield delivery.batch
            if delivery.stop == pause:
                return
            self._check_current(current)

    def _check_current(self, current: object) -> None:
        if self._current is not current:
            message = "this iteration is over: a newer one has begun, a state was loaded, or the loader was closed."
            raise RuntimeError(message)

    def _deliveries(self, pause: int | None) -> Iterator[Delivery]:
        """Return an iterator over the batches from here on."""
        if self._workers is not None:
            deliveries = self._workers.batches(self.consumed_samples, pause)
        else:
            options: Any = {name: getattr(self, name) for name in _READING}
            deliveries = read_batches(self._made, self.read, start=self.consumed_samples, pause=pause, **options)
        if self.device is None:
            return deliveries
        return on_device(deliveries, self.device, transform=self._transform, pause=pause)

    def stats(self) -> LoaderStats:
        """Return what was measured since the iteration began; `print` shows it in one line."""
        return self._recorder.stats()

    def close(self) -> None:
        """End the iteration and the worker processes, if there are any; a new iteration starts others."""
        self._current = None
        if self._workers is not None:
            self._workers.close()

    @property
    def is_exhausted(self) -> bool:
        """Whether the order has ended, so that nothing more will be yielded."""
        return batch_stop(self.pipeline, self.consumed_samples) == self.consumed_samples

    @property
    def last_positions(self) -> range:
        """Positions of the batch delivered last, all ranks together; empty before the first one of an iteration."""
        return range(max(self._begin, self._last_start), self.consumed_samples)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain values, equal on every rank: it counts the batches delivered."""
        return loader_state(self.pipeline, self.consumed_samples)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Resume at the position of another loader of the same order; rank, world size and batch size may differ.

        Warns:
            UserWarning: if a transform or collate has another name.

        Raises:
            ValueError: if `state_dict` has another order, seed or data (the message lists the fields that differ), or
                is not a loader's state.
        """
        start = check_state(self.pipeline, state_dict)
        check_every_rank_reads(self.pipeline, self.read, world_size=self.world_size, start=start)
        self.consumed_samples = self._begin = start
        self._current = None


loader: Final = PipelineLoader
"""`PipelineLoader` as a function: `loader(pipeline, rank, world_size)`."""
