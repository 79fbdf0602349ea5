"""Tests of TrainableModule: its metrics, its random numbers, its learning rate, and arguments that it refuses."""

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from bionemo.adapters.lightning import PipelineDataModule, TrainableModule
from bionemo.adapters.lightning.epoch_loader import EvaluationLoader, metric_suffixes
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data.pipes import loader
from tests.adapters.trainers import ROWS, TRAIN, VALIDATION, Tiny, TinyConfig, make_module, make_trainer, run


class WithAttributes(LightningDataModule):
    """A data module of the user, whose attributes `validation` and `test` mean something else than ours."""

    def __init__(self, attribute: Any, *, num_loaders: int = 1) -> None:
        super().__init__()
        self.validation = self.test = attribute
        self.num_loaders = num_loaders

    def train_dataloader(self):
        return loader(TRAIN, batches_per_epoch=3)

    def val_dataloader(self):
        return [loader(VALIDATION, restart=True) for _ in range(self.num_loaders)]

    test_dataloader = val_dataloader


@pytest.mark.parametrize(
    "attribute",
    [["fold_a.fasta"], "data/fold.fasta", 0.1, VALIDATION, {"mouse": 1, "man": 2}, None, Path("a"), [], np.arange(3)],
    ids=lambda attribute: type(attribute).__name__,
)
def test_the_attributes_of_another_data_module_are_not_names(tmp_path: Path, attribute: Any) -> None:
    module, data = make_module(), WithAttributes(attribute)
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.fit(module, data)
    assert {"train_loss", "val_loss", "val_accuracy"} == set(trainer.callback_metrics)
    (tested,) = trainer.test(module, data, verbose=False)
    assert set(tested) == {"test_loss", "test_accuracy"}


def test_several_loaders_without_names_are_numbered(tmp_path: Path) -> None:
    (first, *_), expected = (
        make_trainer(tmp_path).validate(make_module(), WithAttributes(["a"], num_loaders=number), verbose=False)
        for number in (2, 1)
    )
    assert set(first) == {f"val_{metric}/dataloader_idx_{idx}" for metric in ("loss", "accuracy") for idx in range(2)}
    assert first["val_loss/dataloader_idx_1"] == first["val_loss/dataloader_idx_0"] == expected[0]["val_loss"]


def test_names_are_those_of_the_evaluation_that_runs(tmp_path: Path) -> None:
    module, trainer = make_module(), make_trainer(tmp_path, max_steps=2)
    data = PipelineDataModule(
        train=TRAIN, validation={"mouse": VALIDATION, "": VALIDATION}, test=VALIDATION, batches_per_epoch=5
    )
    trainer.fit(module, data)
    (found,) = trainer.validate(module, [loader(VALIDATION, restart=True)], verbose=False)
    assert set(found) == {"val_loss", "val_accuracy"}
    found = trainer.validate(module, data, verbose=False)
    assert set().union(*found) == {"val_loss_mouse", "val_accuracy_mouse", "val_loss", "val_accuracy"}
    (found,) = trainer.test(module, data, verbose=False)
    assert set(found) == {"test_loss", "test_accuracy"}


def test_suffixes_are_names_or_numbers() -> None:
    named = [EvaluationLoader(VALIDATION, restart=True, name=name) for name in ("one", "", "1")]
    assert metric_suffixes(named) == ["_one", "", "_1"]
    assert metric_suffixes([*named[:2], [3]]) == ["_one", "", "/dataloader_idx_2"]
    assert metric_suffixes([[3]]) == [""]


@attrs.frozen
class Accurate(TokenCrossEntropy):
    """A loss that gives its metric in training, too."""

    validation_step: bool = True


class AccurateConfig(TinyConfig):
    def get_loss_reduction_class(self) -> type[Accurate]:
        return Accurate


def module_of(config: Any = AccurateConfig(0.0), **options: Any) -> TrainableModule:  # noqa: B008 - a frozen record
    given = {"optimizer": partial(torch.optim.SGD, lr=0.5), "generator": make_generator(3), "seed": 4}
    return TrainableModule(config, **given | options)


def test_metrics_that_a_loss_gives_in_training_are_logged(tmp_path: Path) -> None:
    expected, found = [], []

    class Compare(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            labeled = batch["labels"] != -100
            right = (pl_module.model(batch).argmax(-1) == batch["labels"]) & labeled
            expected.append(float(right.sum() / labeled.sum()))

        def on_train_batch_end(self, trainer, *args) -> None:
            found.append(float(trainer.callback_metrics["train_accuracy"]))

    trainer = make_trainer(tmp_path, Compare(), max_steps=6, limit_val_batches=0)
    trainer.fit(module_of(), PipelineDataModule(train=TRAIN, batches_per_epoch=3))
    assert found == pytest.approx(expected)
    assert len(set(found)) > 1
    assert set(trainer.callback_metrics) == {"train_loss", "train_accuracy"}


def test_the_learning_rate_follows_the_steps_not_the_epochs(tmp_path: Path) -> None:
    rates = []

    class Look(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    run(tmp_path / "plain", steps=7, callbacks=[Look()])  # StepLR(step_size=3), in epochs of 5 steps
    assert rates == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4])
    rates.clear()
    run(tmp_path / "accumulated", steps=4, callbacks=[Look()], accumulate_grad_batches=2)
    assert rates == pytest.approx([1e-2] * 3 + [1e-3])


def draws(folder: Path, rank: int) -> list[torch.Tensor]:
    """Return the random numbers that the model draws in each step on a rank."""
    seen = []

    class Draw(Tiny):
        def forward(self, batch):
            if self.training:
                seen.append(torch.rand(3))
            return super().forward(batch)

    class DrawConfig(TinyConfig):
        def configure_model(self) -> Draw:
            return Draw(0.5)

    class OnRank(TrainableModule):
        global_rank = rank

    module = OnRank(DrawConfig(), optimizer=torch.optim.SGD, generator=make_generator(3), seed=4)
    trainer = make_trainer(folder, max_steps=3, limit_val_batches=0)
    trainer.fit(module, PipelineDataModule(train=TRAIN, batches_per_epoch=2))
    return seen


def test_each_rank_and_each_step_draws_other_numbers(tmp_path: Path) -> None:
    found = [draws(tmp_path / str(rank), rank) for rank in range(2)]
    assert len({tuple(numbers.tolist()) for rank in found for numbers in rank}) == 6
    for rank, numbers in enumerate(found):
        for step, number in enumerate(numbers):
            with random_torch_context(make_generator(4, "step", step, rank)):
                assert torch.equal(number, torch.rand(3))


def config_with(*, loss: Any = TokenCrossEntropy, model: Any = None) -> TinyConfig:
    class Config(TinyConfig):
        def get_loss_reduction_class(self):
            return loss

        def configure_model(self):
            return Tiny(0.5) if model is None else model

    return Config()


OPTIMIZER = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Tiny(0.5), "config must be the record of a model, got an object of type Tiny. Pass an instance of a Bionemo"),
        (TinyConfig, "config must be the record of a model, got the class TinyConfig. Pass an instance"),
        (None, "config must be the record of a model, got an object of type NoneType"),
        (config_with(model=Tiny), "configure_model must return a torch.nn.Module, got the class Tiny"),
        (config_with(model=dict), "configure_model must return a torch.nn.Module, got the class dict"),
        (
            config_with(loss=TokenCrossEntropy()),
            r"type TokenCrossEntropy \(.* not callable\). Return e.g. TokenCrossEntropy, not TokenCrossEntropy\(\)",
        ),
        (
            config_with(loss=nn.CrossEntropyLoss),
            "must return a class of losses, got the class CrossEntropyLoss .*'valid",
        ),
        (config_with(loss=nn.CrossEntropyLoss()), "of losses, got an object of type CrossEntropyLoss"),
        (config_with(loss=nn.functional.cross_entropy), "of losses, got an object of type function"),
        (config_with(loss=dict), "class of losses that have the method 'forward', got the class dict"),
        (config_with(loss=AccurateConfig), "get_loss_reduction_class must return a class of losses"),
        (config_with(loss=lambda **_: nn.Identity()), "of losses that have the method 'reduce'"),
    ],
)
def test_what_is_not_a_configuration_with_a_model_and_a_loss_is_refused(config: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        module_of(config)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("name", ["optimizer", "lr_scheduler"])
@pytest.mark.parametrize("value", [OPTIMIZER, StepLR(OPTIMIZER, 3), ReduceLROnPlateau(OPTIMIZER), "adam", 0, {}, []])
def test_an_optimizer_or_a_scheduler_itself_is_refused(name: str, value: Any) -> None:
    message = (
        rf"{name} must be a function that makes it, got an object of type {type(value).__name__}. Pass a class.*"
        r"optimizer=partial\(torch.optim.AdamW, lr=0.001\), lr_scheduler=partial\("
    )
    with pytest.raises(TypeError, match=message):
        module_of(**{name: value})


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": lambda _: None}, "optimizer must return an optimizer, got an object of type NoneType"),
        ({"optimizer": lambda _: [OPTIMIZER]}, "optimizer must return an optimizer, got an object of type list"),
        (
            {"lr_scheduler": lambda _: None},
            "lr_scheduler must return a scheduler that needs no metric, got .* NoneType",
        ),
        (
            {"lr_scheduler": ReduceLROnPlateau},
            "needs no metric, got .* ReduceLROnPlateau. For one .* override configure_",
        ),
    ],
)
def test_what_the_functions_make_is_checked_before_the_first_step(options: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        module_of(**options).configure_optimizers()


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("name", ["train", "validation", "test", "predict"])
@pytest.mark.parametrize(
    "value", [loader(VALIDATION), ROWS, TRAIN.order, {"a": ROWS}, "a"], ids=["loader", "rows", "order", "dict", "text"]
)
def test_what_is_not_a_pipeline_is_refused(name: str, value: Any) -> None:
    found = rf"{name}\['a'\] must .*type list" if isinstance(value, dict) and name != "train" else rf"{name} must"
    remedy = r"Pass Pipeline\(order=..., sources=..., batch_size=..., seed=...\): the data module makes its loaders."
    with pytest.raises(TypeError, match=rf"{found}.* {remedy}"):
        PipelineDataModule(**{"train": VALIDATION, name: value})


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batches_per_epoch": 0}, ValueError),
        ({"batches_per_epoch": 2.5}, TypeError),
        ({"batches_per_epoch": True}, TypeError),
        ({"num_workers": -1}, ValueError),
        ({"num_workers": "two"}, TypeError),
    ],
)
def test_numbers_of_the_data_module_are_checked_when_it_is_made(options: dict, error: type[Exception]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(error, match=f"{name} must be .*, got {name}={value!r}"):
        PipelineDataModule(train=TRAIN, **{"batches_per_epoch": 5} | options)


def test_numpy_integers_are_numbers_of_batches_and_workers() -> None:
    data = PipelineDataModule(train=TRAIN, batches_per_epoch=np.int16(5), num_workers=np.uint8(0))
    assert (type(data.batches_per_epoch), data.steps_per_epoch(), type(data.num_workers)) == (int, 5, int)


def test_the_repr_of_a_data_module_is_one_line_that_names_its_pipelines() -> None:
    shown = repr(PipelineDataModule(train=TRAIN, validation={"mouse": VALIDATION}, batches_per_epoch=3))
    assert shown.startswith("PipelineDataModule(train=Pipeline(order=")
    assert shown.endswith("validation=['mouse'], batches_per_epoch=3, num_workers=0)")
    assert "\n" not in shown
