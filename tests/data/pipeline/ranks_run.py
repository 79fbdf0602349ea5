"""One rank of a torchrun job: it logs what it reads, and rank 0 saves the loader's state every five steps."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch.distributed as dist

from bionemo.core.files import write_atomically
from bionemo.data import EpochOrder, MixtureOrder, PackedOrder, Pipeline
from bionemo.data.pipes import loader

ORDER = MixtureOrder(
    orders=(EpochOrder(length=157, seed=1), EpochOrder(length=64, seed=2)), weights=(5, 2), num_samples=1000
)


LENGTHS = np.arange(157) % 40 + 5, np.arange(64) % 30 + 2
PACKED = PackedOrder(order=ORDER, lengths=LENGTHS, max_tokens=64, bins_per_step=6, window_size=150, seed=4)


def pipeline(batch_size: int) -> Pipeline:
    """Return a pipeline with a batch size, or with packed steps if it is 0."""
    steps = {"order": ORDER, "batch_size": batch_size} if batch_size else {"order": PACKED}
    return Pipeline(**steps, sources=(range(157), range(1000, 1064)), seed=3)


def run(folder: Path, job: str, batch_size: int, num_workers: int) -> None:
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    context = "fork" if num_workers else None
    batches = loader(pipeline(batch_size), rank, world_size, num_workers=num_workers, multiprocessing_context=context)
    saved = folder / "state.json"
    if saved.exists():
        batches.load_state_dict(json.loads(saved.read_text()))
    with (folder / f"{job}-{rank}.jsonl").open("w") as log:
        print(json.dumps({"pid": os.getpid(), "start": batches.consumed_samples}), file=log, flush=True)
        for step, batch in enumerate(batches):
            print(json.dumps({"stop": batches.consumed_samples, "ids": batch}), file=log, flush=True)
            dist.barrier()
            if rank == 0 and step % 5 == 4:
                state = json.dumps(batches.state_dict()).encode()
                write_atomically(saved, lambda file, state=state: file.write(state))
            dist.barrier()
            time.sleep(0.02)
    batches.close()
    dist.destroy_process_group()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
