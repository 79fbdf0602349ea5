"""Trainers of other libraries that get a loader without the adapter are told what to do."""

import tempfile
from functools import partial

import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments

from bionemo.data import EpochOrder, Pipeline, RaggedField, batch_at, collate_fields
from bionemo.data.pipes import batch_sampler, loader

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of the other libraries

ROWS = [{"input_ids": [4 + n % 20, 5 + n // 20, 2], "labels": [5, 5, 2]} for n in range(40)]
COLLATE = partial(
    collate_fields,
    fields={name: RaggedField(torch.int64) for name in ("input_ids", "labels")},
    mask_name="attention_mask",
    mask_dtype=torch.int64,
)
PIPELINE = Pipeline(order=EpochOrder(length=40, seed=1), sources=ROWS, batch_size=4, seed=1, collate=COLLATE)
BATCHES = [batch_at(PIPELINE, step)["input_ids"].tolist() for step in range(40)]


class Watched(Trainer):
    """A trainer on the pipeline that records the steps of its batches, and doesn't restore the position."""

    kind = "loader"

    def get_train_dataloader(self):
        self.seen: list[int] = []
        if self.kind == "sampler":
            batches = batch_sampler(PIPELINE, batches_per_epoch=10)
            return self.accelerator.prepare(DataLoader(ROWS, batch_sampler=batches, collate_fn=COLLATE))
        return loader(PIPELINE, batches_per_epoch=10)

    def training_step(self, model, inputs, *rest):
        self.seen.append(BATCHES.index(inputs["input_ids"].tolist()))
        return super().training_step(model, inputs, *rest)


def train(folder: str, kind: str, resume: str | None = None, **options) -> Watched:
    config = BertConfig(
        vocab_size=33, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, pad_token_id=1
    )
    given = {"max_steps": 26, "save_steps": 10, "report_to": [], "use_cpu": True, "disable_tqdm": True}
    trainer = type(kind, (Watched,), {"kind": kind})(
        BertForMaskedLM(config), TrainingArguments(folder, **given | options)
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("kind", ["loader", "sampler"])
def test_transformers_trainer_is_told_that_the_position_was_not_restored(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert train(folder, kind, save_steps=13).seen == list(range(26))
        message = "a loader must be where a trainer resumes, got epoch=1|has no dataset to skip batches in"
        with pytest.raises((RuntimeError, AttributeError), match=message):
            train(folder, kind, resume=f"{folder}/checkpoint-13")
        assert train(folder, kind).seen == list(range(26))
        with pytest.raises(RuntimeError, match="got epoch=1 and a loader at sample 0. Restore its position"):
            train(folder, kind, resume=f"{folder}/checkpoint-10")


def test_accelerate_is_told_not_to_deal_the_batches_of_one_rank() -> None:
    for even_batches in (True, False):
        deal = partial(prepare_data_loader, num_processes=2, process_index=1, even_batches=even_batches)
        of_rank = DataLoader(ROWS, batch_sampler=batch_sampler(PIPELINE, 1, 2, batches_per_epoch=10))
        with pytest.raises(
            RuntimeError,
            match=r"must not be dealt to processes again, got rank=1 and world_size=2 in one of 1 processes",
        ):
            deal(of_rank)
    whole = DataLoader(ROWS, batch_sampler=batch_sampler(PIPELINE, batches_per_epoch=10), collate_fn=COLLATE)
    dealt = [
        [batch["input_ids"].tolist() for batch in prepare_data_loader(whole, num_processes=2, process_index=rank)]
        for rank in range(2)
    ]
    assert dealt[0] == BATCHES[0:10:2]
    assert dealt[1] == BATCHES[11:20:2], "the same sampler continues"


def test_set_epoch_checks_that_the_position_was_restored() -> None:
    batches = loader(PIPELINE, 1, 2, batches_per_epoch=3)
    assert batches.batch_sampler.sampler is batches
    batches.set_epoch(0)
    assert len(list(batches)) == 3
    batches.set_epoch(1)
    with pytest.raises(
        RuntimeError, match="got epoch=1 and a loader at sample 0.* A loop of your own needs no set_epoch"
    ):
        loader(PIPELINE).set_epoch(1)
    loader(PIPELINE, start=8).set_epoch(1)
    loader(PIPELINE, restart=True, batches_per_epoch=2).set_epoch(1)
