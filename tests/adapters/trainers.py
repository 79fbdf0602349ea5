"""The model, data and trainer of the Lightning tests.

As a program, started by torchrun, it reads a JSON file with a list of arguments of `run`, and makes these runs on every
rank.
"""

import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path

import attrs
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule
from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.random import make_generator
from bionemo.data import EpochOrder, Pipeline


class Tiny(nn.Module):
    """Predicts each token from itself, with dropout."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(8, 6), nn.Dropout(dropout), nn.Linear(6, 8)).double()

    def forward(self, batch):
        return self.layers(batch["ids"])


@attrs.frozen
class TinyConfig(BionemoTrainableModelConfig[Tiny, TokenCrossEntropy]):
    dropout: float = 0.5

    def configure_model(self) -> Tiny:
        return Tiny(self.dropout)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        return TokenCrossEntropy


def stack(rows: list) -> dict[str, torch.Tensor]:
    """Collate rows of five tokens. Only tokens below 5 are labels: batches and ranks have unequal numbers of them."""
    ids = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), 5)
    return {"ids": ids, "labels": ids.where(ids < 5, -100)}


ROWS = torch.randint(8, (23, 5), generator=torch.Generator().manual_seed(0)).tolist()
TRAIN = Pipeline(order=EpochOrder(length=23, seed=1), sources=ROWS, batch_size=4, seed=2, collate=stack)
VALIDATION = attrs.evolve(TRAIN, order=EpochOrder(length=23, seed=1, num_samples=23, shuffle=False))


class SaveEveryBatch(Callback):
    """Saves a checkpoint after every batch, also between the accumulated batches of an optimizer step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer, *args) -> None:
        trainer.save_checkpoint(self.folder / f"batch={trainer.fit_loop.epoch_loop.total_batch_idx}.ckpt")


class Recorder(Callback):
    """Records the samples of each batch, and the metrics after each validation."""

    def __init__(self) -> None:
        self.batches: dict[int, list] = {}
        self.validations: dict[int, dict[str, float]] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.batches[trainer.fit_loop.epoch_loop.total_batch_idx] = batch["ids"].tolist()

    def on_validation_end(self, trainer, pl_module) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val")}
        self.validations[trainer.fit_loop.epoch_loop.total_batch_idx] = found


def make_trainer(folder: Path, *callbacks: Callback, **options) -> Trainer:
    save = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    callbacks = (*callbacks, *options.pop("callbacks", ()))
    given = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "plugins": [AtomicCheckpointIO()],
        "callbacks": [*callbacks, save],
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    return Trainer(**given | options)


def make_module(dropout: float = 0.5) -> TrainableModule:
    return TrainableModule(
        TinyConfig(dropout),
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        lr_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=3),
        generator=make_generator(3),
        seed=4,
    )


def run(
    folder: str | Path,
    *,
    steps: int,
    checkpoint: str | Path | None = None,
    batches_per_epoch: int = 5,
    batch_size: int = 4,
    num_workers: int = 0,
    num_validations: int = 1,
    dropout: float = 0.5,
    world_size: int = 1,
    save_batches: bool = False,
    **options,
) -> tuple[TrainableModule, Recorder, Trainer]:
    """Train up to a step, from a checkpoint or from the start."""
    torch.rand(7)  # a resumed process has another global random state
    module, recorder = make_module(dropout), Recorder()
    several = dict.fromkeys(("one", "two"), VALIDATION)
    data = PipelineDataModule(
        train=attrs.evolve(TRAIN, batch_size=batch_size),
        validation=several if num_validations == 2 else VALIDATION,
        batches_per_epoch=batches_per_epoch,
        num_workers=num_workers,
        # Gloo has threads of its own; a process that is forked while one of them holds a lock may hang.
        multiprocessing_context="forkserver" if num_workers and world_size > 1 else None,
    )
    if world_size > 1:
        options |= {"strategy": "ddp", "devices": world_size}
    callbacks = [recorder, SaveEveryBatch(Path(folder))] if save_batches else [recorder]
    trainer = make_trainer(Path(folder), *callbacks, max_steps=steps, **options)
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module, recorder, trainer


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["bionemo.adapters.lightning"])
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        module, recorder, trainer = run(**arguments)
        found = {"batches": recorder.batches, "validations": recorder.validations}
        (Path(arguments["folder"]) / f"rank{trainer.global_rank}.json").write_text(json.dumps(found))
        if trainer.global_rank == 0:
            torch.save(module.state_dict(), Path(arguments["folder"]) / "weights.pt")
    torch.distributed.destroy_process_group()  # its threads may end the process by SIGABRT if they are alive at exit
