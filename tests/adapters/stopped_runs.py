"""Lightning runs that are stopped, saved and resumed several times, and the same runs without a stop.

As a program, started by torchrun, it reads a pickled list of `(setup, stops)`, and makes these runs on every rank.
"""

import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from torch import nn

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule
from bionemo.data import EpochOrder, PackedOrder, Pipeline
from tests.adapters.trainers import ROWS, make_module, stack

HOOKS = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
)
"""The callback hooks that a trainer calls in a fit, in this order."""


@attrs.frozen(kw_only=True)
class Setup:
    """How a run is trained."""

    limit: Literal["epochs", "steps", "both", "early stopping", "order"] = "epochs"
    accumulated: int = 1
    is_finite: bool = False
    num_workers: int = 0
    validated: Literal["never", "each epoch", "every 2 batches", "every 2 epochs"] = "never"
    module: Literal["ours", "plain"] = "ours"
    lr_scheduler: Literal["per epoch", "by metric, per epoch", "by metric, per step"] = "per epoch"
    num_sanity_val_steps: int = 0
    world_size: int = 1
    is_packed: bool = False


@attrs.frozen(kw_only=True)
class Stop:
    """Where a fit saves and stops: at the first call of a hook once the run's batch number `batches` has begun."""

    hook: str
    batches: int
    how: Literal["saved", "exception", "saved and finished"] = "saved"


class StoppedError(Exception):
    """Raised to stop a fit."""


class StopCallback(Checkpoint):
    """Saves and stops a fit at a `Stop`. It is a `Checkpoint` so that Lightning calls it after all other callbacks."""

    def __init__(self, stop: Stop | None, path: Path) -> None:
        self.stop, self.path, self.is_done = stop, path, False

    def _stop(self, trainer: Trainer) -> None:
        if self.stop is None or self.is_done or trainer.sanity_checking:
            return
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready > self.stop.batches:
            self.is_done = True
            if self.stop.how != "exception":
                trainer.save_checkpoint(self.path)
            if self.stop.how != "saved and finished":
                raise StoppedError

    def on_exception(self, trainer, pl_module, exception) -> None:
        if self.stop is not None and self.stop.how == "exception" and isinstance(exception, StoppedError):
            trainer.save_checkpoint(self.path)


def _hook(name: str) -> Callable[..., None]:
    def called(self: StopCallback, trainer, *_: Any) -> None:
        if self.stop is not None and self.stop.hook == name:
            self._stop(trainer)

    return called


for _name in HOOKS:
    setattr(StopCallback, _name, _hook(_name))


class PlainModule(LightningModule):
    """A module as most people write it, with a BatchNorm, whose buffers change in each forward pass."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.lr_scheduler = setup.lr_scheduler
        with torch.random.fork_rng():
            torch.manual_seed(5)
            # Not under DDP, which synchronizes buffers at its own times.
            norm = nn.BatchNorm1d(5) if setup.world_size == 1 else nn.LayerNorm(6)
            self.layers = nn.Sequential(nn.Embedding(8, 6), norm, nn.Linear(6, 8)).double()

    def loss(self, batch):
        return nn.functional.cross_entropy(self.layers(batch["ids"]).flatten(0, 1), batch["labels"].flatten())

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss, sync_dist=True)
        return loss

    def validation_step(self, batch, batch_idx) -> None:
        self.log("val_loss", self.loss(batch), batch_size=1, sync_dist=True)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        kind = self.lr_scheduler
        if kind == "per epoch":
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0, factor=0.7)
        lr_scheduler = {"scheduler": plateau, "monitor": "train_loss", "interval": kind.removeprefix("by metric, per ")}
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}


class RunRecorder(Callback):
    """Records the samples of each batch and the metric of each validation, by the number of the batch."""

    def __init__(self) -> None:
        self.batches: dict[int, list] = {}
        self.validations: dict[int, float] = {}
        self.logged: dict[int, int] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        number = trainer.fit_loop.epoch_loop.total_batch_idx
        self.batches[number] = batch["ids"].tolist()
        self.logged[number] = trainer.fit_loop.epoch_loop._batches_that_stepped

    def on_validation_end(self, trainer, pl_module) -> None:
        if not trainer.sanity_checking:
            number = trainer.fit_loop.epoch_loop.total_batch_idx
            self.validations[number] = float(trainer.callback_metrics["val_loss"])


@attrs.frozen
class Outcome:
    """What one fit of a run, or several in sequence, have trained."""

    batches: dict[int, list]
    validations: dict[int, float]
    logged: dict[int, int]
    weights: dict[str, torch.Tensor]
    epochs: int
    steps: int
    has_ended: bool


def make_data(setup: Setup) -> PipelineDataModule:
    length = len(ROWS)
    order = EpochOrder(length=length, seed=1, num_samples=47 if setup.is_finite else None)
    train = validation = Pipeline(order=order, sources=ROWS, batch_size=4, seed=2, collate=stack)
    if setup.is_packed:
        bins = {"lengths": [5] * length, "max_tokens": 10, "bins_per_step": 2, "window_size": length, "seed": 3}
        train = attrs.evolve(train, order=PackedOrder(order=order, **bins), batch_size=None)
    validation = attrs.evolve(validation, order=EpochOrder(length=length, seed=1, num_samples=11, shuffle=False))
    return PipelineDataModule(
        train=train,
        validation=None if setup.validated == "never" else validation,
        batches_per_epoch=4,
        num_workers=setup.num_workers,
    )


def make_trainer(setup: Setup, folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    limits: dict[str, dict[str, Any]] = {
        "epochs": {"max_epochs": 3},
        "steps": {"max_epochs": -1, "max_steps": {1: 10, 3: 5}[setup.accumulated]},
        "both": {"max_epochs": 3, "max_steps": 100},
        "early stopping": {"max_epochs": 4},
        "order": {"max_epochs": 3 if not setup.is_finite else -1},
    }
    validations: dict[str, dict[str, Any]] = {
        "never": {"limit_val_batches": 0},
        "each epoch": {},
        "every 2 batches": {"val_check_interval": 2},
        "every 2 epochs": {"check_val_every_n_epoch": 2},
    }
    if setup.limit == "early stopping" and setup.validated != "never":
        callbacks = (*callbacks, EarlyStopping("val_loss", patience=1, min_delta=10.0))
    if setup.world_size > 1:
        options |= {"strategy": "ddp", "devices": setup.world_size}
    given = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": True,
        "plugins": [AtomicCheckpointIO()],
        "callbacks": list(callbacks),
        "accumulate_grad_batches": setup.accumulated,
        "num_sanity_val_steps": setup.num_sanity_val_steps if setup.validated != "never" else 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "default_root_dir": folder,
    }
    return Trainer(**given | limits[setup.limit] | validations[setup.validated] | options)


def train_once(setup: Setup, folder: Path, *, checkpoint: Path | None, stop: Stop | None, saved: Path) -> Outcome:
    """Train from a checkpoint or from the start, to a stop or to the end."""
    recorder = RunRecorder()
    stopping = StopCallback(stop, saved)
    trainer = make_trainer(setup, folder, recorder, stopping)
    module = make_module() if setup.module == "ours" else PlainModule(setup)
    has_ended = False
    with suppress(StoppedError):
        trainer.fit(module, make_data(setup), ckpt_path=checkpoint)
        has_ended = stop is None or not stopping.is_done or stop.how != "saved and finished"
    weights = {name: part.clone() for name, part in module.state_dict().items()}
    return Outcome(
        recorder.batches,
        recorder.validations,
        recorder.logged,
        weights,
        trainer.current_epoch,
        trainer.global_step,
        has_ended,
    )


@cache
def train_uninterrupted(setup: Setup, folder: Path) -> Outcome:
    """Train without a stop."""
    return train_once(setup, folder, checkpoint=None, stop=None, saved=folder / "never.ckpt")


def differences(whole: Outcome, other: Outcome, setup: Setup) -> list[str]:
    """Return the names of the batches, validations, steps and weights in which two runs differ."""
    fields = ["batches", "validations", "logged", "steps"]
    if setup.limit not in {"steps", "early stopping"}:  # a run that ended within an epoch doesn't count it when resumed
        fields.append("epochs")
    found = [name for name in fields if getattr(whole, name) != getattr(other, name)]
    return found + [name for name, part in whole.weights.items() if not torch.equal(part, other.weights[name])]


def train_with_stops(setup: Setup, stops: Sequence[Stop], folder: Path) -> Outcome:
    """Train in several fits, each from the checkpoint of the one before, until the run ends."""
    checkpoint: Path | None = None
    batches: dict[int, list] = {}
    validations: dict[int, float] = {}
    logged: dict[int, int] = {}
    for number, stop in enumerate([*stops, None]):
        saved = folder / f"{number}.ckpt"
        outcome = train_once(setup, folder, checkpoint=checkpoint, stop=stop, saved=saved)
        batches |= outcome.batches
        validations |= outcome.validations
        logged |= outcome.logged
        if outcome.has_ended:
            break
        checkpoint = saved
        if stop is not None and stop.how == "saved and finished":  # the next fit repeats what came after
            progress = torch.load(saved, weights_only=True)["fit_progress"]
            position = progress["total_batches"]
            validated = position + max(progress["validated"] - progress["batches"], 0)
            batches = {key: ids for key, ids in batches.items() if key < position}
            validations = {key: found for key, found in validations.items() if key < validated}
    return attrs.evolve(outcome, batches=batches, validations=validations, logged=logged)


if __name__ == "__main__":
    for number, (setup, stops) in enumerate(pickle.loads(Path(sys.argv[1]).read_bytes())):
        folder = Path(sys.argv[1]).parent / str(number)
        folder.mkdir(exist_ok=True)
        found = train_with_stops(setup, stops, folder)
        (folder / f"rank{torch.distributed.get_rank()}.pickle").write_bytes(
            pickle.dumps(attrs.asdict(found, recurse=False))
        )
