"""Evaluation and prediction by `PipelineTrainer`."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from bionemo.adapters.huggingface import PipelineTrainer
from bionemo.data.pipes import loader
from tests.adapters.huggingface_runs import arguments_of
from tests.adapters.huggingface_setups import Setup, evaluation_loader, model_of, training_loader

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of the other libraries

SETUP = Setup(library="Trainer", max_steps=4, save_steps=2)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., PipelineTrainer]:
    """A function that makes a trainer, with changed arguments."""

    def make(*, options, **changes) -> PipelineTrainer:
        arguments = arguments_of(SETUP, str(tmp_path), 1, **changes)
        return PipelineTrainer(model_of(SETUP), arguments, train_dataset=training_loader(SETUP), **options)

    return make


def test_it_evaluates_and_predicts_each_sample_once(make) -> None:
    several = {"one": evaluation_loader(), "other": evaluation_loader()}
    seen = []

    def metrics(prediction):
        seen.append(prediction.predictions.shape[0])
        return {"samples": prediction.predictions.shape[0]}

    trainer = make(options={"eval_dataset": several, "compute_metrics": metrics}, eval_strategy="steps", eval_steps=2)
    trainer.train()
    assert seen == [11] * 4
    result = trainer.evaluate()
    assert result["eval_one_samples"] == result["eval_other_samples"] == 11
    predicted = trainer.predict(loader(evaluation_loader().pipeline, num_workers=1))
    assert multiprocessing.active_children() == []
    assert predicted.label_ids[:, 0].tolist() == [
        ids[0] for batch in evaluation_loader() for ids in batch["input_ids"].tolist()
    ]
    assert not trainer.accelerator.gradient_state.in_dataloader


def test_metrics_by_batch_are_told_the_last_one(make) -> None:
    seen = []

    def metrics(prediction, compute_result):
        seen.append(compute_result)
        return {"batches": len(seen)} if compute_result else None

    options = {"eval_dataset": evaluation_loader(), "compute_metrics": metrics}
    assert make(options=options, batch_eval_metrics=True).evaluate()["eval_batches"] == 3
    assert seen == [False, False, True]
