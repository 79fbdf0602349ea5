"""A batch sampler for torch's DataLoader that follows the order of a pipeline."""

from collections.abc import Sequence
from typing import Any, Final

import torch.distributed

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.assemble import StageSeconds
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.state import loader_state
from bionemo.data.pipeline.steps import batch_stop
from bionemo.data.pipes.loader import PipelineLoader
from bionemo.data.reading.read import keys_of

__all__ = ["BatchSampler", "batch_sampler"]


_NOTHING: Final[StageSeconds] = (0.0, 0.0, 0.0, 0.0, 0.0)


def _keys(pipeline: Pipeline[Any], _: Sequence[int], index: SampleIndex) -> tuple[list[Any], StageSeconds]:
    """Return the keys of samples: indices, `EpochIndex`es, or `SampleIndex`es if there are several sources."""
    if len(pipeline.sources) > 1:
        return list(map(SampleIndex, *(part.tolist() for part in index))), _NOTHING
    keys = keys_of(pipeline.sources[0], index)
    return keys if isinstance(keys, list) else list(keys.tolist()), _NOTHING


def _num_processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


class BatchSampler(PipelineLoader[list[Any]]):
    """A loader whose batches are lists of keys; made by `batch_sampler`."""

    @property
    def batch_size(self) -> int:
        """Raise an error: accelerate asks for it before it deals the batches to its processes.

        Raises:
            RuntimeError: if there are several processes. Batches of one rank would be dealt again, so that most data
                would never be read; and of dealt batches, accelerate repeats some and saves no position.
            AttributeError: otherwise, as on any batch sampler without a batch size.
        """
        if self.world_size > 1 or _num_processes() > 1:
            message = (
                f"a batch sampler must not be dealt to processes again, got rank={self.rank} and "
                f"world_size={self.world_size} in one of {_num_processes()} processes. Use accelerate_loader of "
                "bionemo.adapters.huggingface, or don't pass its DataLoader to accelerator.prepare."
            )
            raise RuntimeError(message)
        message = "batch_size"
        raise AttributeError(message)

    def state_after(self, num_batches: AnyInt) -> dict[str, Any]:
        """Return the state after the first `num_batches` batches of this iteration.

        A DataLoader with worker processes may have drawn more batches than it delivered.

        Raises:
            ValueError: if the sampler has not delivered that many.
        """
        num_batches = check_int(num_batches, name="num_batches")
        position = self._begin
        for _ in range(num_batches):
            start, position = position, batch_stop(self.pipeline, position)
            if not start < position <= self.consumed_samples:
                message = (
                    f"num_batches must be the number of batches delivered, or less, got num_batches={num_batches}."
                )
                raise ValueError(message)
        return loader_state(self.pipeline, position)


@checked
def batch_sampler(
    pipeline: Pipeline[Any],
    rank: AnyInt = 0,
    world_size: AnyInt = 1,
    *,
    batches_per_epoch: AnyInt | None = None,
    restart: bool = False,
    start: AnyInt = 0,
) -> BatchSampler:
    """Return a batch sampler: an iterable over a rank's batches, each a list of keys for the data set.

    For `DataLoader(dataset, batch_sampler=...)`, which then reads, transforms and collates, and for torchdata's
    `StatefulDataLoader`, which also saves and restores the sampler's state. The sampler continues, pauses and restarts
    as a `loader` does. Their states are the same: each resumes from the other's.

    A DataLoader reads a pandas Series by label: pass it `series.iloc` instead.

    A plain DataLoader with worker processes draws batches ahead of time: save `sampler.state_after(n)`, where n is the
    number of batches that it delivered in this iteration. If you break out of the loop, it has drawn batches that you
    never saw; rewind the sampler before the next iteration: `sampler.load_state_dict(sampler.state_after(n))`. With a
    `StatefulDataLoader` with workers, save `state_after` at the end of an epoch, too: from its own state taken there it
    loses the next epoch (torchdata 0.11).

    Args:
        pipeline: its order, batch size and `drop_last` are used, its transforms and `collate` are not. Its sources
            determine the keys: indices, `EpochIndex` for `index="epoch"`, `SampleIndex` if there are several sources.
        rank: data-parallel rank, 0..world_size-1.
        world_size: number of ranks that share each batch.
        batches_per_epoch: iteration pauses after this many steps, and `len` is this number.
        restart: start over with every `iter()`.
        start: position of the first sample.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42)
        >>> list(DataLoader("abcde", batch_sampler=batch_sampler(pipeline), collate_fn="".join))
        ['ab', 'ed', 'c']
    """
    options: Any = {"batches_per_epoch": batches_per_epoch, "restart": restart, "start": start}
    return BatchSampler(pipeline, rank, world_size, **options, read=_keys)
