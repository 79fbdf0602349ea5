"""The step that schedules call, in one process."""

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
    cut_micro_batches,
    forward_step,
    mean_reports,
    micro_batches,
    model_parallel,
)
from bionemo.core.model.config import build_model
from bionemo.core.model.loss import LossSum, TokenCrossEntropy, mean_loss
from bionemo.core.utils.random_utils import make_generator, random_torch_context
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
    """Answers with what dropout leaves."""

    def forward(self, batch: dict) -> torch.Tensor:
        return nn.functional.dropout(torch.ones(2, 3, 4))


def test_the_loss_is_the_triple_that_schedules_take() -> None:
    output, loss_func = STEP(iter([MicroBatch(LABELLED, 0, 0)]), logits)
    assert output is LABELLED["x"]
    loss_sum, num_tokens, report = loss_func(output)
    expected = TokenCrossEntropy().forward(LABELLED, output)
    assert (loss_sum, num_tokens) == expected[:2]
    assert report == {"loss": pytest.approx([float(loss_sum), 3.0])}
    assert not report["loss"].requires_grad
    assert report["loss"].dtype == torch.float64


def test_metrics_are_reported_as_the_loss_is() -> None:
    step = partial(forward_step, loss=TokenCrossEntropy(validation_step=True), seed=7)
    output, loss_func = step(iter([MicroBatch(LABELLED, 0, 0)]), logits)
    report = loss_func(output)[2]
    assert report["accuracy"].tolist() == [0.0, 3.0]
    means = mean_reports([report, {"accuracy": torch.tensor([2.0, 1.0]), "loss": torch.tensor([1.0, 1.0])}])
    assert means["accuracy"] == 0.5
    assert means["loss"] == pytest.approx((float(report["loss"][0]) + 1) / 4)


def test_means_without_tokens_or_reports() -> None:
    assert mean_reports([{"loss": torch.tensor([0.0, 0.0])}]) == {"loss": 0}
    assert mean_reports([]) == {}


def test_dropout_is_a_function_of_step_and_rank() -> None:
    state = torch.get_rng_state()

    def draw(step: int, rank: int, seed: int = 7) -> torch.Tensor:
        return forward_step(iter([MicroBatch({}, step, rank)]), Noisy(), loss=None, seed=seed)[0]

    drawn = [draw(0, 0), draw(1, 0), draw(0, 1), draw(0, 0, seed=8)]
    assert torch.equal(draw(0, 0), drawn[0])
    assert not any(torch.equal(one, other) for place, one in enumerate(drawn) for other in drawn[:place])
    with random_torch_context(make_generator(7, "step", 1, 0)):  # what a plain loop and Lightning do
        assert torch.equal(Noisy()({}), drawn[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_steps_are_counted_by_position_also_off_the_grid() -> None:
    batches = loader(letters(), start=6, batches_per_epoch=3)
    assert list(micro_batches(batches)) == [("gh", 1, 0), ("ijkl", 2, 0)]
    assert batches.state_dict()["consumed_samples"] == 12
    assert next(micro_batches(batches)) == ("abcd", 3, 0)
    assert list(micro_batches(loader(letters(), 1, 2, start=4, batches_per_epoch=3))) == [("gh", 1, 1), ("kl", 2, 1)]


def test_behind_the_last_batch_the_step_says_so() -> None:
    pipeline = Pipeline(order=EpochOrder(length=2, seed=1, num_samples=2), sources="ab", batch_size=2, seed=2)
    batches = micro_batches(loader(pipeline))
    assert STEP(batches, len)[0] == 2
    with pytest.raises(RuntimeError, match="must hold as many as a step has micro-batches, but are at their end"):
        STEP(batches, len)


def test_other_loaders_are_refused() -> None:
    with pytest.raises(TypeError, match="must be a loader of bionemo.data.pipes, got one of type list"):
        micro_batches([1, 2])
    with pytest.raises(TypeError, match=r"must be those of micro_batches\(loader\), got a str"):
        STEP(iter(loader(letters())), len)


def test_a_metric_is_not_called_as_the_loss_is() -> None:
    class Named:
        def forward(self, batch: dict, output: torch.Tensor) -> LossSum:
            return LossSum(output.sum(), torch.tensor(1), {"loss": torch.tensor(1.0)})

    output, loss_func = forward_step(iter([MicroBatch(LABELLED, 0, 0)]), logits, loss=Named(), seed=7)
    with pytest.raises(ValueError, match='metrics must not be called "loss"'):
        loss_func(output)


def test_later_stages_draw_for_themselves(monkeypatch) -> None:
    drawn = []
    for stage in range(3):
        monkeypatch.setattr("bionemo.adapters.megatron.training.pipeline_stage", lambda stage=stage: stage)
        drawn.append(forward_step(iter([MicroBatch({}, 0, 0)]), Noisy(), loss=None, seed=7)[0])
    assert not any(torch.equal(drawn[one], drawn[other]) for one in range(3) for other in range(one))


def test_steps_that_are_not_whole_are_refused() -> None:
    order = EpochOrder(length=12, seed=1, num_samples=9)
    pipeline = Pipeline(order=order, sources="abcdefghijkl", batch_size=8, seed=2)
    with pytest.raises(ValueError, match='all steps must be whole, got 9 samples in steps of 8. .* tail="drop"'):
        cut_micro_batches(pipeline, 2)
    assert cut_micro_batches(attrs.evolve(pipeline, tail="drop"), 2).batch_size == 4


class Pair(NamedTuple):
    ids: torch.Tensor
    names: list[str]


def test_batches_go_to_a_device() -> None:
    row = {"ids": torch.ones(2), "parts": [Pair(torch.zeros(1), ["a"]), (torch.ones(1), 3)]}
    pipeline = Pipeline(order=EpochOrder(length=1, seed=1), sources=[row], batch_size=1, seed=2)
    batch = next(micro_batches(loader(pipeline), device="meta")).batch[0]
    assert batch["ids"].device.type == "meta"
    assert isinstance(batch["parts"][0], Pair)
    assert batch["parts"][0].ids.device.type == "meta"
    assert batch["parts"][0].names == ["a"]
    assert batch["parts"][1][0].device.type == "meta"
    assert batch["parts"][1][1] == 3
    assert row["ids"].device.type == "cpu"


def test_the_state_of_micro_batches_is_that_of_batches() -> None:
    whole, cut = loader(letters()), loader(cut_micro_batches(letters(), 2))
    first = iter(cut)
    assert [next(first), next(first)] == ["ab", "cd"]
    whole.load_state_dict(cut.state_dict())
    assert next(iter(whole)) == "efgh"
    cut.load_state_dict(whole.state_dict())
    assert next(iter(cut)) == "ij"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (3, "batch_size must be a multiple of num_micro_batches, got batch_size=4 and num_micro_batches=3"),
        (0, "num_micro_batches must be in 1.*, got num_micro_batches=0"),
        (-1, "num_micro_batches must be in 1.*, got num_micro_batches=-1"),
    ],
)
def test_batches_that_cannot_be_cut_are_refused(number: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut_micro_batches(letters(), number)


class Losses(Callback):
    """Notes the loss of each step."""

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


def test_one_record_has_the_same_loss_in_a_plain_loop_under_lightning_and_by_megatrons_schedule(
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


def test_a_loss_of_ones_own_will_do() -> None:
    class Squares:
        def forward(self, batch: torch.Tensor, output: torch.Tensor) -> LossSum:
            return LossSum(output.square().sum(), torch.tensor(batch.numel()))

    step = partial(forward_step, loss=Squares(), seed=7)
    output, loss_func = step(iter([MicroBatch(torch.full((3,), 2.0), 0, 0)]), torch.neg)
    assert loss_func(output)[:2] == (12.0, 3)
