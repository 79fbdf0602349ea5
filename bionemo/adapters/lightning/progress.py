"""How far a fit has come, in whole batches: read from a Lightning trainer, and given back to one.

Lightning 2.6 counts a batch in four stages and restores its counters exactly only from the hooks that it saves in
itself. So a checkpoint holds a record of our own, which says what the weights have; a resumed trainer is set to it.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

__all__ = ["Progress", "fit_progress", "is_step", "progress_from_state", "resume_loops", "set_loops"]

_TRACKERS: Final = ("ready", "started", "processed", "completed")
"""Stages in which Lightning counts a batch or an epoch."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a fit has come.

    Args:
        epochs: complete epochs.
        batches: batches of the next epoch that the weights have.
        total_batches: batches of all epochs.
        logged_steps: steps as Lightning's loggers count them.
        open: what follows next: a batch (of a new epoch, where `batches` is 0), the validation after the last batch
            (where one is due), schedules by a metric, after it or after an epoch's end, or the end of the epoch.
        validated: batches of that epoch after which no validation is due: more than `batches` where those of an
            unfinished step are trained again.
        stopped: whether the trainer was told to stop.
    """

    epochs: int = 0
    batches: int = 0
    total_batches: int = 0
    logged_steps: int = 0
    open: Literal["batch", "validation", "schedules", "epoch end"] = "batch"
    validated: int = 0
    stopped: bool = False


def progress_from_state(state: Any, /) -> Progress:
    """Return the progress that a checkpoint holds as plain values.

    Raises:
        ValueError: if it holds none.

    Example:
        >>> progress_from_state(attrs.asdict(Progress(epochs=2))).epochs
        2
    """
    try:
        return Progress(**state)
    except TypeError as error:
        message = f"a checkpoint must hold the progress of its fit, got {state!r:.80}. Resume from another checkpoint."
        raise ValueError(message) from error


def is_step(trainer: Any, batches: int, /) -> bool:
    """Return whether an optimizer's step follows the last of so many batches of an epoch.

    Example:
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(accumulate_grad_batches=3, num_training_batches=7)
        >>> [batches for batches in range(1, 8) if is_step(trainer, batches)]
        [3, 6, 7]
    """
    accumulated: int = trainer.accumulate_grad_batches
    return batches % accumulated == 0 or batches == trainer.num_training_batches


def fit_progress(trainer: Any, /, *, is_validated: bool) -> Progress:
    """Return how far a trainer's fit has come: a batch counts once all of its hooks up to `on_train_batch_end` ran.

    Args:
        trainer: Lightning's, at any moment of a fit.
        is_validated: whether a validation that is running is at its last hook, `on_validation_end`.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> fit_progress(Trainer(logger=False, accelerator="cpu"), is_validated=False)
        Progress(epochs=0, batches=0, total_batches=0, logged_steps=0, open='batch', validated=0, stopped=False)
    """
    epoch, loop = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop
    now, batches = loop.batch_progress.current, loop.batch_progress.current.processed
    counts = {
        "epochs": epoch.processed,
        "total_batches": loop.batch_progress.total.processed,
        "logged_steps": loop._batches_that_stepped,  # noqa: SLF001 - loggers count by it, and nothing else tells it
        "stopped": bool(trainer.should_stop),
    }
    is_between_epochs = epoch.processed == epoch.ready or epoch.started < epoch.ready
    if is_between_epochs and 0 < batches < trainer.num_training_batches:
        return Progress(
            batches=batches, **counts | {"epochs": epoch.processed - 1}
        )  # cut short by max_steps, or a stop
    if is_between_epochs or not batches:
        is_at_epoch_end = epoch.completed < epoch.processed == epoch.ready
        return Progress(open="schedules" if is_at_epoch_end else "batch", **counts)
    is_in_batch = now.ready > batches
    is_at_batch_end = batches > now.completed
    if (is_at_batch_end or trainer.validating) and is_step(trainer, batches):
        counts["logged_steps"] += 1  # Lightning counts the step after its validation
    if is_at_batch_end or (trainer.validating and not is_validated):
        return Progress(batches=batches, open="validation", **counts)
    if batches == trainer.num_training_batches and not is_in_batch:
        return Progress(batches=batches, open="epoch end", **counts)
    return Progress(batches=batches, open="schedules" if trainer.validating else "batch", **counts)


def set_loops(loops: dict[str, Any], progress: Progress, /) -> None:
    """Set the counters of a checkpoint's fit loop to a progress, between two stages of nothing.

    Args:
        loops: `checkpoint["loops"]["fit_loop"]`, which is changed.
        progress: where the fit is to resume.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> loops = Trainer(logger=False, accelerator="cpu").fit_loop.state_dict()
        >>> set_loops(loops, Progress(epochs=2, batches=3, total_batches=13))
        >>> loops["epoch_progress"]["current"]
        {'ready': 3, 'completed': 2, 'started': 3, 'processed': 2}
    """
    is_open = progress.batches > 0
    for counts in loops["epoch_progress"].values():
        counts.update(dict.fromkeys(("ready", "started"), progress.epochs + is_open))
        counts.update(dict.fromkeys(("processed", "completed"), progress.epochs))
    batches = loops["epoch_loop.batch_progress"]
    batches["current"].update(dict.fromkeys(_TRACKERS, progress.batches))
    batches["total"].update(dict.fromkeys(_TRACKERS, progress.total_batches))
    # What had begun and wasn't completed begins again.
    optimizer = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    manual = loops["epoch_loop.manual_optimization.optim_step_progress"]
    for counts in (*optimizer["step"].values(), *optimizer["zero_grad"].values(), *manual.values()):
        counts.update(dict.fromkeys(counts, counts["completed"]))
    validation = loops["epoch_loop.val_loop.batch_progress"]
    for counts in (validation["current"], validation["total"]):
        counts.update(dict.fromkeys(_TRACKERS, 0))
    batches["is_last_batch"] = is_open and progress.open != "batch" and batches["is_last_batch"]
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = progress.logged_steps
    loops["state_dict"].pop("combined_loader", None)  # the data module restores the loader itself, always


def resume_loops(trainer: Any, progress: Progress, /) -> None:
    """Set a trainer whose loops hold a progress, at the start of its training, to what follows next.

    Args:
        trainer: Lightning's, in its hook `on_train_start`; its loops are changed.
        progress: what `set_loops` was given.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(logger=False, accelerator="cpu")
        >>> resume_loops(trainer, Progress())
        >>> trainer.fit_loop.epoch_loop.restarting
        False
    """
    loop = trainer.fit_loop.epoch_loop
    if not progress.batches:
        loop.restarting = False  # a new epoch; with max_steps, Lightning takes it for the middle of one
        if progress.open == "schedules":
            _step_epoch_schedules(trainer, progress.epochs)
        return
    is_validation_due = progress.open == "validation" and loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # noqa: SLF001
    if progress.open != "batch" and not is_validation_due:
        loop.update_lr_schedulers("step", update_plateau_schedulers=True)
    if is_validation_due:
        # Lightning goes back to a validation in which a batch was begun and not completed, and then counts the step.
        _count(loop.val_loop.batch_progress, ("ready", "started"), 1)
    elif progress.batches == trainer.num_training_batches:
        loop.val_loop._has_run = True  # noqa: SLF001 - nothing is left of the epoch but its end
        return
    else:
        # As if saved in on_train_batch_end: Lightning completes the batch, counts the step, and skips the validation.
        _count(loop.batch_progress, ("completed",), -1)
    loop._batches_that_stepped -= is_step(trainer, progress.batches)  # noqa: SLF001
    loop.update_restart_stage()


def _step_epoch_schedules(trainer: Any, epochs: int) -> None:
    """Make the step of the schedules by a metric, that Lightning makes after the hooks of an epoch's end."""
    current = trainer.fit_loop.epoch_progress.current
    completed, current.completed = current.completed, epochs - 1
    trainer.fit_loop.epoch_loop._update_learning_rates(interval="epoch", update_plateau_schedulers=True)  # noqa: SLF001
    current.completed = completed


def _count(progress: Any, trackers: Iterable[str], by: int) -> None:
    for counts in (progress.current, progress.total):
        for tracker in trackers:
            setattr(counts, tracker, getattr(counts, tracker) + by)
