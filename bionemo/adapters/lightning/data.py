"""The batches of pipelines, for a Lightning trainer of any number of ranks."""

from collections.abc import Mapping
from typing import Any

import attrs
from lightning.pytorch import LightningDataModule

from bionemo.adapters.lightning.epoch_loader import EpochLoader
from bionemo.adapters.lightning.place import trainer_place
from bionemo.adapters.lightning.resume import ExactResume
from bionemo.data.batches import num_batches
from bionemo.data.pipeline import Pipeline
from bionemo.data.pipes.loader import PipelineLoader, loader

__all__ = ["PipelineDataModule"]


class PipelineDataModule(LightningDataModule):
    """The batches of pipelines, for a trainer of any number of ranks.

    A Lightning epoch is the stretch from pause to pause of the training loader. Every checkpoint holds the position
    that its weights have, from whatever hook it is saved in, and a fit resumes exactly there, on any number of ranks
    and workers (see `ExactResume`, a callback that this module adds to its trainer). A new fit without a checkpoint
    starts where the pipeline starts; another fit of the same trainer goes on. An order with an end is gone through
    once, whatever the trainer's `max_epochs`. Give the trainer `use_distributed_sampler=False`.

    In a subclass, `setup` must call `super().setup(stage)`.

    Another batch size or `batches_per_epoch` is taken up where an epoch ends, with both the old and the new numbers;
    elsewhere Lightning would stop early without a word, and the state is refused.

    Args:
        train: what is trained on.
        validation: what is validated on, with the same batches each time: a pipeline, or several by name; None for
            nothing (the trainer then wants `limit_val_batches=0`).
        test: what `Trainer.test` goes through, likewise.
        predict: what `Trainer.predict` goes through, likewise.
        batches_per_epoch: steps from pause to pause; needed where the training order has no end. A trainer's
            `limit_train_batches=N` cuts it to `N`.
        num_workers: processes that read the training batches ahead of time.

    Raises:
        ValueError: if the training order has no end and `batches_per_epoch` is None, or another order has no end.
    """

    def __init__(
        self,
        *,
        train: Pipeline[Any],
        validation: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        test: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        predict: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        batches_per_epoch: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if batches_per_epoch is None and num_batches(train) is None:
            message = (
                "batches_per_epoch must be given for an order without end, got None. "
                "Lightning resumes exactly only where it knows when to pause."
            )
            raise ValueError(message)
        self.train, self.batches_per_epoch, self.num_workers = train, batches_per_epoch, num_workers
        self.validation = _by_name("validation", validation)
        self.test = _by_name("test", test)
        self.predict = _by_name("predict", predict)
        self._fit: ExactResume | None = None

    @property
    def batch_size(self) -> int:
        """Samples of a training step, over all ranks together; Lightning's `BatchSizeFinder` sets it."""
        return self.train.batch_size

    @batch_size.setter
    def batch_size(self, batch_size: int) -> None:
        self.train = attrs.evolve(self.train, batch_size=batch_size)

    def _place(self) -> tuple[int, int]:
        return trainer_place(self.trainer)

    def steps_per_epoch(self) -> int | None:
        """Return how many steps a Lightning epoch has; None for the whole order."""
        if self.trainer is None:
            return self.batches_per_epoch
        overfit = getattr(self.trainer, "overfit_batches", 0)
        if overfit:
            message = (
                f"overfit_batches must be 0, got overfit_batches={overfit}: training never goes "
                "back. Train on an order of a few samples, epoch after epoch."
            )
            raise ValueError(message)
        limit = self.trainer.limit_train_batches
        if isinstance(limit, float) and limit != 1:
            message = f"limit_train_batches must be a number of batches, got limit_train_batches={limit}."
            raise ValueError(message)
        limits = [self.batches_per_epoch, limit if isinstance(limit, int) and limit > 0 else None]
        return min((number for number in limits if number is not None), default=None)

    def setup(self, stage: str) -> None:
        """Begin a fit: what it resumes and saves is told by a callback of its own."""
        if stage == "fit" and self.trainer is not None:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            kept = [callback for callback in callbacks if isinstance(callback, ExactResume) and callback.data is self]
            self._fit = kept[0] if kept else ExactResume(self)
            callbacks[:] = [self._fit, *(callback for callback in callbacks if not isinstance(callback, ExactResume))]

    def train_dataloader(self) -> EpochLoader:
        """Return this rank's training batches: from the pipeline's start, or from where the fit is."""
        pause, (rank, world_size) = self.steps_per_epoch(), self._place()
        accumulated = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        total = num_batches(self.train)
        if accumulated > 1 and pause is not None and total is not None and total % pause:
            message = (
                f"batches_per_epoch must divide the order's {total} batches where some are accumulated, got "
                f"batches_per_epoch={pause} and accumulate_grad_batches={accumulated}: Lightning would leave the last "
                "without a step. Leave batches_per_epoch out."
            )
            raise ValueError(message)
        batches = EpochLoader(
            self.train,
            rank=rank,
            world_size=world_size,
            batches_per_epoch=pause,
            restart=False,
            start=0,
            num_workers=self.num_workers,
        )
        batches.remembered = accumulated + 1
        if self.trainer is not None:
            if self._fit is None:
                message = "PipelineDataModule.setup must be called before a fit. Call super().setup(stage) in yours."
                raise RuntimeError(message)
            self._fit.take_up(self.trainer, batches)
        else:
            batches.resume(None, total_batches=0)
        return batches

    def _evaluated(self, stage: str, pipelines: Mapping[str, Pipeline[Any]]) -> list[PipelineLoader[Any]]:
        if not pipelines and stage != "validation":
            message = f"{stage} must be given to go through it, got none: PipelineDataModule({stage}=...)."
            raise ValueError(message)
        return [loader(pipeline, *self._place(), restart=True) for pipeline in pipelines.values()]

    def val_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return this rank's validation batches, a loader for each pipeline."""
        return self._evaluated("validation", self.validation)

    def test_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return this rank's test batches, a loader for each pipeline."""
        return self._evaluated("test", self.test)

    def predict_dataloader(self) -> list[PipelineLoader[Any]]:
        """Return the batches that this rank predicts, a loader for each pipeline."""
        return self._evaluated("predict", self.predict)

    def teardown(self, stage: str) -> None:
        """End the worker processes, if there are any."""
        if self._fit is not None and self._fit.loader is not None:
            self._fit.loader.close()


def _by_name(stage: str, pipelines: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None) -> dict[str, Pipeline[Any]]:
    """Return pipelines by name; one alone has none."""
    found = {"": pipelines} if isinstance(pipelines, Pipeline) else dict(pipelines or {})
    for pipeline in found.values():
        if num_batches(pipeline) is None:
            message = f"{stage} must have an end, got an order with num_samples=None. Give the order num_samples."
            raise ValueError(message)
    return found
