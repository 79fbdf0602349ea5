"""Loaders for training loops with accelerate: ranks, ends of passes, states, and what is refused."""

import json
from pathlib import Path

import accelerate
import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from accelerate.state import AcceleratorState, GradientState

from bionemo.adapters.huggingface import AcceleratedLoader, accelerate_loader
from bionemo.data import EpochOrder, Pipeline, index_at
from bionemo.data.pipes import batch_sampler, loader
from tests.torchrun import run_on_ranks

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of the other library

ORDER = EpochOrder(length=40, seed=1)
PIPELINE = Pipeline(order=ORDER, sources=torch.arange(40), batch_size=5, seed=1)
IDS = index_at(ORDER, range(80)).idx.tolist()


@pytest.fixture(autouse=True)
def new_process() -> None:
    """Forget what accelerate keeps of a process."""
    AcceleratorState._reset_state()
    GradientState._reset_state()


def accelerator_of(**options) -> Accelerator:
    return Accelerator(cpu=True, **options)


def ids_of(batches) -> list[int]:
    return [int(value) for batch in batches for value in batch]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    run_on_ranks(str(Path(__file__).with_name("accelerate_ranks_run.py")), folder, ranks=2, timeout=120)
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_read_the_parts_of_each_batch(two_ranks) -> None:
    for step in range(10):
        whole = IDS[step * 5 : step * 5 + 5]
        assert [seen["ids"][step] for seen in two_ranks] == [whole[:2], whole[2:]]
        assert [seen["gathered"][step] for seen in two_ranks] == [whole, whole]
    assert [seen["resumed"] for seen in two_ranks] == [IDS[10:12], IDS[12:15]]


def test_two_processes_apply_gradients_at_the_end_of_a_pass(two_ranks) -> None:
    for seen in two_ranks:
        assert seen["synced"] == [False, True, False, True, True] * 2


def test_processes_that_share_a_model_have_one_rank(two_ranks) -> None:
    sharing = [seen["sharing"] for seen in two_ranks]
    assert [one["tp_size"] for one in sharing] == [one["cp_size"] for one in sharing] == [[0, 1], [0, 1]]
    assert [one["dp_shard_size"] for one in sharing] == [[0, 2], [1, 2]]


def test_two_processes_must_count_the_batch_size_together(two_ranks) -> None:
    for seen in two_ranks:
        assert "split_batches must be True, got split_batches=False and 2 processes" in seen["refused"]
        assert "accelerator must not deal batches itself, got sp_size=2" in seen["refused_sp"]
        assert (
            "must not be dealt to processes again, got rank=0 and world_size=1 in one of 2 processes"
            in seen["refused_to_deal"]
        )


def test_accelerate_itself_does_not_see_the_end_of_a_pass_of_another_iterable() -> None:
    accelerator = accelerator_of(gradient_accumulation_steps=2)
    for batches, synced in (
        (loader(PIPELINE, batches_per_epoch=5), [False, True] * 5),
        (accelerate_loader(loader(PIPELINE, batches_per_epoch=5), accelerator), [False, True, False, True, True] * 2),
    ):
        seen, accelerator.step = [], 0
        for _ in range(2):
            for _ in accelerator.prepare(batches):
                with accelerator.accumulate():
                    seen.append(accelerator.sync_gradients)
        assert seen == synced


def test_loops_may_be_nested_and_left() -> None:
    accelerator = accelerator_of()
    state = accelerator.gradient_state
    training = accelerate_loader(loader(PIPELINE, batches_per_epoch=3), accelerator)
    finite = Pipeline(order=EpochOrder(length=7, seed=1, num_samples=7), sources=torch.arange(7), batch_size=5, seed=1)
    evaluation = accelerate_loader(loader(finite, restart=True), accelerator)
    for number, _ in enumerate(training):
        assert (state.active_dataloader, state.end_of_dataloader) == (training, number == 2)
        ends = [state.end_of_dataloader for _ in evaluation if state.active_dataloader is evaluation]
        assert ends == [False, True]
        assert len(ids_of(evaluation)) == 7
    assert not state.in_dataloader
    first = iter(training)
    next(first)
    for _ in training:  # a newer iteration
        first.close()
        assert state.active_dataloader is training
        break
    assert not state.in_dataloader


def test_the_position_is_in_the_saved_state_except_that_of_an_evaluation(tmp_path: Path) -> None:
    def make():
        accelerator = accelerator_of()
        evaluation = accelerate_loader(loader(PIPELINE, batches_per_epoch=2, restart=True), accelerator)
        return accelerator, accelerate_loader(loader(PIPELINE, batches_per_epoch=3, start=5), accelerator), evaluation

    accelerator, batches, evaluation = make()
    assert isinstance(batches, AcceleratedLoader)
    assert ids_of(batches) == IDS[5:15], "an iteration ends at a multiple of three batches"
    accelerator.save_state(tmp_path)
    assert len(list(tmp_path.glob("custom_checkpoint_*"))) == 1
    accelerator, batches, evaluation = make()
    ids_of(evaluation)
    accelerator.load_state(tmp_path)
    assert ids_of(batches) == IDS[15:30]
    assert ids_of(evaluation) == IDS[:10]


def test_a_state_is_not_saved_between_accumulated_batches(tmp_path: Path) -> None:
    accelerator = accelerator_of(gradient_accumulation_steps=3)
    batches = accelerate_loader(loader(PIPELINE, batches_per_epoch=5), accelerator)
    refused = []
    for number, _ in enumerate(batches):
        with accelerator.accumulate():
            pass
        try:
            accelerator.save_state(tmp_path / str(number))
        except RuntimeError as error:
            refused.append((number, str(error)))
    message = (
        "a state must be saved when accumulated gradients have been applied, got sync_gradients=False with "
        "gradient_accumulation_steps=3. Call save_state only if accelerator.sync_gradients."
    )
    assert refused == [(number, message) for number in (0, 1, 3)]
    other = accelerator_of(gradient_accumulation_steps=2)
    resumed = accelerate_loader(loader(PIPELINE, batches_per_epoch=5), other)
    with other.accumulate():
        assert not other.sync_gradients
    other.load_state(tmp_path / "2")
    other.save_state(tmp_path / "again")
    with other.accumulate():
        assert not other.sync_gradients, "accumulation begins anew"
    assert ids_of(resumed) == IDS[15:25]


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    accelerator = accelerator_of()
    accelerate_loader(loader(PIPELINE), accelerator)
    accelerator.save_state(tmp_path / "ours")
    accelerator_of().save_state(tmp_path / "other")
    for order, folder, message in (
        (EpochOrder(length=40, seed=2), "ours", "state must be of the same order, but differs in order.seed"),
        (ORDER, "other", "Number of custom checkpoints in folder .* does not match"),
    ):
        accelerator = accelerator_of()
        pipeline = Pipeline(order=order, sources=torch.arange(40), batch_size=5, seed=1)
        accelerate_loader(loader(pipeline), accelerator)
        with pytest.raises((ValueError, RuntimeError), match=message):
            accelerator.load_state(tmp_path / folder)


@pytest.mark.usefixtures("no_type_checks")
def test_what_is_no_loader_of_one_process_is_refused() -> None:
    for batches, message in (
        (PIPELINE, r"batches must be a loader, got batches=Pipeline.* Pass bionemo.data.pipes.loader\(pipeline\)"),
        (batch_sampler(PIPELINE), "batches must be a loader"),
        (loader(PIPELINE, 1, 2), "batches must have world_size=1, got rank=1 and world_size=2"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            accelerate_loader(batches, accelerator_of())
    with pytest.raises(TypeError, match=r"accelerator must be an accelerate.Accelerator, got accelerator=3"):
        accelerate_loader(loader(PIPELINE), 3)
    config = DataLoaderConfiguration(dispatch_batches=True)
    with pytest.raises(ValueError, match="dispatch_batches must be False, got dispatch_batches=True"):
        accelerate_loader(loader(PIPELINE), accelerator_of(dataloader_config=config))


@pytest.mark.parametrize("kind", ["DEEPSPEED", "MEGATRON_LM", "XLA"])
def test_ways_to_train_that_deal_batches_are_refused(kind: str, monkeypatch) -> None:
    accelerator = accelerator_of()
    monkeypatch.setattr(type(accelerator), "distributed_type", accelerate.DistributedType(kind))
    with pytest.raises(ValueError, match=f"accelerator must not deal batches itself, got {kind}. Train by DDP or FSDP"):
        accelerate_loader(loader(PIPELINE), accelerator)


def test_skipping_batches_is_refused() -> None:
    batches = accelerate_loader(loader(PIPELINE), accelerator_of())
    with pytest.raises(AttributeError, match="has no dataset to skip batches in. Restore its position"):
        skip_first_batches(batches, 3)
