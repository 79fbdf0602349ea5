"""Tests of rank_and_world_size: the ranks of a trainer, and processes that it must not count as its ranks."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bionemo.adapters.lightning.epoch_loader import rank_and_world_size
from bionemo.adapters.megatron import model_parallel
from tests.adapters import lightning_trainers_run
from tests.torchrun import run_on_ranks


def trainer(world_size: int) -> SimpleNamespace:
    return SimpleNamespace(global_rank=0, world_size=world_size)


def test_rank_and_world_size_are_those_of_the_trainer() -> None:
    assert rank_and_world_size(None) == (0, 1)
    assert rank_and_world_size(trainer(3)) == (0, 3)
    with model_parallel():
        assert rank_and_world_size(trainer(1)) == (0, 1)


def test_a_world_size_unlike_that_of_torch_is_refused() -> None:
    message = "torch's processes must be those of the trainer, got 1 and 2. If something other than Lightning"
    with model_parallel(), pytest.raises(RuntimeError, match=message):
        rank_and_world_size(trainer(2))


@pytest.mark.slow
def test_processes_that_share_a_model_are_refused(tmp_path: Path) -> None:
    """Two gloo processes, first with one model between them and then with one each."""
    run_on_ranks(lightning_trainers_run.__file__, tmp_path, ranks=2, timeout=120)
    for rank in range(2):
        refused, found_ranks = (tmp_path / f"{rank}.txt").read_text().splitlines()
        assert refused.startswith(
            "each process must have a model of its own, got 2 processes and 1 model replicas. Train"
        )
        assert found_ranks == f"({rank}, 2)"
