"""accelerate and transformers' Trainer on gloo processes: their batches and weights, also on other numbers of ranks."""

import pickle
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

from tests.adapters.huggingface_runs import Run, seen_by, weights_of
from tests.adapters.huggingface_setups import Setup, expected
from tests.torchrun import run_on_ranks, torchrun

PROGRAM = str(Path(__file__).with_name("huggingface_runs.py"))
LIBRARIES = ("accelerate", "Trainer")
SETUPS = [
    Setup(library=library, order=order, accumulated=accumulated, max_steps=steps, save_steps=save_steps, eval_steps=3)
    for library in LIBRARIES
    for order in ("shuffled", "finite", "grouped", "packed")
    for accumulated, steps, save_steps in ((1, 19, 3), (3, 6, 2))
] + [Setup(library="Trainer", model="masked", accumulated=3, max_steps=6, save_steps=2, eval_steps=3)]


def start(runs: list[Run], folder: Path, ranks: int) -> None:
    """Make runs on a number of processes, all by one start."""
    path = folder / f"runs-{ranks}.pickle"
    path.write_bytes(pickle.dumps(runs))
    run_on_ranks(PROGRAM, path, ranks=ranks, timeout=600)


def check_batches(run: Run, *, first: int, ranks: int) -> None:
    """Check that a run has read the batches of the pipeline from a step on, each rank its part."""
    for rank in range(ranks):
        ids = [ids for _, ids in seen_by(run, rank)]
        assert ids
        assert ids == [expected(run.setup, first + number, rank, ranks) for number in range(len(ids))]


def num_batches_of(setup: Setup, steps: int) -> int:
    """Return the number of batches of the first optimizer steps; an epoch has 8 batches, or is the whole order."""
    per_epoch = 19 if setup.order == "finite" else 8
    epochs, left = divmod(steps, -(-per_epoch // setup.accumulated))
    return epochs * per_epoch + left * setup.accumulated


def saved_step(run: Run) -> int:
    checkpoints = Path(run.folder, "checkpoints").iterdir()
    return max(int(path.name.split("-")[-1]) for path in checkpoints)


def largest_difference(one: Run, other: Run) -> float:
    weights, others = weights_of(one), weights_of(other)
    return max((weight - others[name]).abs().max().item() for name, weight in weights.items())


def predicted(run: Run) -> tuple[np.ndarray, np.ndarray]:
    return pickle.loads(Path(run.folder, f"{run.name}.pickle").read_bytes())


@pytest.fixture(scope="module")
def matrix(tmp_path_factory) -> dict[Setup, dict[str, Run]]:
    """Whole runs on 1 and 2 processes; runs stopped on 2, resumed and stopped on 3, and completed on 1 or 2."""
    folder = tmp_path_factory.mktemp("matrix")
    runs: dict[Setup, dict[str, Run]] = {}
    for number, setup in enumerate(SETUPS):
        end = {1: (4, 8), 3: (3, 5)}[setup.accumulated]
        runs[setup] = {
            name: Run(setup=setup, folder=str(folder / f"{number}-{path}"), name=name, **options)
            for name, path, options in (
                ("whole-1", "whole-1", {}),
                ("whole-2", "whole-2", {}),
                ("same-first", "same", {"ends_at": end[0]}),
                ("same-second", "same", {"is_resumed": True}),
                ("other-2", "other", {"ends_at": end[0]}),
                ("other-3", "other", {"ends_at": end[1], "is_resumed": True}),
                ("other-1", "other", {"is_resumed": True}),
            )
        }
    starts = (
        (2, ("whole-2", "same-first", "same-second", "other-2")),
        (3, ("other-3",)),
        (1, ("whole-1", "other-1")),
    )
    for ranks, names in starts:
        start([runs[setup][name] for setup in SETUPS for name in names], folder, ranks)
    return runs


@pytest.mark.slow
@pytest.mark.parametrize(
    "setup", SETUPS, ids=lambda setup: f"{setup.library}-{setup.order}-{setup.accumulated}-{setup.model}"
)
def test_runs_have_equal_batches_and_weights_on_any_number_of_processes(setup: Setup, matrix) -> None:
    runs = matrix[setup]
    for ranks in (1, 2):
        check_batches(runs[f"whole-{ranks}"], first=0, ranks=ranks)
        assert len(seen_by(runs[f"whole-{ranks}"], 0)) == num_batches_of(setup, setup.max_steps)
    first, second = {1: (3, 6), 3: (2, 4)}[setup.accumulated]
    check_batches(runs["same-second"], first=num_batches_of(setup, first), ranks=2)
    check_batches(runs["other-3"], first=num_batches_of(setup, first), ranks=3)
    check_batches(runs["other-1"], first=num_batches_of(setup, second), ranks=1)
    differences = {
        name: largest_difference(runs["whole-2"], runs[name]) for name in ("same-second", "whole-1", "other-1")
    }
    sys.stdout.write(f"{setup.library} {setup.order} {setup.accumulated} {setup.model} {differences}\n")
    assert differences["same-second"] == 0
    assert max(differences.values()) < 1e-8
    if setup.library == "Trainer":
        predictions, labels = predicted(runs["whole-1"])
        others, other_labels = predicted(runs["whole-2"])
        assert len(labels) == 11
        assert np.array_equal(labels, other_labels)
        assert np.abs(predictions - others)[labels != -100].max() < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("killed_at", [7, 12])
def test_a_run_whose_process_was_killed_resumes_exactly(library: str, killed_at: int, tmp_path: Path) -> None:
    setup = Setup(library=library, max_steps=17, save_steps=2, eval_steps=3, dropout=0.1)
    whole = Run(setup=setup, folder=str(tmp_path / "whole"), name="whole")
    killed = Run(setup=setup, folder=str(tmp_path / "killed"), name="first", killed_at=killed_at)
    start([whole], tmp_path, 2)
    path = tmp_path / "killed.pickle"
    path.write_bytes(pickle.dumps([killed]))
    process = torchrun(PROGRAM, path, ranks=2)
    assert process.wait(120) != 0
    first = saved_step(killed)
    assert first == killed_at // 2 * 2
    resumed = attrs.evolve(killed, name="second", is_resumed=True, killed_at=None)
    start([resumed], tmp_path, 2)
    check_batches(resumed, first=first, ranks=2)
    assert len(seen_by(resumed, 0)) == 17 - first
    assert largest_difference(whole, resumed) == 0
