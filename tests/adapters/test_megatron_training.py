"""Micro-batches and the forward step that schedules call, in one process."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from bionemo.adapters.lightning import PipelineDataModule, TrainableModule
from bionemo.adapters.megatron import (
    MicroBatch,
    forward_step,
    iter_micro_batches,
    mean_reports,
    model_parallel,
    split_into_micro_batches,
)
from bionemo.core.model.config import build_model
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.model.loss import LossSum, mean_loss
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import EpochOrder, Pipeline, batch_at
from bionemo.data.pipes import loader
from tests.adapters.megatron_on_cpu import megatron_on_cpu
from tests.adapters.megatron_training import make_config, make_pipeline, train
from tests.adapters.trainers import make_trainer

STEP = partial(forward_step, loss=TokenCrossEntropy(), seed=7)
LABELLED = {"x": torch.zeros(2, 3, 4), "labels": torch.tensor([[1, 2, -100], [3, -100, -100]])}


def letters(batch_size: int = 4, **fields) -> Pipeline:
    order = EpochOrder(length=12, seed=1, shuffle=False)
    return Pipeline(order=order, sources="abcdefghijkl", batch_size=batch_size, seed=2, collate="".join, **fields)


def logits(batch: dict) -> torch.Tensor:
    return batch["x"]


class Noisy(nn.Module):
    """Returns ones after dropout."""

    def forward(self, batch: dict) -> torch.Tensor:
        return nn.functional.dropout(torch.ones(2, 3, 4))


def test_the_loss_function_returns_the_triple_that_schedules_take() -> None:
    output, loss_func = STEP(iter([MicroBatch(LABELLED, 0, 0)]), logits)
    assert output is LABELLED["x"]
    loss_sum, num_tokens, report = loss_func(output)
    expected = TokenCrossEntropy().forward(LABELLED, output)
    assert (loss_sum, num_tokens) == expected[:2]
    assert report == {"loss": pytest.approx([float(loss_sum), 3.0])}
    assert not report["loss"].requires_grad
    assert report["loss"].dtype == torch.float64


def test_metrics_are_reported_like_the_loss() -> None:
    step = partial(forward_step, loss=TokenCrossEntropy(validation_step=True), seed=7)
    output, loss_func = step(iter([MicroBatch(LABELLED, 0, 0)]), logits)
    report = loss_func(output)[2]
    assert report["accuracy"].tolist() == [0.0, 3.0]
    means = mean_reports([report, {"accuracy": torch.tensor([2.0, 1.0]), "loss": torch.tensor([1.0, 1.0])}])
    assert means["accuracy"] == 0.5
    assert means["loss"] == pytest.approx((float(report["loss"][0]) + 1) / 4)


def test_means_without_tokens_are_zero_and_without_reports_empty() -> None:
    assert mean_reports([{"loss": torch.tensor([0.0, 0.0])}]) == {"loss": 0}
    assert mean_reports([]) == {}


def test_dropout_is_a_function_of_step_and_rank() -> None:
    state = torch.get_rng_state()

    def draw(step: int, rank: int, seed: int = 7) -> torch.Tensor:
        return forward_step(iter([MicroBatch({}, step, rank)]), Noisy(), loss=None, seed=seed)[0]

    drawn = [draw(0, 0), draw(1, 0), draw(0, 1), draw(0, 0, seed=8)]
    assert torch.equal(draw(0, 0), drawn[0])
    assert not any(torch.equal(one, other) for index, one in enumerate(drawn) for other in drawn[:index])
    with random_torch_context(make_generator(7, "step", 1, 0)):  # as a plain loop and Lightning do
        assert torch.equal(Noisy()({}), drawn[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_steps_are_computed_from_positions_also_from_the_middle_of_a_batch() -> None:
    batches = loader(letters(), start=6, batches_per_epoch=3)
    assert list(iter_micro_batches(batches)) == [("gh", 1, 0), ("ijkl", 2, 0)]
    assert batches.state_dict()["consumed_samples"] == 12
    assert next(iter_micro_batches(batches)) == ("abcd", 3, 0)
    assert list(iter_micro_batches(loader(letters(), 1, 2, start=4, batches_per_epoch=3))) == [
        ("gh", 1, 1),
        ("kl", 2, 1),
    ]


def test_a_step_after_the_last_batch_raises() -> None:
    pipeline = Pipeline(order=EpochOrder(length=2, seed=1, num_samples=2), sources="ab", batch_size=2, seed=2)
    batches = iter_micro_batches(loader(pipeline))
    assert STEP(batches, len)[0] == 2
    with pytest.raises(RuntimeError, match="batches must hold all micro-batches of a step, but ended before"):
        STEP(batches, len)


def test_other_loaders_are_refused() -> None:
    with pytest.raises(TypeError, match="loader must be a loader of bionemo.data.pipes, got an object of type list"):
        iter_micro_batches([1, 2])
    with pytest.raises(TypeError, match=r"must be those of iter_micro_batches\(loader\), got one of type str"):
        STEP(iter(loader(letters())), len)


def test_a_metric_must_not_be_named_loss() -> None:
    class Named:
        def forward(self, batch: dict, output: torch.Tensor) -> LossSum:
            return LossSum(output.sum(), torch.tensor(1), {"loss": torch.tensor(1.0)})

    output, loss_func = forward_step(iter([MicroBatch(LABELLED, 0, 0)]), logits, loss=Named(), seed=7)
    with pytest.raises(ValueError, match='metrics must not be named "loss"'):
        loss_func(output)


def test_weights_of_tokens_must_be_integers_for_megatron() -> None:
    batch = LABELLED | {"loss_weights": torch.ones(LABELLED["labels"].shape)}
    step = partial(forward_step, loss=TokenCrossEntropy(), seed=7)
    output, loss_func = step(iter([MicroBatch(batch, 0, 0)]), logits)
    with pytest.raises(TypeError, match="weights must be integers for megatron-core, got torch.float32: 10 and 1"):
        loss_func(output)
    output, loss_func = step(
        iter([MicroBatch(batch | {"loss_weights": 3 * torch.ones_like(batch["labels"])}, 0, 0)]), logits
    )
    assert loss_func(output)[1] == 3 * (LABELLED["labels"] != -100).sum()


def test_stages_draw_different_dropout(monkeypatch) -> None:
    drawn = []
    for stage in range(3):
        monkeypatch.setattr("bionemo.adapters.megatron.training.pipeline_stage", lambda stage=stage: stage)
        drawn.append(forward_step(iter([MicroBatch({}, 0, 0)]), Noisy(), loss=None, seed=7)[0])
    assert not any(torch.equal(drawn[one], drawn[other]) for one in range(3) for other in range(one))


def test_short_steps_are_refused() -> None:
    order = EpochOrder(length=12, seed=1, num_samples=9)
    pipeline = Pipeline(order=order, sources="abcdefghijkl", batch_size=8, seed=2)
    with pytest.raises(ValueError, match="all steps must be full, got 9 samples in steps of 8. .* drop_last=True"):
        split_into_micro_batches(pipeline, 2)
    assert split_into_micro_batches(attrs.evolve(pipeline, drop_last=True), 2).batch_size == 4


class Pair(NamedTuple):
    ids: torch.Tensor
    names: list[str]


def test_batches_are_moved_to_a_device() -> None:
    row = {"ids": torch.ones(2), "parts": [Pair(torch.zeros(1), ["a"]), (torch.ones(1), 3)]}
    pipeline = Pipeline(order=EpochOrder(length=1, seed=1), sources=[row], batch_size=1, seed=2)
    batch = next(iter_micro_batches(loader(pipeline), device="meta")).batch[0]
    assert batch["ids"].device.type == "meta"
    assert isinstance(batch["parts"][0], Pair)
    assert batch["parts"][0].ids.device.type == "meta"
    assert batch["parts"][0].names == ["a"]
    assert batch["parts"][1][0].device.type == "meta"
    assert batch["parts"][1][1] == 3
    assert row["ids"].device.type == "cpu"


def test_loader_state_is_the_same_for_any_number_of_micro_batches() -> None:
    whole, split = loader(letters()), loader(split_into_micro_batches(letters(), 2))
    first = iter(split)
    assert [next(first), next(first)] == ["ab", "cd"]
    whole.load_state_dict(split.state_dict())
    assert next(iter(whole)) == "efgh"
    split.load_state_dict(whole.state_dict())
    assert next(iter(split)) == "ij"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (3, "batch_size must be a multiple of num_micro_batches, got batch_size=4 and num_micro_batches=3"),
        (0, "num_micro_batches must be in 1.*, got num_micro_batches=0"),
        (-1, "num_micro_batches must be in 1.*, got num_micro_batches=-1"),
    ],
)
def test_batches_that_cannot_be_split_are_refused(number: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_into_micro_batches(letters(), number)


@pytest.mark.filterwarnings("ignore:a step of 2 samples leaves ranks of 3 without any:UserWarning")  # of the loader
def test_micro_batches_of_fewer_samples_than_ranks_are_refused() -> None:
    message = (
        "each micro-batch must have a sample for every rank, got micro-batches of 2 samples and 3 data-parallel ranks. "
        "Split a batch into fewer micro-batches, or raise batch_size"
    )
    assert split_into_micro_batches(letters(6), 2, world_size=3).batch_size == 3
    with pytest.raises(ValueError, match=message):
        split_into_micro_batches(letters(6), 3, world_size=3)
    split = split_into_micro_batches(letters(6), 3)  # without process groups nothing is known of other ranks
    for rank in range(3):
        with pytest.raises(ValueError, match=message):
            iter_micro_batches(loader(split, rank, 3))
    with pytest.raises(ValueError, match="world_size must be in 1.*, got world_size=0"):
        split_into_micro_batches(letters(6), 3, world_size=0)


def test_the_number_of_ranks_is_that_of_the_process_groups(monkeypatch) -> None:
    with model_parallel():
        assert split_into_micro_batches(letters(4), 4).batch_size == 1
        from megatron.core import parallel_state

        monkeypatch.setattr(parallel_state, "get_data_parallel_world_size", lambda: 2)
        with pytest.raises(ValueError, match="micro-batches of 1 samples and 2 data-parallel ranks"):
            split_into_micro_batches(letters(4), 4)


class Losses(Callback):
    """Records the loss of each step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_batch_end(self, trainer, *args) -> None:
        self.found.append(float(trainer.callback_metrics["train_loss"]))


def by_a_plain_loop(steps: int, dropout: float = 0.1) -> list[float]:
    config = make_config(dropout=dropout)
    model = build_model(config, generator=make_generator(1))
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=0.01), []
    for step in range(steps):
        batch = batch_at(make_pipeline(), step)
        with random_torch_context(make_generator(7, "step", step, 0)):
            loss = mean_loss([TokenCrossEntropy().forward(batch, model(batch))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_one_configuration_has_the_same_loss_in_a_plain_loop_under_lightning_and_in_megatrons_schedule(
    tmp_path: Path,
) -> None:
    config = make_config()
    with model_parallel():
        plain = by_a_plain_loop(10)
        module = TrainableModule(
            config, optimizer=partial(torch.optim.AdamW, lr=0.01), generator=make_generator(1), seed=7
        )
        recorder = Losses()
        trainer = make_trainer(tmp_path, recorder, max_steps=10, limit_val_batches=0)
        trainer.fit(module, PipelineDataModule(train=make_pipeline(), batches_per_epoch=10))
    with megatron_on_cpu():
        scheduled = train(num_micro_batches=1, steps=10)["losses"]
    assert len(plain) == 10
    assert recorder.found == plain
    assert scheduled == pytest.approx(plain, abs=1e-5)


def test_a_custom_loss_can_be_used() -> None:
    class Squares:
        def forward(self, batch: torch.Tensor, output: torch.Tensor) -> LossSum:
            return LossSum(output.square().sum(), torch.tensor(batch.numel()))

    step = partial(forward_step, loss=Squares(), seed=7)
    output, loss_func = step(iter([MicroBatch(torch.full((3,), 2.0), 0, 0)]), torch.neg)
    assert loss_func(output)[:2] == (12.0, 3)
