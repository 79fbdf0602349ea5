"""The progress of a fit in whole batches, read from one Lightning trainer and restored in another.

Lightning 2.6 counts each batch in four stages, and restores its counters exactly only for checkpoints saved in the
hooks that it uses itself. So a checkpoint also holds a record of ours: the batches that the weights were trained on. A
resumed trainer is set to that record.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from bionemo.adapters.lightning.accumulation import num_open

__all__ = [
    "Progress",
    "before_last_batches",
    "fit_progress",
    "in_new_epochs",
    "progress_from_state",
    "resume_loops",
    "set_loops",
]

_TRACKERS: Final = ("ready", "started", "processed", "completed")
"""The stages in which Lightning counts a batch or an epoch."""


@attrs.frozen(kw_only=True)
class Progress:
    """The progress of a fit.

    Args:
        epochs: number of completed epochs.
        batches: number of batches of the current epoch that the weights were trained on.
        total_batches: the same over all epochs.
        logged_steps: number of steps as Lightning's loggers count them.
        open: what comes next. "batch": the next batch, of a new epoch if `batches` is 0. "validation": the validation
            after the last batch, if one is due. "schedulers": the step of learning-rate schedulers that follow a
            metric, after a validation or the end of an epoch. "epoch end": the end of the epoch.
        validated: number of batches of the current epoch up to which no validation is due. It exceeds `batches` if
            batches of an unfinished step are trained again.
        stopped: whether the trainer was told to stop.
    """

    epochs: int = 0
    batches: int = 0
    total_batches: int = 0
    logged_steps: int = 0
    open: Literal["batch", "validation", "schedulers", "epoch end"] = "batch"
    validated: int = 0
    stopped: bool = False


def progress_from_state(state: Any, /) -> Progress:
    """Return the progress that a checkpoint holds as plain values.

    Raises:
        ValueError: if `state` is not a progress.

    Example:
        >>> progress_from_state(attrs.asdict(Progress(epochs=2))).epochs
        2
    """
    try:
        return Progress(**state)
    except TypeError as error:
        message = f"a checkpoint must hold the progress of its fit, got {state!r:.80}. Resume from another checkpoint."
        raise ValueError(message) from error


def fit_progress(trainer: Any, /, *, is_validated: bool) -> Progress:
    """Return the progress of a trainer's fit. A batch counts once its `on_train_batch_end` is reached.

    Args:
        trainer: Lightning's, at any moment of a fit.
        is_validated: whether a running validation is at its last hook, `on_validation_end`.

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
        "logged_steps": loop._batches_that_stepped,  # noqa: SLF001 - loggers use it, and no public attribute holds it
        "stopped": bool(trainer.should_stop),
    }
    is_between_epochs = epoch.processed == epoch.ready or epoch.started < epoch.ready
    if is_between_epochs and 0 < batches < trainer.num_training_batches:
        counts["epochs"] -= 1  # Lightning counts an epoch that max_steps or a stop ended early as complete
        return Progress(batches=batches, **counts)
    if is_between_epochs or not batches:
        is_at_epoch_end = epoch.completed < epoch.processed == epoch.ready
        return Progress(open="schedulers" if is_at_epoch_end else "batch", **counts)
    is_in_batch = now.ready > batches
    is_at_batch_end = batches > now.completed
    if (is_at_batch_end or trainer.validating) and not num_open(trainer, batches):
        counts["logged_steps"] += 1  # Lightning counts the step after its validation
    if is_at_batch_end or (trainer.validating and not is_validated):
        return Progress(batches=batches, open="validation", **counts)
    if batches == trainer.num_training_batches and not is_in_batch:
        return Progress(batches=batches, open="epoch end", **counts)
    return Progress(batches=batches, open="schedulers" if trainer.validating else "batch", **counts)


def before_last_batches(progress: Progress, number: int, /) -> Progress:
    """Return the progress before the last `number` batches: they are trained again, but not validated again.

    Example:
        >>> before = before_last_batches(Progress(batches=5, total_batches=15), 2)
        >>> before.batches, before.total_batches, before.validated
        (3, 13, 5)
    """
    return attrs.evolve(
        progress,
        batches=progress.batches - number,
        total_batches=progress.total_batches - number,
        validated=max(progress.validated, progress.batches - (progress.open == "validation")),
        open="batch",
    )


def in_new_epochs(
    progress: Progress, state: Mapping[str, Any] | None, /, *, batch_size: int | None, batches_per_epoch: int | None
) -> Progress:
    """Return a progress counted in epochs of a new size, which may begin only where both an old and a new epoch end.

    Args:
        progress: counted in epochs of the old size.
        state: what the training loader saved; None at the start of the pipeline.
        batch_size: the new batch size; None for a planned order.
        batches_per_epoch: the new number of batches per epoch; None if an epoch is the whole order.

    Raises:
        ValueError: if the size is new and the state is within an old or a new epoch.

    Example:
        >>> state = {"consumed_samples": 20, "pipeline": {"batch_size": 4}, "batches_per_epoch": 5}
        >>> progress = in_new_epochs(Progress(batches=5), state, batch_size=2, batches_per_epoch=10)
        >>> progress.epochs, progress.batches
        (1, 0)
    """
    if state is None:
        return progress
    consumed = state["consumed_samples"]
    saved = {"batch_size": state["pipeline"]["batch_size"], "batches_per_epoch": state.get("batches_per_epoch")}
    now = {"batch_size": batch_size, "batches_per_epoch": batches_per_epoch}
    if now == saved:
        return progress
    if not all(_is_end_of_epoch(consumed, **sizes) for sizes in (now, saved)):
        message = (
            f"batch_size and batches_per_epoch may change only where an epoch ends, got {now}, {saved} before, and a "
            f"checkpoint at sample {consumed}. Resume with the old values, or from a checkpoint where both epochs end."
        )
        raise ValueError(message)
    return attrs.evolve(progress, epochs=progress.epochs + (progress.batches > 0), batches=0, open="batch")


def _is_end_of_epoch(consumed: int, *, batch_size: int | None, batches_per_epoch: int | None) -> bool:
    # The steps of a planned order, without a batch size, are not counted in samples.
    return consumed % (batch_size * batches_per_epoch) == 0 if batch_size and batches_per_epoch else consumed == 0


def set_loops(loops: dict[str, Any], progress: Progress, /) -> None:
    """Set the counters of a checkpoint's fit loop to a progress, as if no batch or epoch were in an intermediate stage.

    Args:
        loops: `checkpoint["loops"]["fit_loop"]`, modified in place.
        progress: where the fit will resume.

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
    # Steps that had begun but not completed begin again.
    optimizer = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    manual = loops["epoch_loop.manual_optimization.optim_step_progress"]
    for counts in (*optimizer["step"].values(), *optimizer["zero_grad"].values(), *manual.values()):
        counts.update(dict.fromkeys(counts, counts["completed"]))
    validation = loops["epoch_loop.val_loop.batch_progress"]
    for counts in (validation["current"], validation["total"]):
        counts.update(dict.fromkeys(_TRACKERS, 0))
    batches["is_last_batch"] = is_open and progress.open != "batch" and batches["is_last_batch"]
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = progress.logged_steps
    loops["state_dict"].pop("combined_loader", None)  # the data module restores the loader


def resume_loops(trainer: Any, progress: Progress, /) -> Progress:
    """Make a trainer, whose loops were set to a progress, continue with what comes next; return what is left to do.

    Args:
        trainer: Lightning's, in its hook `on_train_start`; its loops are modified in place.
        progress: the argument of `set_loops`.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(logger=False, accelerator="cpu")
        >>> resume_loops(trainer, Progress()).open, trainer.fit_loop.epoch_loop.restarting
        ('batch', False)
    """
    loop = trainer.fit_loop.epoch_loop
    if not progress.batches:
        loop.restarting = False  # a new epoch; with max_steps, Lightning would take it for the middle of one
        if progress.open == "schedulers":
            _step_epoch_schedulers(trainer, progress.epochs)
        return attrs.evolve(progress, open="batch")
    is_validation_due = progress.open == "validation" and loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # noqa: SLF001
    if progress.open != "batch" and not is_validation_due:
        loop.update_lr_schedulers("step", update_plateau_schedulers=True)
        progress = attrs.evolve(progress, open="batch")
    if is_validation_due:
        # Lightning runs a validation in which a batch has begun but not completed, and then counts the step.
        _count(loop.val_loop.batch_progress, ("ready", "started"), 1)
    elif progress.batches == trainer.num_training_batches:
        loop.val_loop._has_run = True  # noqa: SLF001 - only the end of the epoch is left
        return progress
    else:
        # As if saved in on_train_batch_end: Lightning completes the batch, counts the step and skips the validation.
        _count(loop.batch_progress, ("completed",), -1)
    loop._batches_that_stepped -= num_open(trainer, progress.batches) == 0  # noqa: SLF001
    loop.update_restart_stage()
    return progress


def _step_epoch_schedulers(trainer: Any, epochs: int) -> None:
    """Step the schedulers that follow a metric, as Lightning does after the hooks at the end of an epoch."""
    current = trainer.fit_loop.epoch_progress.current
    completed, current.completed = current.completed, epochs - 1
    trainer.fit_loop.epoch_loop._update_learning_rates(interval="epoch", update_plateau_schedulers=True)  # noqa: SLF001
    current.completed = completed


def _count(progress: Any, trackers: Iterable[str], by: int) -> None:
    for counts in (progress.current, progress.total):
        for tracker in trackers:
            setattr(counts, tracker, getattr(counts, tracker) + by)
