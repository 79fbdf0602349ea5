"""Program that is started under torchrun: it trains once per entry of a JSON object, and writes the weights."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed
from torch.distributed.device_mesh import DeviceMesh

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, rank_and_world_size
from bionemo.adapters.distributed.storage import AtomicFolderWriter
from bionemo.data.pipes import loader
from tests.adapters.distributed_training import make_model, make_optimizer, make_pipeline, train


@contextmanager
def killed_at(step: int | None) -> Iterator[None]:
    """Kill the rank that names the folder of a step's checkpoint, when all files are written."""
    finish = AtomicFolderWriter.finish

    def die(storage: AtomicFolderWriter, **given: Any) -> None:
        if storage.complete_path.name == f"step-{step}":
            os.kill(os.getpid(), signal.SIGKILL)
        finish(storage, **given)

    with mock.patch.object(AtomicFolderWriter, "finish", die):
        yield


def check_refusals(folder: Path) -> None:
    """Check what only several ranks can get wrong."""
    rank = torch.distributed.get_rank()
    model = make_model()
    optimizer, checkpoints = make_optimizer(model), CheckpointWriter(folder)
    message = (
        r"batches must have the same state on every rank: .*consumed_samples'\] on rank 1 differs from that on rank 0"
    )
    with pytest.raises(ValueError, match=message):
        checkpoints.save(1, model, optimizer, loader(make_pipeline(), start=7 * rank))
    with pytest.raises(ValueError, match=r"\['step'\] on rank 1 differs"):
        checkpoints.save(1 + rank, model, optimizer, loader(make_pipeline()))
    if rank == 1:
        with pytest.raises(ValueError, match="ranks must hold this process"):
            rank_and_world_size(DeviceMesh("cpu", [0]))
    else:
        assert rank_and_world_size(DeviceMesh("cpu", [0])) == (0, 1)
    assert find_checkpoint(folder) is None


def main(runs: str, folder: str, check: str = "") -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    warnings.filterwarnings("ignore", "a step of 2 samples leaves ranks of . without any")
    torch.distributed.init_process_group("gloo")
    if check:
        check_refusals(Path(folder))
    for name, arguments in json.loads(runs).items():
        run_folder = Path(folder, arguments.pop("folder", name))
        run_folder.mkdir(exist_ok=True)
        with killed_at(arguments.pop("kill_at", None)):
            weights = train(run_folder, **arguments)
        if torch.distributed.get_rank() == 0:
            torch.save(weights, Path(folder, f"{name}.pt"))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
