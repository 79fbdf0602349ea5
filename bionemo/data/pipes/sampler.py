"""The order of a pipeline for those who stay with a DataLoader: batches of what a data set is indexed by."""

from collections.abc import Sequence
from typing import Any

from bionemo.core.checks import AnyInt
from bionemo.data.orders.order import SampleIndex
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.read import keys_of
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["batch_sampler"]


def _keys(pipeline: Pipeline[Any], _: Sequence[int], index: SampleIndex) -> list[Any]:
    """Return what the data set is indexed by: places, places in epochs, or for several sources all of it."""
    if len(pipeline.sources) > 1:
        return list(map(SampleIndex, *(part.tolist() for part in index)))
    keys = keys_of(pipeline.sources[0], index)
    return keys if isinstance(keys, list) else list(keys.tolist())


class _BatchSampler(PipelineLoader[list[Any]]):
    """A rank's batches of keys."""

    @property
    def batch_size(self) -> int:
        """Asked for by accelerate, when it is about to deal the batches to its processes.

        Raises:
            RuntimeError: if they are those of one rank already: most of the data would never be read.
            AttributeError: else, as for every batch sampler without a size of its own.
        """
        if self.world_size > 1:
            message = (
                f"a batch sampler of one rank must not be dealt to processes again, got rank={self.rank} and "
                f"world_size={self.world_size}. Leave its DataLoader out of accelerator.prepare, or make the sampler "
                "with rank=0 and world_size=1."
            )
            raise RuntimeError(message)
        message = "batch_size"
        raise AttributeError(message)


def batch_sampler(
    pipeline: Pipeline[Any],
    rank: AnyInt = 0,
    world_size: AnyInt = 1,
    *,
    batches_per_epoch: AnyInt | None = None,
    restart: bool = False,
    start: AnyInt = 0,
) -> PipelineLoader[list[Any]]:
    """Return a rank's batches of a pipeline as lists of what its data set is indexed by.

    For `DataLoader(dataset, batch_sampler=...)`, and torchdata's `StatefulDataLoader`, which saves and restores its
    state. The reading, the transforms and the collation are the DataLoader's then. It goes on, pauses and restarts as
    `loader` does, and its state is that of `loader`: either goes on from the other's.

    A DataLoader reads a Series of pandas by label, and takes `series.iloc` in its place.

    A plain DataLoader with worker processes asks for batches ahead of time: save `sampler.state_after(n)`, where n is
    how many batches it has delivered in this iteration. Left early, it has asked for more than it delivered:
    `sampler.load_state_dict(sampler.state_after(n))` puts the sampler back before the next iteration. At the end of an
    epoch save `state_after` with a `StatefulDataLoader` with workers, too: from a state of its own taken there it loses
    the next epoch (torchdata 0.11).

    Args:
        pipeline: gives the order, the batch size and `drop_last`; its transforms and collate aren't used. Its sources
            say what is yielded: indices, `EpochIndex` for `index="epoch"`, or `SampleIndex` if there are several.
        rank: data-parallel place, 0..world_size-1.
        world_size: how many ranks share each batch.
        batches_per_epoch: iteration pauses behind every so many steps, and `len` is that number.
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
    return _BatchSampler(
        pipeline,
        rank=rank,
        world_size=world_size,
        batches_per_epoch=batches_per_epoch,
        restart=restart,
        start=start,
        read=_keys,
    )
