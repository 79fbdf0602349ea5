"""A Lightning run as a scheduler's job: it sleeps in each batch, logs the batches, and saves its weights at the end.

Arguments: the folder of the run, and the file to which each batch's rank, number and samples are appended.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback

from tests.adapters.stopped_runs import Setup, make_data, make_trainer
from tests.adapters.trainers import make_module


class Log(Callback):
    """Logs each batch that begins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_after_backward(self, trainer, pl_module) -> None:
        time.sleep(0.02)  # so that most signals arrive within a batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        number = trainer.fit_loop.epoch_loop.total_batch_idx
        with self.path.open("a") as file:
            file.write(json.dumps([trainer.global_rank, number, batch["ids"].tolist()]) + "\n")


def main(folder: Path, log: Path) -> None:
    world_size = int(os.environ["SLURM_NTASKS"])
    setup = Setup(limit="epochs", accumulated=3, validated="every 2 batches", world_size=world_size)
    module = make_module()
    trainer = make_trainer(setup, folder, Log(log), max_epochs=12)
    trainer.fit(module, make_data(setup))
    if trainer.is_global_zero:
        torch.save(module.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
