"""The how-tos of docs/how_to/other_loops.md against stand-ins with the documented contracts of other training loops."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.distributed.checkpoint as dcp

from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import loader
from tests.torchrun import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")

HISTORY = [(2, 3), (3, 2), (1, 4)]
"""Numbers of ranks, and of steps on them."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the code of the page defines."""
    names: dict[str, Any] = {}
    text = (ROOT / "docs" / "how_to" / "other_loops.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks:
            exec(block, names)
    return names


@pytest.fixture
def pipeline() -> Pipeline:
    """Return a pipeline whose batches hold the rows that they are of; its last step has 3 rows."""
    order = EpochOrder(length=20, seed=1, num_samples=8 * 7 + 3)
    return Pipeline(order=order, sources=range(20), batch_size=7, seed=2, collate=as_batch)


def as_batch(rows: list[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor(rows, dtype=torch.int64)
    return {"input_ids": ids, "labels": ids}


def in_order(pipeline: Pipeline, steps: int) -> list[list[int]]:
    return [batch["input_ids"].tolist() for batch, _ in zip(loader(pipeline), range(steps), strict=False)]


# torchtitan -----------------------------------------------------------------------------------------------------------
class ExhaustedError(Exception):
    """torchtitan's DataloaderExhaustedError."""


class TitanTrainer:
    """It iterates over its loader once, and saves it as a Stateful object in a distributed checkpoint."""

    def __init__(self, dataloader: Any) -> None:
        assert isinstance(dataloader, dcp.stateful.Stateful)
        self.dataloader = dataloader

    def load(self, folder: Path) -> None:
        dcp.load({"dataloader": self.dataloader}, checkpoint_id=folder)

    def save(self, folder: Path) -> None:
        dcp.save({"dataloader": self.dataloader}, checkpoint_id=folder)

    def batches(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        iterator = iter(self.dataloader)
        while True:
            try:
                yield next(iterator)
            except StopIteration as error:
                raise ExhaustedError from error


def test_a_loop_like_torchtitans_resumes_on_other_ranks(
    page: dict[str, Any], pipeline: Pipeline, tmp_path: Path
) -> None:
    read, step = [], 0
    for ranks, steps in HISTORY:
        trainers = [TitanTrainer(page["TitanLoader"](loader(pipeline, rank, ranks))) for rank in range(ranks)]
        for trainer in trainers if step else ():
            trainer.load(tmp_path / str(step))
        for _, *parts in zip(range(steps), *(trainer.batches() for trainer in trainers), strict=False):
            read += [[row for inputs, _ in parts for row in inputs["input"].tolist()]]
        step += steps
        states = [json.dumps(trainer.dataloader.state_dict()) for trainer in trainers]
        assert len(set(states)) == 1  # entries of one name are one entry: the ranks write one copy
        trainers[0].save(tmp_path / str(step))
    assert read == in_order(pipeline, 9)
    ended = TitanTrainer(page["TitanLoader"](loader(pipeline)))
    ended.load(tmp_path / str(step))
    with pytest.raises(ExhaustedError):
        next(ended.batches())


def test_torchtitans_empty_state_changes_nothing(page: dict[str, Any], pipeline: Pipeline) -> None:
    titan = page["TitanLoader"](loader(pipeline, start=7))
    titan.load_state_dict({})
    assert titan.batches.consumed_samples == 7


# Automodel ------------------------------------------------------------------------------------------------------------
class StepScheduler:
    """It takes `grad_acc_steps` batches per step from its data loader, and yields before it counts the step."""

    def __init__(self, grad_acc_steps: int) -> None:
        self.dataloader: Any = []
        self.grad_acc_steps = grad_acc_steps
        self.step = self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.dataloader, "set_epoch"):
            self.dataloader.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Any]]:
        group = []
        for batch in self.dataloader:
            group.append(batch)
            if len(group) == self.grad_acc_steps:
                yield group
                self.step += 1
                group = []
        if group:
            yield group
            self.step += 1
        self.epoch += 1

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step + 1, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step, self.epoch = state["step"], state["epoch"]


class Recipe:
    """It saves each attribute with a state: the first rank writes it, and all ranks load it."""

    def __init__(self, rank: int, *, grad_acc_steps: int) -> None:
        self.rank = rank
        self.step_scheduler = StepScheduler(grad_acc_steps)

    def tracked(self) -> dict[str, Any]:
        names = [name for name in vars(self) if not any(part in name for part in ("val", "eval", "test", "loss"))]
        return {name: vars(self)[name] for name in names if hasattr(vars(self)[name], "load_state_dict")}

    def save_checkpoint(self, folder: Path) -> None:
        for name, part in self.tracked().items() if self.rank == 0 else ():
            torch.save(part.state_dict(), folder / f"{name}.pt")

    def load_checkpoint(self, folder: Path) -> None:
        for name, part in self.tracked().items():
            part.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=False))


def test_a_loop_like_automodels_resumes_on_other_ranks(
    page: dict[str, Any], pipeline: Pipeline, tmp_path: Path
) -> None:
    """Each step takes two batches; the run stops after each step, also in the middle of an epoch."""
    read, epochs = [], []
    for step, ranks in enumerate((2, 3, 1, 2)):
        recipes = [Recipe(rank, grad_acc_steps=2) for rank in range(ranks)]
        groups = []
        for recipe in recipes:
            page["use_loader"](recipe, pipeline, recipe.rank, ranks, 4)
            if step:
                recipe.load_checkpoint(tmp_path)
            recipe.step_scheduler.set_epoch(recipe.step_scheduler.epoch)
            groups.append(next(iter(recipe.step_scheduler)))
        for recipe in recipes:
            recipe.save_checkpoint(tmp_path)
        epochs.append(len(recipes[0].step_scheduler.dataloader))
        read += [[row for part in parts for row in part["input_ids"].tolist()] for parts in zip(*groups, strict=True)]
    assert read == in_order(pipeline, 8)
    assert set(epochs) == {4}


# Energon --------------------------------------------------------------------------------------------------------------
def test_a_loop_like_energons_resumes_on_other_ranks_from_the_file_of_a_rank(
    page: dict[str, Any], pipeline: Pipeline, tmp_path: Path
) -> None:
    read, before = [], 0
    for ranks, steps in HISTORY:
        loaders = [page["EnergonLoader"](loader(pipeline, rank, ranks)) for rank in range(ranks)]
        for rank, part in enumerate(loaders):
            file = tmp_path / f"rank{rank if rank < before else 0}.pth"
            part.restore_state_rank(torch.load(file) if before else None)
        for _, *parts in zip(range(steps), *loaders, strict=False):
            read += [[row for part in parts for row in part["input_ids"].tolist()]]
        for rank, part in enumerate(loaders):
            torch.save(part.save_state_rank(), tmp_path / f"rank{rank}.pth")
        before = ranks
    assert read == in_order(pipeline, 9)


def test_energons_global_state_is_saved_on_one_rank_and_restored_on_all(
    page: dict[str, Any], pipeline: Pipeline
) -> None:
    def restored(state: Any, **options: Any) -> int:
        batches = loader(pipeline)
        page["EnergonLoader"](batches).restore_state_global(state, **options)
        return batches.consumed_samples

    saved = page["EnergonLoader"](loader(pipeline, start=14))
    assert len(saved) == 9
    assert restored(saved.save_state_global(0)) == restored(saved.save_state_global(1)) == 14  # a process without ranks
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert saved.save_state_global(1) is None
        assert restored(saved.save_state_global(0), src_rank=0) == restored(saved.save_state_global(0)) == 14
    finally:
        torch.distributed.destroy_process_group()
