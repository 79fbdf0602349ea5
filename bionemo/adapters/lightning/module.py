"""A Lightning module that trains the model of a configuration."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bionemo.adapters.lightning import accumulation
from bionemo.adapters.lightning.epoch_loader import metric_suffixes
from bionemo.core.checks import AnyInt, check_seed
from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.core.model.loss import LossSum, add_losses, mean_metrics, scale_for_ranks, sum_over_ranks
from bionemo.core.random import make_generator, random_torch_context

__all__ = ["TrainableModule"]

_RECORD: Final = "Pass an instance of a BionemoTrainableModelConfig that makes the model and names its loss."
_LOSSES: Final = "Return e.g. TokenCrossEntropy, not TokenCrossEntropy(), or a class with the same methods."
_MAKERS: Final = (
    "Pass a class, with or without options, e.g. optimizer=partial(torch.optim.AdamW, lr=0.001), "
    "lr_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1000)."
)
_SCHEDULERS: Final = "For one that follows a metric, override configure_optimizers and name the metric as `monitor`."


class TrainableModule(LightningModule):
    """Lightning module that trains the model of a configuration on the mean loss over all tokens of an optimizer step.

    Every token has the same weight, whichever rank and accumulated batch it is in. Training ends with the order, if
    that has an end. Random numbers of a step, e.g. for dropout, are drawn from `(seed, step, rank)`, so no random state
    has to be saved. A checkpoint saved between accumulated batches holds their gradient; to resume from it, the trainer
    must accumulate the same number of batches.

    Logs `train_loss`, `val_loss`, `test_loss` and the means of the loss's metrics. A validation or test pipeline's name
    is appended, e.g. `val_loss_mouse`; several unnamed loaders get numbers, e.g. `val_loss/dataloader_idx_1`.

    Args:
        config: configuration of the model. The model is called with the batch; the loss class has `forward(batch,
            out)`, which returns a `LossSum`, and `reduce`.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes the learning-rate scheduler from the optimizer, stepped after every step; None for none.
        generator: draws the initial weights.
        seed: 0..2**63-1, seed of the random numbers of all steps.

    Raises:
        TypeError: if an argument, or what the configuration returns, is of another kind.
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
        _check(config, isinstance(config, BionemoTrainableModelConfig), "config must be the record of a model", _RECORD)
        for name, make in (("optimizer", optimizer), ("lr_scheduler", lr_scheduler)):
            is_right = callable(make) or (make is None and name == "lr_scheduler")
            _check(make, is_right, f"{name} must be a function that makes it", _MAKERS)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.seed = check_seed(seed)
        self.train_loss, self.validation_loss = _make_losses(config)
        self.model = build_model(config, generator=generator)
        _check(self.model, isinstance(self.model, nn.Module), "configure_model must return a torch.nn.Module", _RECORD)
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
        self._log_means("train", total, self.train_loss)
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
        self._log_evaluated("val")

    def on_test_epoch_end(self) -> None:
        """Log the means over the test tokens of all ranks."""
        self._log_evaluated("test")

    def _log_evaluated(self, prefix: str) -> None:
        """Log the mean loss and metrics per evaluated loader."""
        loop: Any = self.trainer._evaluation_loop  # noqa: SLF001 - the public attributes may be those of an earlier run
        suffixes = metric_suffixes(loop._combined_loader.flattened)  # noqa: SLF001
        for number, losses in sorted(self._evaluated.items()):
            total = sum_over_ranks(add_losses(losses))
            self._log_means(prefix, total, self.validation_loss, suffix=suffixes[number], is_synced=True)
        self._evaluated.clear()

    def _log_means(self, prefix: str, total: LossSum, loss: Any, *, suffix: str = "", is_synced: bool = False) -> None:
        """Log the mean loss per token, and the means of its metrics."""
        options: dict[str, Any] = {"rank_zero_only": is_synced, "add_dataloader_idx": False}
        for metric, mean in {"loss": loss.reduce([total]), **mean_metrics([total])}.items():
            self.log(f"{prefix}_{metric}{suffix}", mean, prog_bar=metric == "loss", **options)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with its learning-rate scheduler if there is one.

        Raises:
            TypeError: if `optimizer` or `lr_scheduler` makes something else, or a scheduler that follows a metric.
        """
        optimizer = self.optimizer(self.parameters())
        _check(optimizer, isinstance(optimizer, Optimizer), "optimizer must return an optimizer", _MAKERS)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        follows_steps = isinstance(scheduler, LRScheduler) and not isinstance(scheduler, ReduceLROnPlateau)
        _check(scheduler, follows_steps, "lr_scheduler must return a scheduler that needs no metric", _SCHEDULERS)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _make_losses(config: BionemoTrainableModelConfig[Any, Any]) -> tuple[Any, Any]:
    """Return the losses of a configuration, one to train and one to evaluate."""
    made: Any = config.get_loss_reduction_class()
    required = "get_loss_reduction_class must return a class of losses"
    try:
        losses = made(), made(validation_step=True)
    except TypeError as error:
        message = f"{required}, got {_kind(made)} ({error}). {_LOSSES}"
        raise TypeError(message) from error
    for name in ("forward", "reduce"):
        has_it = all(callable(getattr(loss, name, None)) for loss in losses)
        _check(made, has_it, f"{required} that have the method {name!r}", _LOSSES)
    return losses


def _check(value: Any, is_right: bool, required: str, remedy: str) -> None:  # noqa: FBT001
    """Raise a TypeError that says what was required and what a value is, unless it is right."""
    if not is_right:
        message = f"{required}, got {_kind(value)}. {remedy}"
        raise TypeError(message)


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of type {type(value).__name__}"
