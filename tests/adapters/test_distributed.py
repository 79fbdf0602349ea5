"""Distributed checkpoints in one process: exact, complete or absent, and written in the background."""

import fcntl
import os
import re
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import nn
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, load_checkpoint, rank_and_world_size
from bionemo.adapters.distributed.storage import AtomicFolderWriter
from bionemo.data import read_run_log, verify_run
from bionemo.data.pipes import loader
from tests.adapters.distributed_training import make_mesh, make_model, make_optimizer, make_pipeline, train, weights_of


@pytest.fixture
def one_rank() -> Iterator[None]:
    """Run the test in a process group of one rank."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class Run:
    """A model, its optimizer and a loader, trained step by step."""

    def __init__(self) -> None:
        self.model = nn.ModuleDict({"used": nn.Linear(3, 2), "unused": nn.Linear(2, 2)})
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.batches = loader(make_pipeline())
        self.iterator = iter(self.batches)

    def step(self) -> None:
        batch = next(self.iterator)
        self.optimizer.zero_grad()
        self.model["used"](batch["row"][:3].float()).sum().backward()
        self.optimizer.step()

    @property
    def parts(self) -> tuple:
        return self.model, self.optimizer, self.batches

    @property
    def state(self) -> tuple:
        weights = {name: part.clone() for name, part in self.model.state_dict().items()}
        moments = [
            {name: part.clone() for name, part in state.items()}
            for state in self.optimizer.state_dict()["state"].values()
        ]
        return weights, moments, self.batches.consumed_samples


@pytest.fixture
def run() -> Run:
    return Run()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def assert_equal(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    (tmp_path / "whole").mkdir()
    expected = train(tmp_path / "whole", steps=9, optimizer_kind=kind)
    train(tmp_path, steps=3, save_every=2, optimizer_kind=kind)
    train(tmp_path, steps=6, save_every=2, optimizer_kind=kind)
    assert_equal(train(tmp_path, steps=9, optimizer_kind=kind), expected)
    summary = verify_run(read_run_log(tmp_path / "log.jsonl"), make_pipeline())
    assert (summary.num_steps, summary.num_replaced) == (9, 1)  # step 2 was read after the checkpoint, and so again


@pytest.mark.usefixtures("one_rank")
def test_a_checkpoint_holds_what_there_was_when_save_was_called(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = threading.Event()
    prepare = AtomicFolderWriter.prepare_global_plan
    monkeypatch.setattr(AtomicFolderWriter, "prepare_global_plan", lambda *given: may_write.wait() and prepare(*given))
    # Older releases of torch don't copy what is on the CPU.
    monkeypatch.setattr(BlockingAsyncStager, "stage", lambda storage, state: state)
    run.step()
    with CheckpointWriter(tmp_path) as checkpoints:
        path = checkpoints.save(1, *run.parts)
        expected = run.state
        run.step()
        assert find_checkpoint(tmp_path) is None
        may_write.set()
    assert find_checkpoint(tmp_path) == path
    load_checkpoint(path, *run.parts)
    assert_equal(run.state, expected)


def test_a_sharded_model_on_one_rank_saves_what_an_unsharded_one_loads(tmp_path: Path, one_rank: None) -> None:
    model = make_model(make_mesh({"shards": 1}))
    optimizer = make_optimizer(model)
    batches = loader(make_pipeline(), start=14)
    with CheckpointWriter(tmp_path) as checkpoints:
        checkpoints.save(2, model, optimizer, batches)
    other = make_model()
    nn.init.ones_(other.head.weight)
    resumed = loader(make_pipeline())
    load_checkpoint(tmp_path / "step-2", other, make_optimizer(other), resumed)
    assert_equal(weights_of(other), weights_of(model))
    assert resumed.state_dict() == batches.state_dict()


def test_a_parameter_without_gradients_has_no_state_after_loading(tmp_path: Path, run: Run) -> None:
    run.step()
    with CheckpointWriter(tmp_path) as checkpoints:
        checkpoints.save(1, *run.parts)
    other = Run()
    load_checkpoint(tmp_path / "step-1", *other.parts)
    assert len(other.optimizer.state) == len(run.optimizer.state) == 2
    assert_equal(other.state, run.state)


def test_saving_before_the_first_step_makes_no_step(tmp_path: Path, run: Run) -> None:
    with CheckpointWriter(tmp_path) as checkpoints:
        checkpoints.save(0, *run.parts)
    assert not run.optimizer.state
    other = Run()
    other.step()
    load_checkpoint(tmp_path / "step-0", *other.parts)
    assert not other.optimizer.state
    assert_equal(other.state, run.state)


def test_other_states_come_back_with_their_types(tmp_path: Path, run: Run) -> None:
    def schedule(run: Run) -> torch.optim.lr_scheduler.MultiStepLR:
        return torch.optim.lr_scheduler.MultiStepLR(run.optimizer, milestones=[3, 5, 5])  # counts by step

    saved = schedule(run)
    run.step()
    saved.step()
    with CheckpointWriter(tmp_path) as checkpoints:
        path = checkpoints.save(1, *run.parts, others={"schedule": saved})
    other = Run()
    loaded = schedule(other)
    load_checkpoint(path, *other.parts, others={"schedule": loaded})
    assert loaded.state_dict() == saved.state_dict()
    assert type(loaded.milestones) is type(saved.milestones)
    with pytest.raises(ValueError, match="others must have the states of the checkpoint, but only one of both has sch"):
        load_checkpoint(path, *other.parts)


@pytest.mark.usefixtures("one_rank")
def test_an_error_while_writing_is_raised_by_the_next_save_or_at_the_end(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "folder"
    checkpoints = CheckpointWriter(folder)
    checkpoints.save(0, *run.parts)
    checkpoints.wait()
    replace_by_file(folder)
    checkpoints.save(1, *run.parts)
    with pytest.raises(RuntimeError, match=r"step-1 could not be written, on rank 0: NotADirectoryError: .*folder"):
        checkpoints.save(2, *run.parts)
    checkpoints.wait()
    folder.unlink()
    with pytest.raises(RuntimeError, match="step-3 could not be written"), CheckpointWriter(folder) as checkpoints:
        replace_by_file(folder)
        checkpoints.save(3, *run.parts)
    folder.unlink()
    with pytest.raises(KeyError, match="mine") as error, CheckpointWriter(folder) as checkpoints:
        replace_by_file(folder)
        checkpoints.save(4, *run.parts)
        raise KeyError("mine")
    assert "step-4 could not be written" in error.value.__notes__[0]


def replace_by_file(folder: Path) -> None:
    """Make a folder one in which nothing can be written, by anybody."""
    shutil.rmtree(folder)
    folder.write_text("")


def test_an_error_while_writing_without_a_process_group_is_raised_at_once(tmp_path: Path, run: Run) -> None:
    checkpoints = CheckpointWriter(tmp_path / "folder")
    checkpoints.save(0, *run.parts)
    replace_by_file(tmp_path / "folder")
    with pytest.raises(RuntimeError, match="step-1 could not be written, on rank 0"):
        checkpoints.save(1, *run.parts)


def test_an_incomplete_checkpoint_is_not_found_and_is_removed_by_the_next_save(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = CheckpointWriter(tmp_path)
    checkpoints.save(1, *run.parts)
    rename = Path.rename

    def die(path: Path, target: Path) -> Path:
        if target.name == "step-2":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        patch.setattr(Path, "rename", die)
        checkpoints.save(2, *run.parts)
    assert (tmp_path / ".step-2.partial" / ".metadata").exists()  # all is written, but not named
    (tmp_path / "step-9").mkdir()  # e.g. half copied
    assert find_checkpoint(tmp_path) == tmp_path / "step-1"
    checkpoints.save(3, *run.parts)
    assert names(tmp_path) == ["step-1", "step-3", "step-9"]
    with pytest.raises(FileNotFoundError, match=r"path must be a complete checkpoint, got path='.*step-9'"):
        load_checkpoint(tmp_path / "step-9", *run.parts)


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "__0_0.distcp.sha256", ".metadata.sha256"])
@pytest.mark.parametrize("how", ["zeroed", "truncated", "missing", "last byte"])
def test_a_damaged_checkpoint_is_skipped_and_refused(tmp_path: Path, run: Run, name: str, how: str) -> None:
    """Torch would load zeros within a file as weights."""
    run.step()
    with CheckpointWriter(tmp_path) as checkpoints:
        whole, damaged = (checkpoints.save(step, *run.parts) for step in (1, 2))
    assert find_checkpoint(tmp_path) == damaged
    content = (damaged / name).read_bytes()
    half = len(content) // 2
    if how == "missing":
        (damaged / name).unlink()
    elif how == "last byte":
        (damaged / name).write_bytes(content[:-1] + b"\1")
    else:
        (damaged / name).write_bytes(content[:half] + bytes(len(content) - half if how == "zeroed" else 0))
    assert find_checkpoint(tmp_path) == whole
    other = Run()
    before = other.state
    if name == ".metadata" and how == "missing":
        with pytest.raises(FileNotFoundError, match="path must be a complete checkpoint"):
            load_checkpoint(damaged, *other.parts)
    else:
        what = "is missing" if how == "missing" else "or its digest has other bytes than were written"
        message = (
            rf"path must be a whole checkpoint, got path='.*step-2', whose file '{re.escape(name)}' {what}. Resume "
        )
        message = message.replace(re.escape(name), re.escape(name.removesuffix(".sha256")) + r"(\.sha256)?")
        with pytest.raises(ValueError, match=message + r"from '.*step-1', the newest one"):
            load_checkpoint(damaged, *other.parts)
    assert_equal(other.state, before)
    shutil.rmtree(whole)
    assert find_checkpoint(tmp_path) is None


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_full_disk_is_named(tmp_path: Path, size: int) -> None:
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with CheckpointWriter(tmp_path) as checkpoints:
        checkpoints.save(1, model, optimizer, loader(make_pipeline()))
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(
                RuntimeError, match="step-2 could not be written, on rank 0: OSError: .* File too large"
            ):
                checkpoints.save(2, model, optimizer, loader(make_pipeline()))
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert find_checkpoint(tmp_path) == tmp_path / "step-1"


def test_a_folder_that_another_process_writes_is_refused(tmp_path: Path, run: Run) -> None:
    with (tmp_path / ".lock").open("w") as file:
        file.write("process 17 on another")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        message = r"folder must be written by one process at a time, .* another one writes \(process 17 on another\)"
        with pytest.raises(RuntimeError, match=message), CheckpointWriter(tmp_path):
            pass
        with pytest.raises(RuntimeError, match=message):
            CheckpointWriter(tmp_path).save(1, *run.parts)
    with CheckpointWriter(tmp_path) as checkpoints:
        checkpoints.save(1, *run.parts)
    assert find_checkpoint(tmp_path) == tmp_path / "step-1"


def test_a_checkpoint_without_digests_is_loaded(tmp_path: Path, run: Run) -> None:
    """Torch's own writer makes none."""
    with CheckpointWriter(tmp_path) as checkpoints:
        path = checkpoints.save(1, *run.parts)
    for digest in path.glob("*.sha256"):
        digest.unlink()
    assert find_checkpoint(tmp_path) == path
    load_checkpoint(path, *run.parts)


def test_the_newest_checkpoints_are_kept_and_a_step_may_be_saved_again(tmp_path: Path, run: Run) -> None:
    checkpoints = CheckpointWriter(tmp_path)
    for step in (8, 9, 10):
        checkpoints.save(step, *run.parts)
    assert names(tmp_path) == ["step-10", "step-9"]
    run.step()
    checkpoints.save(9, *run.parts)  # as a run does that was resumed from an older checkpoint
    assert find_checkpoint(tmp_path) == tmp_path / "step-9"
    load_checkpoint(tmp_path / "step-9", *run.parts)
    assert run.batches.consumed_samples == 7
    CheckpointWriter(tmp_path, keep=None).save(11, *run.parts)
    assert len(names(tmp_path)) == 3
    CheckpointWriter(tmp_path, keep=1).save(3, *run.parts)
    assert names(tmp_path) == ["step-3"]


def test_of_equally_old_checkpoints_the_later_step_is_the_newest(tmp_path: Path, run: Run) -> None:
    checkpoints = CheckpointWriter(tmp_path)
    for step in (10, 9):
        os.utime(checkpoints.save(step, *run.parts) / ".metadata", (1e9, 1e9))
    assert find_checkpoint(tmp_path) == tmp_path / "step-10"


def test_a_checkpoint_of_another_order_or_model_is_refused_before_anything_changes(tmp_path: Path, run: Run) -> None:
    with CheckpointWriter(tmp_path) as checkpoints:
        path = checkpoints.save(0, *run.parts)
    other = Run()
    other.batches = loader(make_pipeline(seed=8))
    before = other.state
    with pytest.raises(ValueError, match=r"order.seed \(was 1, is 8\)"):
        load_checkpoint(path, *other.parts)
    assert_equal(other.state, before)
    assert not other.optimizer.state
    other = Run()
    other.model["more"] = nn.Linear(1, 1)
    with pytest.raises(
        ValueError, match=r"model must have the weights .* only one of both has more.bias, more.weight."
    ):
        load_checkpoint(path, *other.parts)
    del other.model["more"], other.model["unused"]
    with pytest.raises(ValueError, match="only one of both has unused.bias, unused.weight"):
        load_checkpoint(path, *other.parts)


class Tuples:
    """A loader whose state isn't plain."""

    def state_dict(self) -> dict:
        return {"next": (1, 2)}

    def load_state_dict(self, state: dict) -> None:
        raise NotImplementedError


def test_wrong_arguments_are_refused(tmp_path: Path, run: Run) -> None:
    checkpoints = CheckpointWriter(tmp_path)
    with pytest.raises(ValueError, match="step must be in 0.*, got step=-1"):
        checkpoints.save(-1, *run.parts)
    with pytest.raises(TypeError, match=r"batches must have a state of plain values, .* got \{'next': \(1, 2\)\}"):
        checkpoints.save(1, run.model, run.optimizer, Tuples())
    with pytest.raises(ValueError, match="folder must be local, .* got folder='s3://bucket/run'"):
        CheckpointWriter("s3://bucket/run")
    with pytest.raises(ValueError, match="keep must be"):
        CheckpointWriter(tmp_path, keep=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file"):
        find_checkpoint(tmp_path / "file")


@pytest.mark.usefixtures("one_rank")
def test_ranks_of_a_group_or_a_mesh() -> None:
    assert rank_and_world_size() == rank_and_world_size(make_mesh({"replicas": 1, "shards": 1})) == (0, 1)
    assert rank_and_world_size(torch.distributed.new_group([0])) == (0, 1)


def test_several_processes_without_a_process_group_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert rank_and_world_size() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        RuntimeError, match="must be initialized, got WORLD_SIZE='2' in .* Call torch.distributed.init_p"
    ):
        rank_and_world_size()
