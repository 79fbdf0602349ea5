"""Runs of accelerate and of transformers' Trainer in one process, stopped and resumed."""

import gc
from functools import cache
from pathlib import Path

import attrs
import pytest
import torch
from transformers import TrainerCallback

from tests.adapters.huggingface_runs import Run, seen_by, train, trainer_of, weights_of
from tests.adapters.huggingface_setups import BATCHES_PER_EPOCH, Setup, expected, pipeline_of

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of the other libraries


@pytest.fixture(scope="module", autouse=True)
def garbage_of_others():
    """Spare the Trainer, which collects garbage whenever it begins, the objects that exist already: 0.3 s each time."""
    gc.freeze()
    yield
    gc.unfreeze()


FAST = [
    Setup(library="accelerate", accumulated=3, max_steps=7, save_steps=2, eval_steps=2, dropout=0.1),
    Setup(library="accelerate", order="packed", max_steps=10),
    Setup(library="Trainer", accumulated=3, max_steps=7, save_steps=2, eval_steps=2, dropout=0.1),
    Setup(library="Trainer", order="packed", num_epochs=1.5, max_steps=12),
]
ENDS = (4, 6)  # of epochs of 3 or 8 steps

SLOW = [
    Setup(
        library=library,
        order=order,
        accumulated=accumulated,
        max_steps=steps,
        save_steps=save_steps,
        eval_steps=save_steps - 1,
        dropout=0.1,
    )
    for library in ("accelerate", "Trainer")
    for order in ("shuffled", "finite", "grouped", "packed")
    for accumulated, steps, save_steps in ((1, 19, 3), (3, 6, 2))
] + [
    Setup(library="accelerate", num_workers=2, max_steps=19),
    Setup(library="Trainer", num_workers=2, max_steps=19, eval_steps=4),
    Setup(library="Trainer", num_epochs=2, max_steps=16, save_steps=8, eval_steps=4, load_best=True),
    Setup(library="Trainer", num_epochs=2.4, max_steps=20, save_steps=4, dropout=0.1),
]


def name_of(setup: Setup) -> str:
    changed = {
        field.name: value
        for field in attrs.fields(Setup)
        if (value := getattr(setup, field.name)) != field.default and field.name != "library"
    }
    return "-".join([setup.library, *(f"{name}={value}" for name, value in changed.items())])


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A function that returns the run of a setup without a stop, made once."""

    @cache
    def make(setup: Setup) -> Run:
        run = Run(setup=setup, folder=str(tmp_path_factory.mktemp("whole")), name="whole")
        train(run)
        return run

    return make


def saved_step(run: Run) -> int:
    """Return the number of steps of the newest checkpoint."""
    return max(int(path.name.split("-")[-1]) for path in Path(run.folder, "checkpoints").iterdir())


def check_equal(whole: Run, parts: list[tuple[Run, int]]) -> None:
    """Check that runs up to their checkpoints, and the last one, have the batches and weights of a whole one."""
    ids = [ids for run, until in parts for step, ids in seen_by(run, 0) if step < until]
    assert ids == [ids for _, ids in seen_by(whole, 0)]
    assert ids == [expected(whole.setup, step, 0, 1) for step in range(len(ids))]
    weights, resumed = weights_of(whole), weights_of(parts[-1][0])
    assert weights.keys() == resumed.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, resumed[name]), name


def check_resumes(setup: Setup, ends: tuple[int, ...], whole: Run, folder: Path) -> None:
    parts: list[tuple[Run, int]] = []
    for number, ends_at in enumerate((*ends, None)):
        run = Run(setup=setup, folder=str(folder), name=str(number), is_resumed=number > 0, ends_at=ends_at)
        train(run)
        parts.append((run, 2**60 if ends_at is None else saved_step(run)))
    check_equal(whole, parts)


@pytest.mark.parametrize("setup", FAST, ids=name_of)
def test_a_run_that_was_resumed_twice_has_the_batches_and_weights_of_one_without_a_stop(
    setup: Setup, whole_run, tmp_path: Path
) -> None:
    check_resumes(setup, ENDS, whole_run(setup), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ends", [(4,), (6,), (4, 5), (5, 5)], ids=str)
@pytest.mark.parametrize("setup", SLOW, ids=name_of)
def test_so_do_runs_of_other_setups_and_stops(setup: Setup, ends: tuple[int, ...], whole_run, tmp_path: Path) -> None:
    check_resumes(setup, tuple(end * setup.save_steps // 3 for end in ends), whole_run(setup), tmp_path)


class SaveIn(TrainerCallback):
    """Saves a checkpoint in a hook, as the Trainer does on SIGTERM, and stops."""

    def __init__(self, hook: str) -> None:
        self.trainer, self.number = None, 0
        setattr(self, hook, self.save)

    def save(self, args, state, control, **objects) -> None:
        self.number += 1
        if self.number == 4:
            self.trainer._save_checkpoint(self.trainer.model, trial=None)
            control.should_training_stop = True


@pytest.mark.parametrize("hook", ["on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_step_end"])
def test_a_checkpoint_of_any_hook_has_the_position_of_its_weights(hook: str, whole_run, tmp_path: Path) -> None:
    setup = Setup(library="Trainer", accumulated=3, max_steps=7, save_steps=100)
    first = Run(setup=setup, folder=str(tmp_path), name="first")
    trainer, callback = trainer_of(first), SaveIn(hook)
    callback.trainer = trainer
    trainer.add_callback(callback)
    trainer.train()
    saved = saved_step(first)
    second = Run(setup=setup, folder=str(tmp_path), name="second", is_resumed=True)
    train(second)
    check_equal(whole_run(setup), [(first, saved), (second, 2**60)])


def test_a_completed_run_that_is_resumed_trains_nothing(tmp_path: Path) -> None:
    setup = Setup(library="Trainer", max_steps=3)
    for name, is_resumed in (("whole", False), ("again", True)):
        train(Run(setup=setup, folder=str(tmp_path), name=name, is_resumed=is_resumed))
    whole, again = (Run(setup=setup, folder=str(tmp_path), name=name) for name in ("whole", "again"))
    assert len(seen_by(whole, 0)) == 3
    assert seen_by(again, 0) == []
    assert all(torch.equal(weight, weights_of(again)[name]) for name, weight in weights_of(whole).items())


@pytest.mark.parametrize("library", ["accelerate", "Trainer"])
def test_the_batch_size_and_the_accumulation_may_change_in_a_run_of_a_number_of_steps(
    library: str, tmp_path: Path
) -> None:
    setup = Setup(library=library, max_steps=9)
    train(Run(setup=setup, folder=str(tmp_path), name="first", ends_at=3))
    changed = attrs.evolve(setup, batch_size=8, accumulated=2, max_steps=6)
    resumed = Run(setup=changed, folder=str(tmp_path), name="second", is_resumed=True)
    train(resumed)
    read = [row[0] for _, ids in seen_by(resumed, 0) for row in ids]
    pipeline = pipeline_of(setup)
    positions = range(15, 15 + len(read))
    assert len(read) == 1 + 5 * 8, "the step at position 15 ends where one of 8 does"
    assert read == [pipeline.order.index_at(position).idx + 2 for position in positions]


def test_an_epoch_counted_by_the_trainer_must_be_as_in_the_checkpoint(tmp_path: Path) -> None:
    setup = Setup(library="Trainer", num_epochs=2, save_steps=3)
    train(Run(setup=setup, folder=str(tmp_path), name="first", ends_at=3))
    for changed, message in (
        ({"batch_size": 8}, "batch_size must be 5 as in the checkpoint, got batch_size=8"),
        ({"accumulated": 2}, "gradient_accumulation_steps must be 1 as in the checkpoint, got"),
    ):
        resumed = Run(setup=attrs.evolve(setup, **changed), folder=str(tmp_path), name="second", is_resumed=True)
        with pytest.raises(ValueError, match=message):
            train(resumed)


def test_the_trainer_counts_samples_and_epochs(whole_run, tmp_path: Path) -> None:
    run = Run(setup=Setup(library="Trainer", num_epochs=1, save_steps=100), folder=str(tmp_path), name="whole")
    trainer = trainer_of(run)
    batches = trainer.get_train_dataloader()
    assert (len(batches), len(batches.dataset)) == (BATCHES_PER_EPOCH, 40)
    state = torch.get_rng_state()
    assert next(iter(batches))["input_ids"].tolist() == expected(run.setup, 0, 0, 1)
    assert torch.equal(torch.get_rng_state(), state)
    metrics = trainer.train().metrics
    assert metrics["epoch"] == 1
    assert metrics["train_samples_per_second"] / metrics["train_steps_per_second"] == pytest.approx(5, rel=0.01)
