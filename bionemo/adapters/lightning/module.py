"""A Lightning module that trains the model of a configuration."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bionemo.adapters.lightning import accumulation
from bionemo.core.checks import AnyInt, check_seed
from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.core.model.loss import LossSum, add_losses, mean_metrics, scale_for_ranks, sum_over_ranks
from bionemo.core.random import make_generator, random_torch_context

__all__ = ["TrainableModule"]


class TrainableModule(LightningModule):
    """Lightning module that trains the model of a configuration on the mean loss over all tokens of an optimizer step.

    Every token has the same weight, whichever rank and accumulated batch it is in. Training ends with the order, if
    that has an end. Random numbers of a step, e.g. for dropout, are drawn from `(seed, step, rank)`, so no random state
    has to be saved. A checkpoint saved between accumulated batches holds their gradient; to resume from it, the trainer
    must accumulate the same number of batches.

    Logs `train_loss`, `val_loss`, `test_loss` and the means of the loss's metrics. If validation or test pipelines were
    given by name, the pipeline's name is appended, e.g. `val_loss_mouse`.

    Args:
        config: configuration of the model. The model is called with the batch; the loss class has `forward(batch,
            out)`, which returns a `LossSum`, and `reduce`.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes the learning-rate scheduler from the optimizer. It is stepped after every optimizer step.
            None keeps the learning rate constant.
        generator: draws the initial weights.
        seed: 0..2**63-1, seed of the random numbers of all steps.
    """

    def __init__(
        self,
        config: BionemoTrainableModelConfig[Any, Any],
        *,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        lr_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        generator: torch.Generator,
        seed: AnyInt,
    ) -> None:
        super().__init__()
        self.model = build_model(config, generator=generator)
        self.train_loss = config.get_loss_reduction_class()()
        self.validation_loss = config.get_loss_reduction_class()(validation_step=True)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.seed = check_seed(seed)
        self._accumulated: list[Tensor] = []
        self._restored: dict[str, Any] | None = None
        self._evaluated: dict[int, list[LossSum]] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return a batch's loss, scaled so that gradients averaged over ranks are those of the mean over all tokens.

        Raises:
            FloatingPointError: if the loss isn't finite; the message holds the call that replays the batch.
        """
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        with random_torch_context(make_generator(self.seed, "step", step, self.global_rank)):
            loss = self.train_loss.forward(batch, self.model(batch))
        total = sum_over_ranks(loss)
        if not math.isfinite(float(total.loss_sum)):
            raise FloatingPointError(self._not_finite(step, loss, total))
        self.log("train_loss", self.train_loss.reduce([total]), prog_bar=True)
        # The step's number of tokens is known only after its last batch. Until then, divide by the first batch's;
        # on_before_optimizer_step rescales the gradients.
        self._accumulated.append(total.num_tokens)
        scaled = scale_for_ranks(loss, self._accumulated[0], self.trainer.world_size)
        return scaled * self.trainer.accumulate_grad_batches  # because Lightning divides by it

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Rescale the gradients so that they are divided by the number of tokens of all accumulated batches."""
        accumulation.rescale_gradients(self, self._accumulated)
        self._accumulated.clear()

    @property
    def num_accumulated(self) -> int:
        """Number of batches of an unfinished optimizer step, whose gradient a checkpoint saved now would hold."""
        return len(self._accumulated if self._restored is None else self._restored["num_tokens"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the accumulated gradient, if the checkpoint is between two batches of an optimizer step."""
        if self._restored is not None:  # resumed, but training has not started yet
            checkpoint[accumulation.ACCUMULATED] = self._restored
            return
        now: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        batches = accumulation.num_open(self.trainer, now.processed)
        if batches and batches == accumulation.num_kept(self.trainer, self):
            checkpoint[accumulation.ACCUMULATED] = accumulation.save_gradients(
                self,
                self._accumulated,
                accumulated=self.trainer.accumulate_grad_batches,
                mean=partial(self.trainer.strategy.reduce, reduce_op="mean"),
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's accumulated gradient until training starts."""
        is_fit = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        self._restored = checkpoint.get(accumulation.ACCUMULATED) if is_fit else None

    def on_train_start(self) -> None:
        """Restore the accumulated gradient of a checkpoint.

        Raises:
            ValueError: if the trainer's `accumulate_grad_batches` has changed.
        """
        restored, self._restored, self._accumulated = self._restored, None, []
        if restored is not None:
            now = self.trainer.accumulate_grad_batches
            self._accumulated = accumulation.restore_gradients(self, restored, accumulated=now)

    def _not_finite(self, step: int, loss: LossSum, total: LossSum) -> str:
        """Return the message for a loss that isn't finite."""
        ranks = f"rank={self.global_rank}, world_size={self.trainer.world_size}"
        sums = f"{float(total.loss_sum)} on all ranks together, {float(loss.loss_sum.detach())} on this one"
        message = f"the loss must be finite, got {sums}, at step {step} ({ranks})"
        positions = getattr(self.trainer.train_dataloader, "last_positions", None)
        if positions is None:
            return f"{message}."
        return (
            f"{message}, for the batch at positions {positions.start}..{positions.stop - 1}. To replay it, call the "
            f"model with batch_from(pipeline, {positions.start}, {ranks}) inside "
            f'random_torch_context(make_generator({self.seed}, "step", {step}, {self.global_rank})).'
        )

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add the loss of a batch to the validation loss."""
        loss = self.validation_loss.forward(batch, self.model(batch))
        self._evaluated.setdefault(dataloader_idx, []).append(loss)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add the loss of a batch to the test loss."""
        self.validation_step(batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Return the model's output for a batch."""
        return self.model(batch)

    def on_train_epoch_end(self) -> None:
        """Stop at the end of the order: Lightning would run empty epochs forever.

        Raises:
            RuntimeError: if the last accumulated batches got no optimizer step.
        """
        if getattr(self.trainer.train_dataloader, "is_exhausted", False):
            self.trainer.should_stop = True
            if self._accumulated:
                message = (
                    f"the order must end with an optimizer step, got {len(self._accumulated)} accumulated batches "
                    "without one. Use PipelineDataModule without batches_per_epoch."
                )
                raise RuntimeError(message)

    def on_validation_epoch_start(self) -> None:
        """Discard the losses of a validation that did not finish."""
        self._evaluated.clear()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation tokens of all ranks."""
        self._log_evaluated("val", "validation")

    def on_test_epoch_end(self) -> None:
        """Log the means over the test tokens of all ranks."""
        self._log_evaluated("test", "test")

    def _log_evaluated(self, prefix: str, stage: str) -> None:
        """Log the mean loss and metrics per evaluation pipeline, with the pipeline's name appended if it has one."""
        names = list(getattr(getattr(self.trainer, "datamodule", None), stage, {})) or [""] * len(self._evaluated)
        for number, losses in sorted(self._evaluated.items()):
            total = sum_over_ranks(add_losses(losses))
            means = {"loss": self.validation_loss.reduce([total]), **mean_metrics([total])}
            for metric, mean in means.items():
                name = f"{prefix}_{metric}{'_' if names[number] else ''}{names[number]}"
                self.log(name, mean, prog_bar=metric == "loss", rank_zero_only=True)
        self._evaluated.clear()

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with its learning-rate scheduler if there is one."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.lr_scheduler(optimizer), "interval": "step"}}
