"""What `PipelineTrainer` refuses, evaluates, and takes from checkpoints."""

import dataclasses
import gc
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from bionemo.adapters import huggingface
from bionemo.adapters.huggingface import PipelineTrainer
from bionemo.adapters.huggingface.position import read_checkpoint
from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import batch_sampler, loader
from tests.adapters.huggingface_runs import Run, StoppedError, WatchedTrainer, arguments_of, seen_by, train, trainer_of
from tests.adapters.huggingface_setups import PADDING, ROWS, Setup, model_of, training_loader

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of the other libraries


@pytest.fixture(scope="module", autouse=True)
def garbage_of_others():
    """Spare the Trainer, which collects garbage whenever it begins, the objects that exist already: 0.3 s each time."""
    gc.freeze()
    yield
    gc.unfreeze()


SETUP = Setup(library="Trainer", max_steps=4, save_steps=2)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., PipelineTrainer]:
    """A function that makes a trainer of a loader, with changed arguments."""

    def make(batches=None, *, kind=PipelineTrainer, options=None, **changes) -> PipelineTrainer:
        arguments = arguments_of(SETUP, str(tmp_path), 1, **changes)
        dataset = training_loader(SETUP) if batches is None else batches
        return kind(model_of(SETUP), arguments, train_dataset=dataset, **(options or {}))

    return make


def _grouped() -> dict[str, object]:
    """Return the argument that groups samples by length, whose name is another one since transformers 5.2."""
    if "train_sampling_strategy" in {field.name for field in dataclasses.fields(TrainingArguments)}:
        return {"train_sampling_strategy": "group_by_length"}
    return {"group_by_length": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_device_train_batch_size": 4}, "per_device_train_batch_size must be 5, got .*=4 with batch_size=5 for 1"),
        ({"dataloader_num_workers": 2}, r"dataloader_num_workers must be 0, got .*=2. Use loader\(pipeline, num_wo"),
        ({"dataloader_drop_last": True}, r"dataloader_drop_last must be False, got .* Use Pipeline\(drop_last=True\)"),
        (_grouped(), r"(train_sampling_strategy must be 'random'|group_by_length must be False), got .*Grouped"),
        ({"data_seed": 3}, "data_seed must be None, got data_seed=3. The order has its own seed."),
        ({"auto_find_batch_size": True}, "auto_find_batch_size must be False, got"),
        ({"ignore_data_skip": True}, "ignore_data_skip must be False, got ignore_data_skip=True. The position is rest"),
        ({"accelerator_config": {"dispatch_batches": True}}, "dispatch_batches must be False, got"),
    ],
)
def test_arguments_that_contradict_the_pipeline_are_refused(make, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes).train()


def test_data_that_are_no_loader_of_one_process_are_refused(make) -> None:
    pipeline = training_loader(SETUP).pipeline
    for batches, message in (
        (ROWS, r"train_dataset must be a loader, got train_dataset=.* Pass bionemo.data.pipes.loader\(pipeline\)"),
        (batch_sampler(pipeline, batches_per_epoch=8), "train_dataset must be a loader"),
        (loader(pipeline, 1, 2, batches_per_epoch=8), "train_dataset must have world_size=1, got rank=1 and world_siz"),
        (loader(pipeline, restart=True), "train_dataset must have restart=False, got restart=True"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            make(batches).train()
    with pytest.raises(ValueError, match=r"data_collator must be left out, got .* Use Pipeline\(collate=...\)"):
        make(options={"data_collator": partial(PADDING)}).train()
    for dataset, message in (
        (ROWS, "eval_dataset must be a loader"),
        (loader(pipeline), "eval_dataset must have an e"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            make(options={"eval_dataset": dataset}).evaluate()


@pytest.mark.parametrize(
    ("limit", "left", "needed"),
    [
        ({"max_steps": -1, "num_train_epochs": 3}, 19, 57),
        ({"max_steps": 7, "gradient_accumulation_steps": 3}, None, 19),
        ({"max_steps": 8, "gradient_accumulation_steps": 3}, 19, 22),
        ({"max_steps": 20}, 19, 20),
    ],
)
def test_an_order_that_ends_before_the_training_is_refused(make, limit: dict, left: int | None, needed: int) -> None:
    finite = training_loader(Setup(library="Trainer", order="finite"))
    trainer = make(finite, **limit)
    if left is None:
        assert len(trainer.get_train_dataloader()) == needed
    else:
        with pytest.raises(ValueError, match=f"the order must have {needed} more batches for .*, got {left}. Train fo"):
            trainer.train()


def test_checkpoints_without_the_data_or_of_other_data_are_refused(make, tmp_path: Path) -> None:
    make().train()
    other = loader(
        attrs.evolve(training_loader(SETUP).pipeline, order=EpochOrder(length=40, seed=2)), batches_per_epoch=8
    )
    with pytest.raises(ValueError, match=r"state must be of the same order, but differs in order.seed \(was 1, is 2\)"):
        make(other).train(resume_from_checkpoint=True)
    path = tmp_path / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    state = json.loads(path.read_text())
    del state["stateful_callbacks"]["DataPosition"]
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match="resume_from_checkpoint must hold the position of the data, got '.*checkpoin"):
        make().train(resume_from_checkpoint=True)


class _FirstStep(TrainerCallback):
    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.seen.append(state.global_step)


@pytest.mark.filterwarnings("default")
def test_an_incomplete_checkpoint_is_not_the_newest(make, tmp_path: Path) -> None:
    make().train()
    folder = tmp_path / "checkpoints"
    for step, text in ((10, None), (12, '{"global_step": ')):
        shutil.copytree(folder / "checkpoint-4", folder / f"checkpoint-{step}")
        state = folder / f"checkpoint-{step}" / "trainer_state.json"
        state.unlink() if text is None else state.write_text(text)
    trainer, first_steps = make(max_steps=5), []
    trainer.add_callback(_FirstStep(first_steps))
    with pytest.warns(UserWarning, match="is incomplete: its writer was stopped") as caught:
        trainer.train(resume_from_checkpoint=True)
    assert [name in str(warning.message) for warning, name in zip(caught, ("-12", "-10"), strict=False)] == [True] * 2
    assert (trainer.state.global_step, first_steps) == (5, [4])
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="No valid checkpoint found in output directory"):
        folder.mkdir() or make().train(resume_from_checkpoint=True)


def test_states_of_callbacks_are_restored_as_well(tmp_path: Path) -> None:
    for number in range(3):
        run = Run(
            setup=attrs.evolve(SETUP, max_steps=9),
            folder=str(tmp_path),
            name=str(number),
            is_resumed=number > 0,
            ends_at=None if number == 2 else 2 + 2 * number,
        )
        trainer = trainer_of(run, restore_callback_states_from_checkpoint=True)
        try:
            trainer.train(resume_from_checkpoint=run.is_resumed)
        except StoppedError:
            assert number < 2
    expected = training_loader(SETUP)
    ids = [batch["input_ids"].tolist() for batch, _ in zip(expected, range(9), strict=False)]
    assert [ids_of for number in range(3) for _, ids_of in seen_by(attrs.evolve(run, name=str(number)), 0)][:8] == ids[
        :8
    ]
    assert len(seen_by(run, 0)) == 5


class StopsEpoch(TrainerCallback):
    """Ends each epoch after three steps."""

    def on_step_end(self, args, state, control, **objects) -> None:
        control.should_epoch_stop = state.global_step % 3 == 0


def test_an_epoch_that_a_callback_ends_loses_no_batch(tmp_path: Path) -> None:
    run = Run(setup=attrs.evolve(SETUP, max_steps=9), folder=str(tmp_path), name="run")
    trainer = trainer_of(run)
    trainer.add_callback(StopsEpoch)
    trainer.train()
    batches = training_loader(SETUP)
    ids = [batch["input_ids"].tolist() for _ in range(2) for batch in batches]
    assert [seen for _, seen in seen_by(run, 0)] == ids[: len(seen_by(run, 0))]


def test_an_order_without_end_and_without_pauses_is_one_epoch(make) -> None:
    trainer = make(loader(training_loader(SETUP).pipeline))
    assert trainer.train().global_step == 4
    resumed = make(loader(training_loader(SETUP).pipeline), max_steps=6)
    newest = Path(trainer.args.output_dir, "checkpoint-4")
    assert resumed.train(resume_from_checkpoint=newest).global_step == 6
    assert resumed._batches.consumed_samples == 30


def test_it_extends_other_trainers(make) -> None:
    class Other(Trainer):
        def training_step(self, *rest):
            self.is_used = True
            return super().training_step(*rest)

    class Mine(PipelineTrainer, Other):
        pass

    trainer = make(kind=Mine, max_steps=1)
    assert trainer.train().global_step == 1
    assert trainer.is_used


def test_a_new_training_begins_at_the_position_of_the_loader(tmp_path: Path) -> None:
    batches = training_loader(SETUP)
    next(iter(batches))
    run = Run(setup=SETUP, folder=str(tmp_path), name="run")
    trainer = trainer_of(run)
    trainer.train_dataset = batches
    for number in range(1, 3):
        trainer.train()
        rows = [row[0] - 2 for _, ids in seen_by(run, 0) for row in ids]
        assert rows == [batches.pipeline.order.index_at(position).idx for position in range(5, 25)] * number
        checkpoint = read_checkpoint(tmp_path / "checkpoints" / "checkpoint-4")
        assert (checkpoint.global_step, checkpoint.data["consumed_samples"]) == (4, 25)


def test_an_uneven_last_batch_is_a_step_of_its_own(tmp_path: Path) -> None:
    order = EpochOrder(length=40, seed=1, num_samples=12)
    pipeline = Pipeline(order=order, sources=ROWS, batch_size=5, seed=1, collate=PADDING)
    run = Run(setup=attrs.evolve(SETUP, max_steps=2, accumulated=2), folder=str(tmp_path), name="run")
    trainer = WatchedTrainer(
        model_of(run.setup), arguments_of(run.setup, str(tmp_path), 1), train_dataset=loader(pipeline)
    )
    trainer.seen = trainer_of(run).seen
    trainer.train()
    assert [(step, len(ids)) for step, ids in seen_by(run, 0)] == [(0, 5), (0, 5), (1, 2)]
    assert torch.isfinite(torch.cat([weight.flatten() for weight in trainer.model.parameters()])).all()
    train(attrs.evolve(run, name="whole"))


@pytest.mark.parametrize("library", ["accelerate", "transformers"])
def test_an_absent_library_is_named_with_its_extra(library: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{library} must be installed: pip install 'bionemo-core\[huggingf"):
        huggingface.PipelineTrainer  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        huggingface.Trainer  # noqa: B018
