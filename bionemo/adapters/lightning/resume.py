"""Lightning checkpoints that match their weights, whichever hook saves them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn

from bionemo.adapters.lightning.accumulation import ACCUMULATED, num_kept, num_open
from bionemo.adapters.lightning.epoch_loader import EpochLoader, TrainingData
from bionemo.adapters.lightning.progress import (
    Progress,
    before_last_batches,
    fit_progress,
    in_new_epochs,
    progress_from_state,
    resume_loops,
    set_loops,
)
from bionemo.adapters.lightning.signals import DeferredSignals
from bionemo.adapters.lightning.snapshot import Snapshot

__all__ = ["PROGRESS", "ExactResume"]

PROGRESS: Final = "fit_progress"
"""The key of a checkpoint that holds the progress of its fit."""

METRICS: Final = "callback_metrics"
"""The key of a checkpoint that holds the metrics that callbacks and learning-rate schedulers will read next."""

_TUNERS: Final = (".lr_find_", ".scale_batch_size_")
"""Prefixes of the checkpoints that Lightning's tuners write for themselves."""


class ExactResume(Callback):
    """Callback that makes each checkpoint match its weights, and a resumed fit continue exactly from there.

    `PipelineDataModule` adds it to its trainer. A checkpoint may be saved in any hook, on an exception, or on a job
    scheduler's signal. A batch counts once its `on_train_batch_end` is reached; one that had begun but not completed is
    trained by the resumed run. Accumulated batches of an unfinished step are trained again, unless the checkpoint holds
    their gradient (see `TrainableModule`). A validation that was due but not completed is run.

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
        """The data state that the fit starts from (None for the start of the pipeline), and the number of batches of
        the run before it."""
        self._resumed: Progress | None = None
        """The progress that the fit resumes from, until a hook shows that training has continued."""
        self._metrics: dict[str, Any] = {}
        self._validated = 0
        """Number of batches of the current epoch up to which no validation is due, even if they are trained again."""
        self._has_gradient = self._is_validated = False
        self._before = Snapshot()
        self._signals = DeferredSignals()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin a fit. A second fit by the same trainer continues the first."""
        if stage == "fit":
            is_second = self.loader is not None and trainer.fit_loop.epoch_loop.batch_progress.total.ready
            start = self._position(self._progress(trainer, None)) if is_second else (None, 0)
            self._begin()
            self._start, self.loader = start, None

    def attach_loader(self, trainer: Trainer, loader: EpochLoader) -> None:
        """Move a new training loader to the position of the fit.

        Warns:
            UserWarning: if the order has ended.
        """
        if self.loader is not None:
            self.loader.close()
            if self in trainer.callbacks:  # type: ignore[attr-defined] # otherwise a tuner makes a trial from the start
                self._start = self._position(self._progress(trainer, trainer.lightning_module))
        state, total_batches = self._start
        loader.resume(state, total_batches=total_batches)
        self.loader = loader
        if loader.is_exhausted and not (self._resumed and self._resumed.batches):
            trainer.should_stop = True
            rank_zero_warn(f"the order has ended at sample {loader.consumed_samples}: nothing is left to train on.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the trainer's loops continue after the checkpoint, if the fit resumes.

        Raises:
            ValueError: if `accumulate_grad_batches` has changed in the middle of an optimizer step.
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
        self._resumed = resume_loops(trainer, self._resumed)
        reasons = {callback.stopping_reason for callback in trainer.early_stopping_callbacks}
        if self._resumed.stopped and reasons - {EarlyStoppingReason.NOT_STOPPED}:
            trainer.should_stop = True
            rank_zero_info("EarlyStopping had ended this run before the checkpoint. To train on, remove the callback.")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals received between two epochs."""
        self._resumed = None
        self._signals.handle_pending(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Handle the signals received during the last batch, and record the weights before this one."""
        self._resumed, self._is_validated = None, False
        self._before.note(pl_module, is_first=num_open(trainer, batch_idx) == 0)
        self._signals.handle_pending(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Skip the validation after a batch that is trained again, if it was done before."""
        loop: Any = trainer.fit_loop.epoch_loop
        loop._skip_next_val = loop.batch_progress.current.processed <= self._validated  # noqa: SLF001

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals received during the last batch."""
        if not trainer.sanity_checking:
            self._resumed, self._is_validated = None, False
            self._signals.handle_pending(trainer)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Handle signals during a long validation, on a single rank: several may have unequal numbers of batches."""
        if not trainer.sanity_checking and trainer.world_size == 1:
            self._signals.handle_pending(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the validation is done, for the callbacks that save after this one."""
        self._is_validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at the end of the order: Lightning would run empty epochs forever."""
        self._validated = 0
        # Lightning doesn't treat the rest of a resumed epoch as an epoch: schedulers that follow a metric would miss a
        # step, and if only the end of the epoch was left, every later epoch would be empty.
        trainer.fit_loop.epoch_loop.restarting = trainer.fit_loop._restarting = False  # noqa: SLF001
        if self.loader is not None and self.loader.is_exhausted:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals received at the end."""
        self._signals.handle_pending(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop the worker processes: a fit that fails calls no `teardown`."""
        if self.loader is not None:
            self.loader.close()

    def _progress(self, trainer: Trainer, pl_module: LightningModule | None) -> Progress:
        """Return the progress of the weights: whole steps, and a part of one if the module keeps its gradient."""
        progress = self._resumed or fit_progress(trainer, is_validated=self._is_validated)
        progress = attrs.evolve(progress, validated=self._validated)
        batches = num_open(trainer, progress.batches)
        is_kept = batches == num_kept(trainer, pl_module)
        return before_last_batches(progress, batches) if batches and not is_kept else progress

    def _position(self, progress: Progress, *, num_open_batches: int = 0) -> tuple[Mapping[str, Any] | None, int]:
        """Return the data state at a progress, and the number of batches of the run before it."""
        if self.loader is None:
            return self._start
        state = self.loader.state_at(progress.total_batches, num_open=num_open_batches)
        return state, progress.total_batches

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the progress and the data position that match the weights.

        Raises:
            RuntimeError: between an optimizer step and the end of its batch, when the weights hold part of a batch.
        """
        if trainer.datamodule is not self.data:  # type: ignore[attr-defined]
            return
        loop: Any = trainer.fit_loop.epoch_loop
        progress = self._progress(trainer, pl_module)
        is_in_batch = loop.batch_progress.current.ready > loop.batch_progress.current.processed
        schedulers = loop.scheduler_progress.current
        if (is_in_batch and self._before.has_moved(pl_module)) or schedulers.ready > schedulers.completed:
            message = (
                "a checkpoint can't be saved while the optimizer or a learning-rate scheduler takes its step: the "
                "weights hold part of a batch. Save in on_train_batch_end, or resume from an earlier checkpoint."
            )
            raise RuntimeError(message)
        if progress.total_batches < loop.batch_progress.total.ready:
            self._before.restore_buffers(pl_module, checkpoint["state_dict"])
        state, _ = self._position(progress, num_open_batches=num_open(trainer, progress.batches))
        checkpoint[PROGRESS] = attrs.asdict(progress)
        checkpoint[METRICS] = self._metrics if self._resumed else dict(trainer.callback_metrics)
        checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = [] if state is None else [dict(state)]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Load the data position, and unless a tuner loads its own checkpoint, the progress of the fit.

        Raises:
            ValueError: if the checkpoint holds no position, its batch size or epoch length differs from the current one
                within an epoch, or a tuner would run in a resumed fit.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if PROGRESS not in checkpoint:
            message = (
                "a checkpoint must hold the position of the data, got one that was saved without a PipelineDataModule. "
                "To start at the first sample with its weights, load only the weights."
            )
            raise ValueError(message)
        loops = checkpoint["loops"]["fit_loop"]
        states = loops["state_dict"].get("combined_loader") or [None]
        progress = progress_from_state(checkpoint[PROGRESS])
        self._start = (states[0], progress.total_batches)
        if Path(trainer.ckpt_path or "").name.startswith(_TUNERS):  # a tuner restores the loops itself
            if self.loader is not None:
                self.loader.resume(states[0], total_batches=progress.total_batches)
            return
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        finders = [callback for callback in callbacks if isinstance(callback, LearningRateFinder | BatchSizeFinder)]
        if finders:
            message = (
                f"a fit that resumes can't be tuned, got a {type(finders[0]).__name__}: Lightning would lose the "
                "counters and the optimizer of the checkpoint. Remove the callback when you resume."
            )
            raise ValueError(message)
        batch_size, batches_per_epoch = self.data.batch_size, self.data.steps_per_epoch()
        self._resumed = in_new_epochs(progress, states[0], batch_size=batch_size, batches_per_epoch=batches_per_epoch)
        self._validated = self._resumed.validated
        self._has_gradient = ACCUMULATED in checkpoint
        self._metrics = checkpoint.get(METRICS, {})
        set_loops(loops, self._resumed)
