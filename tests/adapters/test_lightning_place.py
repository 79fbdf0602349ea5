"""Which processes a trainer may count as its own."""

from types import SimpleNamespace

import pytest

from bionemo.adapters.lightning.place import trainer_place
from bionemo.adapters.megatron import model_parallel
from bionemo.adapters.megatron.imports import import_megatron


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


def test_processes_that_share_a_model_are_refused(monkeypatch) -> None:
    with model_parallel():
        state = import_megatron("megatron.core.parallel_state")
        monkeypatch.setattr(state, "get_data_parallel_world_size", lambda: 0.5)
        with pytest.raises(RuntimeError, match="each process must have a model of its own, got 1 processes that share"):
            trainer_place(trainer(1))
