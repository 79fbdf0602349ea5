"""Batches for models of the transformers library, and the library's collators in a pipeline."""

from functools import partial

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    default_data_collator,
)

from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import EpochOrder, Pipeline, RaggedField, batch_at, collate_fields
from bionemo.data.pipes import loader

SAMPLES = [{"input_ids": list(range(3, 3 + length)), "labels": [4] * length} for length in (5, 2, 9, 1, 7)]
COLLATE = partial(
    collate_fields,
    fields={
        "input_ids": RaggedField(torch.int64, padding_value=1),
        "labels": RaggedField(torch.int64, padding_value=-100),
    },
    mask_name="attention_mask",
    mask_dtype=torch.int64,
)


def make_pipeline(collate) -> Pipeline:
    order = EpochOrder(length=5, seed=7, num_samples=5)
    return Pipeline(order=order, sources=SAMPLES, batch_size=2, seed=42, collate=collate)


def test_a_model_takes_a_batch_unchanged_and_padding_does_not_change_its_loss() -> None:
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=1
    )
    with random_torch_context(make_generator(0)):
        model = BertForMaskedLM(config).double().eval()
    batch = batch_at(make_pipeline(COLLATE), 0)
    wide = batch_at(make_pipeline(partial(COLLATE, padding_len=16)), 0)
    losses = [model(**inputs).loss for inputs in (batch, wide)]
    assert wide["input_ids"].shape == (2, 16)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(20)}, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w1")


@pytest.mark.parametrize("kind", [DataCollatorWithPadding, DataCollatorForTokenClassification])
def test_its_padding_collators_work_in_a_pipeline(kind, tokenizer) -> None:
    pipeline = make_pipeline(kind(tokenizer))
    if kind is DataCollatorWithPadding:  # it does not pad labels
        pipeline = Pipeline(
            order=pipeline.order,
            sources=[{"input_ids": sample["input_ids"]} for sample in SAMPLES],
            batch_size=2,
            seed=42,
            collate=kind(tokenizer),
        )
    ours = batch_at(make_pipeline(COLLATE), 1)
    theirs = batch_at(pipeline, 1)
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert torch.equal(theirs["attention_mask"], ours["attention_mask"])
    assert len(list(loader(pipeline))) == 3
    if "labels" in theirs:
        assert torch.equal(theirs["labels"], ours["labels"])


def test_its_default_collator_works_in_a_pipeline() -> None:
    order = EpochOrder(length=3, seed=7, num_samples=3)
    rows = [{"input_ids": [row, row + 1]} for row in range(3)]
    pipeline = Pipeline(order=order, sources=rows, batch_size=3, seed=42, collate=default_data_collator)
    assert batch_at(pipeline, 0)["input_ids"].sort(dim=0).values.tolist() == [[0, 1], [1, 2], [2, 3]]
