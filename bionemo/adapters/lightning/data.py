"""A Lightning data module whose batches are those of pipelines."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from bionemo.adapters.lightning.checkpoint import check_destinations
from bionemo.adapters.lightning.epoch_loader import EpochLoader, EvaluationLoader, rank_and_world_size
from bionemo.adapters.lightning.resume import ExactResume
from bionemo.core.checks import AnyInt, check_int
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import num_batches
from bionemo.data.pipes.loader import loader

__all__ = ["PipelineDataModule"]


class PipelineDataModule(LightningDataModule):
    """Lightning data module whose batches are those of pipelines, on any number of ranks.

    Every checkpoint holds the data position that matches its weights, whichever hook saves it. A fit resumes exactly
    there, with any number of ranks and workers (see `ExactResume`, the callback that this module adds to its trainer).
    A new fit without a checkpoint starts where the pipeline starts; a second fit by the same trainer continues the
    first. A finite order is read once, whatever the trainer's `max_epochs`.

    The batch size and `batches_per_epoch` may change only at a position where both an old and a new epoch end;
    elsewhere the checkpoint is refused, because Lightning would end the epoch early without a warning.

    Give the trainer `use_distributed_sampler=False`. A subclass that overrides `setup` must call
    `super().setup(stage)`.

    Args:
        train: pipeline of the training batches.
        validation: pipeline of the validation batches, or several by name; each validation reads the same batches. If
            None, give the trainer `limit_val_batches=0`.
        test: pipelines that `Trainer.test` reads, in the same form.
        predict: pipelines that `Trainer.predict` reads, in the same form.
        batches_per_epoch: steps per Lightning epoch; required if the training order has no end. The trainer's
            `limit_train_batches=N` lowers it to `N`.
        num_workers: number of processes that read the training batches ahead of time. This and all options below are
            those of `bionemo.data.pipes.loader`, for the training batches.
        num_threads: number of threads that read them, instead of processes.
        multiprocessing_context: how the processes are started.
        prefetch_factor: batches that each process or thread reads ahead.
        read_ahead: batches whose samples are read by one call of a data set.
        pin_memory: deliver batches in page-locked memory.
        device: device that batches are moved to one ahead, or "auto" for the trainer's; None leaves it to Lightning.
        transform_on: "worker" or "device": where `batch_transform` runs.
        compile_transform: compile a `batch_transform` that runs on the device.

    Raises:
        ValueError: if the training order has no end and `batches_per_epoch` is None, another order has no end, or a
            number is out of range.
        TypeError: if an argument is of another kind, e.g. a loader or a data set instead of a pipeline.
    """

    def __init__(
        self,
        *,
        train: Pipeline[Any],
        validation: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        test: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        predict: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None = None,
        batches_per_epoch: AnyInt | None = None,
        num_workers: AnyInt = 0,
        num_threads: AnyInt = 0,
        multiprocessing_context: str | None = None,
        prefetch_factor: AnyInt = 2,
        read_ahead: AnyInt = 1,
        pin_memory: bool = False,
        device: torch.device | str | None = None,
        transform_on: str = "worker",
        compile_transform: bool = False,
    ) -> None:
        super().__init__()
        _check_pipeline(train, name="train")
        if batches_per_epoch is None and num_batches(train) is None:
            message = (
                "batches_per_epoch must be given for an order without end, got batches_per_epoch=None. Set it to the "
                "number of steps of a Lightning epoch."
            )
            raise ValueError(message)
        self.train = train
        self.batches_per_epoch = None
        if batches_per_epoch is not None:
            self.batches_per_epoch = check_int(batches_per_epoch, name="batches_per_epoch", low=1)
        self.num_workers = check_int(num_workers, name="num_workers")
        self.device = device
        self._options: dict[str, Any] = {
            "num_threads": num_threads,
            "multiprocessing_context": multiprocessing_context,
            "prefetch_factor": prefetch_factor,
            "read_ahead": read_ahead,
            "pin_memory": pin_memory,
            "transform_on": transform_on,
            "compile_transform": compile_transform,
        }
        # Wrong options are errors here, not when a fit begins.
        loader(train, num_workers=self.num_workers, device=None if device is None else "cpu", **self._options)
        self.validation = _by_name("validation", validation)
        self.test = _by_name("test", test)
        self.predict = _by_name("predict", predict)
        self._fit: ExactResume | None = None

    @property
    def batch_size(self) -> int | None:
        """Samples per training step over all ranks together; Lightning's `BatchSizeFinder` sets it.

        None for a planned order, which makes the steps itself.
        """
        return self.train.batch_size

    @batch_size.setter
    def batch_size(self, batch_size: int | None) -> None:
        self.train = attrs.evolve(self.train, batch_size=batch_size)

    def __repr__(self) -> str:
        names = {"validation": self.validation, "test": self.test, "predict": self.predict}
        given = "".join(f", {stage}={list(pipelines)}" for stage, pipelines in names.items() if pipelines)
        options = f"batches_per_epoch={self.batches_per_epoch}, num_workers={self.num_workers}"
        return f"{type(self).__name__}(train={self.train!r}{given}, {options})"

    def steps_per_epoch(self) -> int | None:
        """Return the number of steps of a Lightning epoch, or None if it is the whole order."""
        if self.trainer is None:
            return self.batches_per_epoch
        overfit = getattr(self.trainer, "overfit_batches", 0)
        if overfit:
            message = (
                f"overfit_batches must be 0, got overfit_batches={overfit}. To overfit on purpose, train on an order "
                "of a few samples for many epochs."
            )
            raise ValueError(message)
        limit = self.trainer.limit_train_batches
        if isinstance(limit, float) and limit != 1:
            message = f"limit_train_batches must be a number of batches, got limit_train_batches={limit}. Pass an int."
            raise ValueError(message)
        limits = [self.batches_per_epoch, limit if isinstance(limit, int) and limit > 0 else None]
        return min((number for number in limits if number is not None), default=None)

    def setup(self, stage: str) -> None:
        """Add the callback that saves and restores the data position to the trainer, as its first."""
        if stage == "fit" and self.trainer is not None:
            callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
            kept = [callback for callback in callbacks if isinstance(callback, ExactResume) and callback.data is self]
            self._fit = kept[0] if kept else ExactResume(self)
            callbacks[:] = [self._fit, *(callback for callback in callbacks if not isinstance(callback, ExactResume))]

    def train_dataloader(self) -> EpochLoader:
        """Return this rank's training loader, at the start of the pipeline or at the position of the fit."""
        pause, (rank, world_size) = self.steps_per_epoch(), rank_and_world_size(self.trainer)
        accumulated = 1 if self.trainer is None else _most_accumulated(self.trainer)
        total = num_batches(self.train)
        if accumulated > 1 and pause is not None and total is not None and total % pause:
            message = (
                f"batches_per_epoch must divide the order's {total} batches if batches are accumulated, got "
                f"batches_per_epoch={pause} and accumulate_grad_batches={accumulated}: Lightning would end without an "
                "optimizer step for the last batches. Leave batches_per_epoch out."
            )
            raise ValueError(message)
        batches = EpochLoader(
            self.train,
            rank=rank,
            world_size=world_size,
            batches_per_epoch=pause,
            num_workers=self.num_workers,
            num_remembered=accumulated + 1,
            device=self._device(),
            **self._options,
        )
        if self.trainer is not None:
            if self._fit is None:
                message = (
                    "PipelineDataModule.setup must be called before a fit. Call super().setup(stage) in your setup."
                )
                raise RuntimeError(message)
            check_destinations(self.trainer)
            self._fit.attach_loader(self.trainer, batches)
        return batches

    def _device(self) -> Any:
        """Return the device that training batches are moved to, or None."""
        if self.device != "auto":
            return self.device
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _evaluation_loaders(self, stage: str, pipelines: Mapping[str, Pipeline[Any]]) -> list[EvaluationLoader]:
        if not pipelines and stage != "validation":
            message = f"{stage} must be given, got none. Make the data module with {stage}=..., a pipeline."
            raise ValueError(message)
        rank, world_size = rank_and_world_size(self.trainer)
        return [
            EvaluationLoader(pipeline, rank, world_size, restart=True, name=name)
            for name, pipeline in pipelines.items()
        ]

    def val_dataloader(self) -> list[EvaluationLoader]:
        """Return this rank's validation loaders, one per pipeline."""
        return self._evaluation_loaders("validation", self.validation)

    def test_dataloader(self) -> list[EvaluationLoader]:
        """Return this rank's test loaders, one per pipeline."""
        return self._evaluation_loaders("test", self.test)

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """Return this rank's prediction loaders, one per pipeline."""
        return self._evaluation_loaders("predict", self.predict)

    def teardown(self, stage: str) -> None:
        """Stop the worker processes, if there are any."""
        if self._fit is not None and self._fit.loader is not None:
            self._fit.loader.close()


def _by_name(stage: str, pipelines: Pipeline[Any] | Mapping[str, Pipeline[Any]] | None) -> dict[str, Pipeline[Any]]:
    """Return pipelines by name; a single pipeline is named `""`."""
    if not (pipelines is None or isinstance(pipelines, Mapping)):
        _check_pipeline(pipelines, name=stage)
        pipelines = {"": pipelines}
    for name, pipeline in (pipelines or {}).items():
        _check_pipeline(pipeline, name=f"{stage}[{name!r}]" if name else stage)
        if num_batches(pipeline) is None:
            message = f"{stage} must have an end, got an order with num_samples=None. Set the order's num_samples."
            raise ValueError(message)
    return {str(name): pipeline for name, pipeline in (pipelines or {}).items()}


def _check_pipeline(value: Any, *, name: str) -> None:
    if not isinstance(value, Pipeline):
        several = "" if name == "train" else " Several go by name: {'mouse': pipeline, ...}."
        message = (
            f"{name} must be a Pipeline, got an object of type {type(value).__name__}. Pass Pipeline(order=..., "
            f"sources=..., batch_size=..., seed=...): the data module makes its loaders.{several}"
        )
        raise TypeError(message)


def _most_accumulated(trainer: Any) -> int:
    """Return the largest number of batches that a trainer accumulates for a step, in any epoch."""
    callbacks = (callback for callback in trainer.callbacks if isinstance(callback, GradientAccumulationScheduler))
    schedules = [number for callback in callbacks for number in callback.scheduling.values()]
    return max([int(trainer.accumulate_grad_batches), *schedules])
