"""Lightning checkpoints that hold what the weights have, from whatever hook they are saved in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import attrs
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, EarlyStopping, LearningRateFinder
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn

from bionemo.adapters.lightning.accumulation import ACCUMULATED, num_kept, num_open
from bionemo.adapters.lightning.epoch_loader import EpochLoader
from bionemo.adapters.lightning.progress import Progress, fit_progress, progress_from_state, resume_loops, set_loops
from bionemo.adapters.lightning.signals import DeferredSignals
from bionemo.adapters.lightning.snapshot import Snapshot

__all__ = ["PROGRESS", "ExactResume", "TrainingData"]

PROGRESS: Final = "fit_progress"
"""Where a checkpoint holds the progress of its fit."""

METRICS: Final = "callback_metrics"
"""Where a checkpoint holds the metrics that callbacks and schedules look at next."""

_TUNERS: Final = (".lr_find_", ".scale_batch_size_")
"""How the checkpoints begin that Lightning's tuners write for themselves."""


@runtime_checkable
class TrainingData(Protocol):
    """What a fit resumes with: a `PipelineDataModule`."""

    @property
    def batch_size(self) -> int:
        """Samples of a step."""
        ...

    def steps_per_epoch(self) -> int | None:
        """Return how many steps a Lightning epoch has; None for the whole order."""
        ...


class ExactResume(Callback):
    """Makes a checkpoint hold what the weights have, and a resumed fit go through exactly what follows.

    A `PipelineDataModule` adds it to its trainer. A checkpoint may be saved in any hook, on an exception, or by a
    scheduler's signal. A batch counts once its `on_train_batch_end` is reached: the resumed run trains a batch that was
    begun and not completed. Of batches that are accumulated, it repeats those of the unfinished step, unless their
    gradient was saved (see `TrainableModule`). A validation that was due and not completed is run.

    Args:
        data: the data module.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.loader: EpochLoader | None = None
        """The training loader of the fit."""
        self._begin()

    def _begin(self) -> None:
        self._start: tuple[Mapping[str, Any] | None, int] = (None, 0)
        """The state of the data that the fit begins or resumes with (None for the pipeline's start), and after how many
        batches of the run it was saved."""
        self._resumed: Progress | None = None
        """What the fit resumes with, until a hook shows that it went on from there."""
        self._metrics: dict[str, Any] = {}
        self._validated = 0
        """Batches of the open epoch after which the validation was done, though they are trained again."""
        self._has_gradient = self._is_validated = False
        self._before = Snapshot()
        self._signals = DeferredSignals()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin a fit. Another one by the same trainer goes on from what it has trained."""
        if stage == "fit":
            is_another = self.loader is not None and trainer.fit_loop.epoch_loop.batch_progress.total.ready
            start = self._position(self._progress(trainer, None)) if is_another else (None, 0)
            self._begin()
            self._start, self.loader = start, None

    def take_up(self, trainer: Trainer, loader: EpochLoader) -> None:
        """Put a new training loader where the fit is.

        Warns:
            UserWarning: if nothing is left of the order.
        """
        if self.loader is not None:
            self.loader.close()
            if self in trainer.callbacks:  # type: ignore[attr-defined] # else a tuner tries something, from the start
                self._start = self._position(self._progress(trainer, trainer.lightning_module))
        state, total_batches = self._start
        loader.resume(state, total_batches=total_batches)
        self.loader = loader
        if loader.is_exhausted and not (self._resumed and self._resumed.batches):
            trainer.should_stop = True
            rank_zero_warn(f"the order has ended at sample {loader.consumed_samples}: nothing is left to train on.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the trainer to what follows, where it resumes.

        Raises:
            ValueError: if another number of batches is accumulated now, in the middle of an optimizer's step.
        """
        self._signals.defer()
        if self._resumed is None:
            return
        if num_open(trainer, self._resumed.batches) and not self._has_gradient:
            message = (
                f"accumulate_grad_batches must divide the {self._resumed.batches} batches of the epoch that were "
                f"trained, got accumulate_grad_batches={trainer.accumulate_grad_batches}. Resume with the old number, "
                "or from a checkpoint at the end of an epoch."
            )
            raise ValueError(message)
        trainer.callback_metrics.update(self._metrics)
        resume_loops(trainer, self._resumed)
        if self._resumed.stopped and _is_stopped_early(trainer):
            trainer.should_stop = True
            rank_zero_info("EarlyStopping ended this run before it was saved. To train on, leave the callback out.")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals that came between two epochs."""
        self._resumed = None
        self._handle_signals(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Handle the signals that came within the last batch, and note the weights before this one."""
        self._resumed, self._is_validated = None, False
        self._before.note(pl_module, is_first=num_open(trainer, batch_idx) == 0)
        self._handle_signals(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Skip the validation after a batch that is trained again, if it was done."""
        loop: Any = trainer.fit_loop.epoch_loop
        loop._skip_next_val = loop.batch_progress.current.processed <= self._validated  # noqa: SLF001

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals that came within the last batch."""
        if not trainer.sanity_checking:
            self._resumed, self._is_validated = None, False
            self._handle_signals(trainer)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Handle signals within a validation, which can be long; ranks may have other numbers of its batches."""
        if not trainer.sanity_checking and trainer.world_size == 1:
            self._handle_signals(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the validation is done: the callbacks that save come after this one."""
        self._is_validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop when the order is at its end: Lightning would go through empty epochs for ever."""
        self._validated = 0
        # Lightning takes the rest of a resumed epoch for no epoch: its schedules by a metric would miss a step, and
        # where nothing but the end was left, every epoch after it would be empty.
        trainer.fit_loop.epoch_loop.restarting = trainer.fit_loop._restarting = False  # noqa: SLF001
        if self.loader is not None and self.loader.is_exhausted:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals that came at the end."""
        self._handle_signals(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the worker processes: a fit that fails calls no `teardown`."""
        if self.loader is not None:
            self.loader.close()

    def _handle_signals(self, trainer: Trainer) -> None:
        """Call the handlers of the signals that came, on all ranks at the same batch."""
        agree = trainer.strategy.reduce_boolean_decision
        if agree(bool(self._signals.pending), all=False):
            pending = self._signals.pending
            self._signals.handle([number for number in self._signals.deferred if agree(number in pending, all=False)])

    def _progress(self, trainer: Trainer, pl_module: LightningModule | None) -> Progress:
        """Return what the weights have: whole steps, and the gradient of an unfinished one where a module keeps it."""
        progress = self._resumed or fit_progress(trainer, is_validated=self._is_validated)
        batches = num_open(trainer, progress.batches)
        if not batches or batches == num_kept(trainer, pl_module):
            return attrs.evolve(progress, validated=self._validated)
        return attrs.evolve(
            progress,
            batches=progress.batches - batches,
            total_batches=progress.total_batches - batches,
            validated=max(self._validated, progress.batches - (progress.open == "validation")),
            open="batch",
        )

    def _position(self, progress: Progress, *, num_open_batches: int = 0) -> tuple[Mapping[str, Any] | None, int]:
        """Return the state of the data at a progress, and its batches of the run."""
        if self.loader is None:
            return self._start
        state = self.loader.state_at(progress.total_batches, num_open=num_open_batches)
        return state, progress.total_batches

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the progress, and the position of the data, of what the weights have.

        Raises:
            RuntimeError: between the optimizer's step and the end of its batch, where the weights have more.
        """
        if trainer.datamodule is not self.data:  # type: ignore[attr-defined]
            return
        loop: Any = trainer.fit_loop.epoch_loop
        progress = self._progress(trainer, pl_module)
        is_in_batch = loop.batch_progress.current.ready > loop.batch_progress.current.processed
        schedules = loop.scheduler_progress.current
        if (is_in_batch and self._before.has_moved(pl_module)) or schedules.ready > schedules.completed:
            message = (
                "a checkpoint can't be saved while the optimizer or a learning-rate schedule makes its step: the "
                "weights have a part of a batch. Save in on_train_batch_end, or resume from an earlier checkpoint."
            )
            raise RuntimeError(message)
        if progress.total_batches < loop.batch_progress.total.ready:
            self._before.restore_buffers(pl_module, checkpoint["state_dict"])
        state, _ = self._position(progress, num_open_batches=num_open(trainer, progress.batches))
        checkpoint[PROGRESS] = attrs.asdict(progress)
        checkpoint[METRICS] = self._metrics if self._resumed else dict(trainer.callback_metrics)
        checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = [] if state is None else [dict(state)]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the position of the data, always, and the progress of a fit that is resumed.

        Raises:
            ValueError: if the checkpoint holds no position, is of another number of steps in an epoch, or the trainer
                would tune a run that is resumed.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if PROGRESS not in checkpoint:
            message = (
                "a checkpoint must hold the position of the data, got one that was saved without a PipelineDataModule. "
                "To begin at the first sample with its weights, load only these."
            )
            raise ValueError(message)
        loops = checkpoint["loops"]["fit_loop"]
        states = loops["state_dict"].get("combined_loader") or [None]
        progress = progress_from_state(checkpoint[PROGRESS])
        self._start = (states[0], progress.total_batches)
        if Path(trainer.ckpt_path or "").name.startswith(_TUNERS):  # what it saved it puts back, and its loops itself
            if self.loader is not None:
                self.loader.resume(states[0], total_batches=progress.total_batches)
            return
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        finders = [callback for callback in callbacks if isinstance(callback, LearningRateFinder | BatchSizeFinder)]
        if finders:
            message = (
                f"a fit that resumes can't be tuned, got a {type(finders[0]).__name__}: Lightning would lose the "
                "counters and the optimizer of the checkpoint. Leave the callback out when you resume."
            )
            raise ValueError(message)
        self._resumed = self._in_new_epochs(progress, states[0])
        self._validated = self._resumed.validated
        self._has_gradient = ACCUMULATED in checkpoint
        self._metrics = checkpoint.get(METRICS, {})
        set_loops(loops, self._resumed)

    def _in_new_epochs(self, progress: Progress, state: Mapping[str, Any] | None) -> Progress:
        """Return a progress in epochs of another number of samples: that is possible where an epoch ends."""
        if state is None:
            return progress
        consumed = state["consumed_samples"]
        now = {"batch_size": self.data.batch_size, "batches_per_epoch": self.data.steps_per_epoch()}
        saved = {
            "batch_size": state["pipeline"]["batch_size"],
            "batches_per_epoch": state.get("batches_per_epoch"),
        }
        if now == saved:
            return progress
        if not all(_is_end_of_epoch(consumed, **numbers) for numbers in (now, saved)):
            message = (
                f"batch_size and batches_per_epoch may change only where an epoch ends, got {saved} before, {now} now, "
                f"and a checkpoint at sample {consumed}. Resume with the old ones, or from a checkpoint at such an end."
            )
            raise ValueError(message)
        is_ended = progress.batches > 0
        return attrs.evolve(progress, epochs=progress.epochs + is_ended, batches=0, open="batch")


def _is_stopped_early(trainer: Trainer) -> bool:
    """Return whether a callback of early stopping has stopped the run."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return any(
        isinstance(callback, EarlyStopping) and callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED
        for callback in callbacks
    )


def _is_end_of_epoch(consumed: int, *, batch_size: int, batches_per_epoch: int | None) -> bool:
    return consumed == 0 if batches_per_epoch is None else consumed % (batch_size * batches_per_epoch) == 0
