"""FSDP2 on real gloo ranks under torchrun: the weights of one process, and checkpoints for any number of ranks."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader

from bionemo.data import read_run_log, verify_run
from bionemo.examples import fsdp2
from tests.adapters import distributed_run
from tests.adapters.distributed_training import make_pipeline, train
from tests.torchrun import run_on_ranks, torchrun

STEPS = 9  # the last one has 2 samples
ROUNDING = 2e-6
ONE_DIMENSION = {2: {"shards": 2}, 3: {"shards": 3}}


def train_on_ranks(folder: Path, runs: dict[str, dict[str, Any]], *, ranks: int, check: str = "") -> None:
    run_on_ranks(distributed_run.__file__, json.dumps(runs), folder, check, ranks=ranks, timeout=120)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return the weights of an unsharded model in one process, which was never stopped."""
    return train(tmp_path_factory.mktemp("whole"), steps=STEPS)


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[name] - expected[name]).abs().max()) for name in expected)


def check_read(folder: Path, *, num_replaced: int = 0) -> None:
    """Check that all samples were read in their order, and steps only again if they followed a checkpoint."""
    summary = verify_run(read_run_log(folder / "log.jsonl"), make_pipeline())
    assert (summary.first_step, summary.num_steps, summary.num_incomplete) == (0, STEPS, 0)
    assert summary.num_replaced == num_replaced


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    whole = {"steps": STEPS, "save_every": 4, "sizes": ONE_DIMENSION[2]}
    train_on_ranks(folder, {"whole": whole, "part": {**whole, "steps": 5}}, ranks=2, check="check")
    return folder


def test_two_sharded_ranks_have_the_weights_of_one_process(two_ranks: Path, expected: dict[str, torch.Tensor]) -> None:
    assert largest_difference(torch.load(two_ranks / "whole.pt"), expected) < ROUNDING
    check_read(two_ranks / "whole")


def test_a_checkpoint_of_two_ranks_holds_one_state_of_the_loader(two_ranks: Path) -> None:
    metadata = FileSystemReader(two_ranks / "whole" / "step-8").read_metadata()
    names = [index.fqn for index in metadata.storage_data]
    assert names.count("batches") == 1
    assert names.count("model.head.weight") == 2


def test_a_checkpoint_of_two_ranks_resumes_in_one_process(two_ranks: Path, expected: dict[str, torch.Tensor]) -> None:
    weights = train(two_ranks / "part", steps=STEPS)
    assert largest_difference(weights, expected) < ROUNDING
    check_read(two_ranks / "part", num_replaced=1)  # step 4 on rank 0, read after the checkpoint


@pytest.mark.slow
def test_three_sharded_ranks_of_which_one_gets_no_sample(tmp_path: Path, expected: dict[str, torch.Tensor]) -> None:
    train_on_ranks(tmp_path, {"run": {"steps": STEPS, "sizes": ONE_DIMENSION[3]}}, ranks=3)
    assert largest_difference(torch.load(tmp_path / "run.pt"), expected) < ROUNDING
    check_read(tmp_path / "run")


@pytest.mark.slow
def test_a_run_on_two_three_one_and_two_ranks(tmp_path: Path, expected: dict[str, torch.Tensor]) -> None:
    for ranks, steps in ((2, 3), (3, 5), (1, 7), (2, STEPS)):
        arguments = {"folder": "run", "steps": steps, "save_every": 2, "sizes": {"shards": ranks}}
        train_on_ranks(tmp_path, {f"part {steps}": arguments}, ranks=ranks)
    assert largest_difference(torch.load(tmp_path / f"part {STEPS}.pt"), expected) < ROUNDING
    check_read(tmp_path / "run", num_replaced=2 + 1 + 1)  # one step after each checkpoint, of 2 and 3 ranks and 1


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [{"replicas": 2, "shards": 2}, {"shards": 2, "tensor": 2}], ids=["hsdp", "tensor"])
def test_four_ranks_in_two_dimensions(tmp_path: Path, sizes: dict, expected: dict[str, torch.Tensor]) -> None:
    """Ranks that split a layer read the same samples; the checkpoint resumes on two ranks in one dimension."""
    part = {"folder": "run", "steps": 5, "save_every": 4, "sizes": sizes}
    train_on_ranks(tmp_path, {"whole": {"steps": STEPS, "sizes": sizes}, "part": part}, ranks=4)
    assert largest_difference(torch.load(tmp_path / "whole.pt"), expected) < ROUNDING
    rest = {"folder": "run", "steps": STEPS, "sizes": ONE_DIMENSION[2]}
    train_on_ranks(tmp_path, {"rest": rest}, ranks=2)
    assert largest_difference(torch.load(tmp_path / "rest.pt"), expected) < ROUNDING
    for name in ("whole", "run"):
        lines = read_run_log(tmp_path / name / "log.jsonl")
        if "tensor" in sizes:  # each line twice
            assert all(sum(line == other for other in lines) >= 2 for line in lines if line.step < 4)
        assert verify_run(lines, make_pipeline()).num_steps == STEPS


@pytest.mark.slow
def test_ranks_that_are_killed_while_the_checkpoint_is_written(
    tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    killed = {"folder": "run", "steps": STEPS, "save_every": 2, "sizes": ONE_DIMENSION[2], "kill_at": 6}
    run = torchrun(
        distributed_run.__file__,
        json.dumps({"killed": killed}),
        tmp_path,
        ranks=2,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert run.wait(timeout=120) == 1
    assert sorted(path.name for path in (tmp_path / "run").glob("*step*")) == [".step-6.partial", "step-2", "step-4"]
    rest = {"folder": "run", "steps": STEPS, "save_every": 2, "sizes": ONE_DIMENSION[3]}
    train_on_ranks(tmp_path, {"rest": rest}, ranks=3)
    assert largest_difference(torch.load(tmp_path / "rest.pt"), expected) < ROUNDING
    assert verify_run(read_run_log(tmp_path / "run" / "log.jsonl"), make_pipeline()).num_steps == STEPS
    assert sorted(path.name for path in (tmp_path / "run").glob("*step*")) == ["step-6", "step-8"]


@pytest.mark.slow
def test_the_example_resumes_on_another_number_of_ranks_with_the_same_losses(tmp_path: Path) -> None:
    def losses(folder: str, steps: int, ranks: int) -> list[str]:
        run = torchrun(
            fsdp2.__file__, tmp_path / folder, steps, ranks=ranks, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0
        return output.splitlines()

    expected = losses("whole", 30, 1)
    assert [line.split()[1] for line in expected] == ["10", "20", "30"]
    assert losses("run", 10, 3) + losses("run", 30, 2) == expected
