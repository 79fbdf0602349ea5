"""A plain loop under torchrun: DDP over gloo, distributed checkpoints; SIGUSR1 saves and ends, as for a requeue."""

import multiprocessing
import signal
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, load_checkpoint, rank_and_world_size
from bionemo.core.model.config import build_model
from bionemo.core.model.loss import scale_for_ranks, sum_over_ranks
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data.pipes import loader
from tests.chaos.training import CountingConfig, RunLog, Settings, make_pipeline, settings_from

SAVE_EVERY = 5
"""Steps between two checkpoints."""


class Requested:
    """Whether a rank got SIGUSR1; all ranks ask together, at the end of a step."""

    def __init__(self) -> None:
        self.is_requested = torch.zeros(1)
        signal.signal(signal.SIGUSR1, lambda *_: self.is_requested.fill_(1))

    def on_any_rank(self) -> bool:
        found = self.is_requested.clone()
        torch.distributed.all_reduce(found)
        return bool(found)


def train(settings: Settings) -> None:
    requested = Requested()
    rank, world_size = rank_and_world_size()
    folder = Path(settings.folder)
    config = CountingConfig(settings.dropout)
    model = DistributedDataParallel(build_model(config, generator=make_generator(settings.seed, "model")))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=50, gamma=0.9)
    batches = loader(
        make_pipeline(settings),
        rank,
        world_size,
        num_workers=settings.num_workers,
        num_threads=settings.num_threads,
        # Gloo has threads of its own; a process that is forked while one of them holds a lock may hang.
        multiprocessing_context="forkserver" if settings.num_workers else None,
    )
    loss_func = config.get_loss_reduction_class()()
    with CheckpointWriter(folder, keep=3) as checkpoints:
        newest = find_checkpoint(folder)
        if newest is not None:
            load_checkpoint(newest, model, optimizer, batches, others={"schedule": schedule})
        step, log = schedule.last_epoch, RunLog(settings, rank=rank, world_size=world_size)
        for batch in batches:
            positions = batches.last_positions
            log.write(step, positions.start, batch)
            log.fail(positions, 0)
            with random_torch_context(make_generator(settings.seed, "step", step, rank)):
                loss = loss_func.forward(batch, model(batch))
            total = sum_over_ranks(loss)
            optimizer.zero_grad()
            scale_for_ranks(loss, total.num_tokens, world_size).backward()
            log.fail(positions, 1)
            optimizer.step()
            log.fail(positions, 2)
            schedule.step()
            step += 1
            is_last = requested.on_any_rank()
            if is_last or step % SAVE_EVERY == 0:
                checkpoints.save(step, model, optimizer, batches, others={"schedule": schedule})
            if is_last:
                return
    batches.close()
    if rank == 0:
        torch.save(model.module.state_dict(), folder / "weights.partial")
        (folder / "weights.partial").replace(folder / "weights.pt")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    multiprocessing.set_forkserver_preload(["tests.chaos.training"])
    torch.distributed.init_process_group("gloo")
    train(settings_from(sys.argv[1]))
    torch.distributed.destroy_process_group()
