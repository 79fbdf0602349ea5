"""The model of a configuration under a Lightning trainer."""

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
from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.core.model.loss import LossSum, add_losses, mean_metrics, scale_for_ranks, sum_over_ranks
from bionemo.core.utils.checks import AnyInt, check_seed
from bionemo.core.utils.random_utils import make_generator, random_torch_context

__all__ = ["TrainableModule"]


class TrainableModule(LightningModule):
    """The model of a configuration, trained by the mean of its loss over all tokens of an optimizer's step.

    All tokens weigh the same, on whatever rank and in whichever of the batches that a trainer accumulates. Training
    ends with the order, if that has an end. What the model draws in a step (dropout) is drawn from `(seed, step,
    rank)`, so that no random state has to be saved. It logs `train_loss`, `val_loss` and `test_loss` (with the name of
    the pipeline behind them, where there are several), and the means of the loss's metrics likewise. A checkpoint
    between accumulated batches holds their gradient, and is for a trainer that accumulates as many.

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
        self._accumulated: list[Tensor] = []
        self._restored: dict[str, Any] | None = None
        self._evaluated: dict[int, list[LossSum]] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch, scaled so that the ranks' mean gradient is that of all tokens together.

        Raises:
            FloatingPointError: if the loss isn't finite, with the call that replays the batch.
        """
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        with random_torch_context(make_generator(self.seed, "step", step, self.global_rank)):
            loss = self.train_loss.forward(batch, self.model(batch))
        total = sum_over_ranks(loss)
        if not math.isfinite(float(total.loss_sum)):
            raise FloatingPointError(self._not_finite(step, loss, total))
        self.log("train_loss", self.train_loss.reduce([total]), prog_bar=True)
        # Until the step's last batch its number of tokens isn't known: the first batch's stands in for it.
        self._accumulated.append(total.num_tokens)
        scaled = scale_for_ranks(loss, self._accumulated[0], self.trainer.world_size)
        return scaled * self.trainer.accumulate_grad_batches  # which Lightning divides by

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Put the number of tokens of all accumulated batches in the place of that of the first."""
        accumulation.rescale_gradients(self, self._accumulated)
        self._accumulated.clear()

    @property
    def num_accumulated(self) -> int:
        """Batches of an unfinished optimizer's step, whose gradient a checkpoint keeps between two of them."""
        return len(self._accumulated if self._restored is None else self._restored["num_tokens"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the gradient between two batches of an optimizer's step."""
        if self._restored is not None:  # resumed, and not begun
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
        """Keep the gradient of the batches that were accumulated, until training starts."""
        is_fit = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        self._restored = checkpoint.get(accumulation.ACCUMULATED) if is_fit else None

    def on_train_start(self) -> None:
        """Go on with the gradient of the batches that were accumulated.

        Raises:
            ValueError: if another number of batches is accumulated now.
        """
        restored, self._restored, self._accumulated = self._restored, None, []
        if restored is not None:
            now = self.trainer.accumulate_grad_batches
            self._accumulated = accumulation.restore_gradients(self, restored, accumulated=now)

    def _not_finite(self, step: int, loss: LossSum, total: LossSum) -> str:
        place = f"rank={self.global_rank}, world_size={self.trainer.world_size}"
        sums = f"{float(total.loss_sum)} on all ranks together, {float(loss.loss_sum.detach())} on this one"
        said = f"the loss must be finite, got {sums}, at step {step} ({place})"
        positions = getattr(self.trainer.train_dataloader, "last_positions", None)
        if positions is None:
            return f"{said}."
        return (
            f"{said}, of the batch of positions {positions.start}..{positions.stop - 1}. To replay it, call the model "
            f"with batch_from(pipeline, {positions.start}, {place}) inside "
            f'random_torch_context(make_generator({self.seed}, "step", {step}, {self.global_rank})).'
        )

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch's loss to the validation's."""
        loss = self.validation_loss.forward(batch, self.model(batch))
        self._evaluated.setdefault(dataloader_idx, []).append(loss)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch's loss to the test's."""
        self.validation_step(batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Return the model's output."""
        return self.model(batch)

    def on_train_epoch_end(self) -> None:
        """Stop when the order is at its end: Lightning would go through empty epochs for ever.

        Raises:
            RuntimeError: if accumulated batches are left without an optimizer's step.
        """
        if getattr(self.trainer.train_dataloader, "is_exhausted", False):
            self.trainer.should_stop = True
            if self._accumulated:
                message = f"the order ended behind {len(self._accumulated)} accumulated batches, without a step."
                raise RuntimeError(message)

    def on_validation_epoch_start(self) -> None:
        """Forget what a validation that broke off had counted."""
        self._evaluated.clear()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Log the means over all tokens validated, on all ranks together."""
        self._log_evaluated("val", "validation")

    def on_test_epoch_end(self) -> None:
        """Log the means over all tokens tested, on all ranks together."""
        self._log_evaluated("test", "test")

    def _log_evaluated(self, prefix: str, stage: str) -> None:
        names = list(getattr(getattr(self.trainer, "datamodule", None), stage, {})) or [""] * len(self._evaluated)
        for number, losses in sorted(self._evaluated.items()):
            total = sum_over_ranks(add_losses(losses))
            means = {"loss": self.validation_loss.reduce([total]), **mean_metrics([total])}
            for metric, mean in means.items():
                name = f"{prefix}_{metric}{'_' if names[number] else ''}{names[number]}"
                self.log(name, mean, prog_bar=metric == "loss", rank_zero_only=True)
        self._evaluated.clear()

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with its schedule where there is one."""
        optimizer = self.optimizer(self.parameters())
        if self.schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": "step"}}
