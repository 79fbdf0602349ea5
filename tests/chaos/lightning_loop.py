"""A Lightning run as SLURM starts it: one process per rank, SIGUSR1 saves a checkpoint and requeues the job."""

import logging
import multiprocessing
import os
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from bionemo.adapters.lightning import AtomicCheckpointIO, PipelineDataModule, TrainableModule, find_checkpoint
from bionemo.core.files import folder_lock
from bionemo.core.random import make_generator
from tests.chaos.training import LIGHTNING_EPOCH, CountingConfig, RunLog, Settings, make_pipeline, settings_from


class Logging(Callback):
    """Logs each batch, and raises where a step shall fail."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.positions = range(0)

    def on_train_start(self, trainer, pl_module) -> None:
        self.log = RunLog(self.settings, rank=trainer.global_rank, world_size=trainer.world_size)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.positions = trainer.train_dataloader.last_positions
        self.log.write(trainer.fit_loop.epoch_loop.total_batch_idx, self.positions.start, batch)
        self.log.fail(self.positions, 0)

    def on_after_backward(self, trainer, pl_module) -> None:
        self.log.fail(self.positions, 1)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.log.fail(self.positions, 2)


def train(settings: Settings) -> None:
    folder, world_size = Path(settings.folder), int(os.environ["SLURM_NTASKS"])
    module = TrainableModule(
        CountingConfig(settings.dropout),
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        lr_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=50, gamma=0.9),
        generator=make_generator(settings.seed, "model"),
        seed=settings.seed,
    )
    data = PipelineDataModule(
        train=make_pipeline(settings),
        batches_per_epoch=LIGHTNING_EPOCH // settings.batch_size,
        num_workers=settings.num_workers,
        num_threads=settings.num_threads,
        multiprocessing_context="forkserver" if settings.num_workers and world_size > 1 else None,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        max_epochs=-1,
        limit_val_batches=0,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[
            Logging(settings),
            ModelCheckpoint(folder, "{step}", every_n_train_steps=5, save_top_k=2, monitor="step", mode="max"),
            *([OnExceptionCheckpoint(folder, "exception")] if world_size == 1 else []),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, data, ckpt_path=find_checkpoint(folder))
    if trainer.is_global_zero and trainer.train_dataloader.is_exhausted:
        torch.save(module.model.state_dict(), folder / "weights.partial")
        (folder / "weights.partial").replace(folder / "weights.pt")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    multiprocessing.set_forkserver_preload(["tests.chaos.training"])
    settings = settings_from(sys.argv[1])
    if os.environ["SLURM_PROCID"] == "0":
        with folder_lock(settings.folder):
            train(settings)
    else:
        train(settings)
