"""Which processes a trainer may count as its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bionemo.adapters.lightning.place import trainer_place
from bionemo.adapters.megatron import model_parallel
from tests.adapters import lightning_place_run


def trainer(world_size: int) -> SimpleNamespace:
    return SimpleNamespace(global_rank=0, world_size=world_size)


def test_a_trainer_knows_its_place() -> None:
    assert trainer_place(None) == (0, 1)
    assert trainer_place(trainer(3)) == (0, 3)
    with model_parallel():
        assert trainer_place(trainer(1)) == (0, 1)


def test_processes_of_another_world_are_refused() -> None:
    message = "torch's processes must be those of the trainer, got 1 and 2. Start the program by torchrun"
    with model_parallel(), pytest.raises(RuntimeError, match=message):
        trainer_place(trainer(2))


def test_processes_that_share_a_model_are_refused(tmp_path: Path) -> None:
    """On two gloo ranks, of one model and of two."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    found = subprocess.run(
        [*torchrun, lightning_place_run.__file__, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    for rank in range(2):
        refused, place = (tmp_path / f"{rank}.txt").read_text().splitlines()
        assert refused.startswith(
            "each process must have a model of its own, got 2 processes that share 1. Train those"
        )
        assert place == f"({rank}, 2)"
