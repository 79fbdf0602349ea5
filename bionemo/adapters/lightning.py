"""Lightning: a data module over pipelines, a module over a model configuration, and whole checkpoints."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.core.model.loss import LossSum
from bionemo.core.utils.checks import AnyInt, check_seed
from bionemo.core.utils.files import write_atomically
from bionemo.core.utils.random_utils import make_generator, random_torch_context
from bionemo.data.batches import num_batches
from bionemo.data.pipeline import Pipeline
from bionemo.data.pipes.loader import PipelineLoader, loader

__all__ = ["AtomicCheckpointIO", "PipelineDataModule", "TrainableModule"]


class PipelineDataModule(LightningDataModule):
    """The batches of pipelines, for a trainer of any number of ranks.

    A Lightning epoch is the stretch from pause to pause of the training loader; the position in the order is saved with
    every checkpoint and restored with it. An order with an end is gone through once, whatever the trainer's
    `max_epochs`. Give the trainer `use_distributed_sampler=False`.

    Args:
        train: what is trained on.
        validation: what is validated on, with the same batches each time; None for nothing (the trainer then wants
            `limit_val_batches=0`).
        batches_per_epoch: steps from pause to pause; needed where the training order has no end.

    Raises:
        ValueError: if the training order has no end and `batches_per_epoch` is None, or the validation order has no
            end.
    """

    def __init__(
        self, *, train: Pipeline[Any], validation: Pipeline[Any] | None = None, batches_per_epoch: int | None = None
    ) -> None:
        super().__init__()
        if batches_per_epoch is None and num_batches(train) is None:
            message = (
                "batches_per_epoch must be given for an order without end, got None. "
                "Lightning resumes exactly only where it knows when to pause."
            )
            raise ValueError(message)
        if validation is not None and num_batches(validation) is None:
            message = "validation must have an end, got an order with num_samples=None. Give the order num_samples."
            raise ValueError(message)
        self.train, self.validation, self.batches_per_epoch = train, validation, batches_per_epoch
        self._train_loader: PipelineLoader[Any] | None = None

    def _place(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> PipelineLoader[Any]:
        """Return this rank's training batches, from where the last trainer left off."""
        rank, world_size = self._place()
        start = 0 if self._train_loader is None else self._train_loader.consumed_samples
        self._train_loader = loader(self.train, rank, world_size, batches_per_epoch=self.batches_per_epoch, start=start)
        return self._train_loader

    def val_dataloader(self) -> PipelineLoader[Any] | list[Any]:
        """Return this rank's validation batches."""
        if self.validation is None:
            return []
        rank, world_size = self._place()
        return loader(self.validation, rank, world_size, restart=True)


class TrainableModule(LightningModule):
    """The model of a configuration, trained by the mean of its loss over all tokens of a step, on all ranks together.

    A step is a batch of the loader: where the trainer accumulates several, each weighs the same, whatever its tokens.
    Training ends with the order, if that has an end. What the model draws in a step (dropout) is drawn from
    `(seed, step, rank)`, so that no random state has to be saved. It logs `train_loss` and `val_loss`.

    Args:
        config: what to train. Its model is called with the batch, its loss class has `forward(batch, out)`, which
            answers with a `LossSum`, and `reduce`.
        optimizer: makes the optimizer of the parameters.
        schedule: makes the schedule of an optimizer, which moves on every step; None for a constant rate.
        generator: draws the weights.
        seed: 0..2**63-1, for what the model draws in a step.
    """

    def __init__(
        self,
        config: BionemoTrainableModelConfig[Any, Any],
        *,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        schedule: Callable[[Optimizer], LRScheduler] | None = None,
        generator: torch.Generator,
        seed: AnyInt,
    ) -> None:
        super().__init__()
        self.model = build_model(config, generator=generator)
        self.train_loss = config.get_loss_reduction_class()()
        self.validation_loss = config.get_loss_reduction_class()(validation_step=True)
        self.optimizer, self.schedule = optimizer, schedule
        self.seed = check_seed(seed)
        self.validated: list[LossSum] = []

    def _over_ranks(self, number: Tensor) -> Tensor:
        total: Tensor = self.trainer.strategy.reduce(number.detach().clone(), reduce_op="sum")
        return total

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a step, scaled so that the ranks' mean gradient is that of all tokens together."""
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        with random_torch_context(make_generator(self.seed, "step", step, self.global_rank)):
            loss = self.train_loss.forward(batch, self.model(batch))
        num_tokens = self._over_ranks(loss.num_tokens).clamp(min=1)
        self.log("train_loss", self._over_ranks(loss.loss_sum) / num_tokens, prog_bar=True)
        scaled: Tensor = loss.loss_sum * self.trainer.world_size / num_tokens
        return scaled

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add a batch's loss to the validation's."""
        self.validated.append(self.validation_loss.forward(batch, self.model(batch)))

    def on_train_epoch_end(self) -> None:
        """Stop when the order is at its end: Lightning would go through empty epochs for ever."""
        if getattr(self.trainer.train_dataloader, "is_exhausted", False):
            self.trainer.should_stop = True

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all tokens validated, on all ranks together."""
        parts = self.validated or [LossSum(torch.tensor(0.0), torch.tensor(0))]
        sums = (torch.stack(part).sum().to(self.device) for part in zip(*parts, strict=True))
        total = LossSum(*(self._over_ranks(number) for number in sums))
        self.log("val_loss", self.validation_loss.reduce([total]), prog_bar=True, rank_zero_only=True)
        self.validated.clear()

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with its schedule where there is one."""
        optimizer = self.optimizer(self.parameters())
        if self.schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": "step"}}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints written beside their place and moved there when whole: a killed process leaves none half-written.

    Lightning writes to the system's folder for temporary files first, and moving from there is a copy where that is
    another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint to a local file.

        Raises:
            TypeError: if `storage_options` are given: they are for other file systems.
            ValueError: if `path` is on another file system.
        """
        if storage_options is not None:
            message = f"storage_options must be None for local files, got storage_options={storage_options!r}."
            raise TypeError(message)
        if "://" in str(path):
            message = f"path must be that of a local file, got path={str(path)!r}. Leave this plugin out elsewhere."
            raise ValueError(message)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), lambda file: torch.save(checkpoint, file))
