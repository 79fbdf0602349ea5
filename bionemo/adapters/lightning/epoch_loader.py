"""The loaders of a Lightning run: one to train, which knows its batches' positions, and named ones to evaluate."""

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import torch.distributed

from bionemo.data.pipeline.state import loader_state
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["EpochLoader", "EvaluationLoader", "TrainingData", "metric_suffixes", "rank_and_world_size"]


@runtime_checkable
class TrainingData(Protocol):
    """What `ExactResume` reads of a data module."""

    batch_size: int | None

    def steps_per_epoch(self) -> int | None:
        """Return the number of steps of a Lightning epoch, or None if it is the whole order."""
        ...


@attrs.define(eq=False, repr=False, slots=False)
class EpochLoader(PipelineLoader[Any]):
    """A loader that counts its batches over all epochs of a run and gives the state after any of the most recent ones.

    Args:
        num_remembered: number of most recent batches whose start is known: at least those of one optimizer step, and
            the batch in progress.
    """

    num_remembered: int = attrs.field(default=1, kw_only=True)
    total_batches: int = attrs.field(init=False, default=0)
    """Number of batches delivered since the beginning of the run."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.resume(None, total_batches=0)

    def resume(self, state: Mapping[str, Any] | None, *, total_batches: int) -> None:
        """Move to the position of a state, or to the start if it is None, after `total_batches` batches of the run.

        Raises:
            ValueError: if the state is of another order, seed or data.
        """
        if state is None:
            self.consumed_samples = self._begin = self._last_start = self.start
            self._current = None
        else:
            self.load_state_dict(state)
        self.total_batches = total_batches
        self._starts: deque[int] = deque(state.get("open_step", ()) if state else (), maxlen=self.num_remembered)
        self._first: tuple[int, int] = (total_batches, self.consumed_samples)

    def __iter__(self) -> Iterator[Any]:
        for batch in super().__iter__():
            self._starts.append(self.last_positions.start)
            self.total_batches += 1
            yield batch

    def position_after(self, total_batches: int) -> int:
        """Return the position after the first `total_batches` batches of the run.

        Raises:
            RuntimeError: if that is further back than the loader remembers.
        """
        back = self.total_batches - total_batches
        if not back:
            return self.consumed_samples
        if back <= len(self._starts):
            return self._starts[-back]
        first_batches, first_position = self._first
        if first_batches == total_batches:
            return first_position
        message = f"total_batches must be one of the last {self.num_remembered}, got a position {back} batches back."
        raise RuntimeError(message)

    def state_at(self, total_batches: int, *, num_open: int = 0) -> dict[str, Any]:
        """Return the state after `total_batches` batches of the run, the last `num_open` of an unfinished step."""
        starts = [self.position_after(total_batches - back) for back in range(num_open, 0, -1)]
        position = self.position_after(total_batches)
        return loader_state(self.pipeline, position) | {
            "batches_per_epoch": self.batches_per_epoch,
            "open_step": starts,
        }


@attrs.define(eq=False, repr=False, slots=False)
class EvaluationLoader(PipelineLoader[Any]):
    """A loader with the name of its pipeline.

    Args:
        name: name of the pipeline among those that are evaluated together; empty if it needs none.
    """

    name: str = attrs.field(default="", kw_only=True)


def metric_suffixes(loaders: Sequence[Any], /) -> list[str]:
    """Return the end of the names of each loader's metrics, by which several loaders are told apart.

    It is the name of the loader's pipeline. Other loaders than ours have no names: several get numbers, in the words
    that Lightning uses.

    Example:
        >>> metric_suffixes([[1, 2]]), metric_suffixes([[1, 2], [3]])
        ([''], ['/dataloader_idx_0', '/dataloader_idx_1'])
    """
    unnamed = [f"/dataloader_idx_{number}" for number in range(len(loaders))] if len(loaders) > 1 else [""]
    return [
        f"{'_' if loader.name else ''}{loader.name}" if isinstance(loader, EvaluationLoader) else number
        for loader, number in zip(loaders, unnamed, strict=False)
    ]


def rank_and_world_size(trainer: Any, /) -> tuple[int, int]:
    """Return the data-parallel rank of this process under a trainer, and the number of ranks.

    Args:
        trainer: Lightning's; None for a single process.

    Raises:
        RuntimeError: if torch runs another number of processes than the trainer, or several processes share a model, as
            under Megatron: Lightning would give each of them other batches and the weights of the first.

    Example:
        >>> rank_and_world_size(None)
        (0, 1)
    """
    if trainer is None:
        return 0, 1
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        started = distributed.get_world_size()
        if started != trainer.world_size:
            message = (
                f"torch's processes must be those of the trainer, got {started} and {trainer.world_size}. "
                "If something other than Lightning starts torch's processes, start the program by torchrun."
            )
            raise RuntimeError(message)
    state = sys.modules.get("megatron.core.parallel_state")
    if state is not None and state.model_parallel_is_initialized():
        replicas = state.get_data_parallel_world_size()
        if replicas != trainer.world_size:
            message = (
                f"each process must have a model of its own, got {trainer.world_size} processes and {replicas} model "
                "replicas. Train models that processes share by megatron-core's schedules: see "
                "bionemo.adapters.megatron.forward_step."
            )
            raise RuntimeError(message)
    return trainer.global_rank, trainer.world_size
