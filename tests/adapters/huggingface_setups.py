"""Setups of runs by accelerate and by transformers' Trainer: their data and models."""

from functools import cache, partial
from typing import Literal

import attrs
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from bionemo.data import (
    EpochOrder,
    LengthGroupedOrder,
    PackedOrder,
    Pipeline,
    RaggedField,
    batch_at,
    collate_fields,
    collate_packed,
    flash_attention_inputs,
)
from bionemo.data.pipes import loader

ROWS = [{"input_ids": (ids := [n + 2, *range(2, 2 + n % 5)]), "labels": ids} for n in range(40)]
PADDED = {"input_ids": RaggedField(torch.int64), "labels": RaggedField(torch.int64, padding_value=-100)}
PADDING = partial(collate_fields, fields=PADDED, mask_name="attention_mask", mask_dtype=torch.int64)
LENGTHS = [len(row["input_ids"]) for row in ROWS]
BATCHES_PER_EPOCH = 8


def packed_inputs(batch):
    # These models predict the next token: the first of a sample must not be predicted from the sample before.
    return flash_attention_inputs(batch | {"labels": batch["ids"].masked_fill(batch["positions"] == 0, -100)})


@attrs.frozen(kw_only=True)
class Setup:
    """How a run is trained."""

    library: Literal["accelerate", "Trainer"]
    order: Literal["shuffled", "finite", "grouped", "packed"] = "shuffled"
    batch_size: int = 5
    accumulated: int = 1
    max_steps: int = 20
    num_epochs: float | None = None
    save_steps: int = 3
    eval_steps: int | None = None
    dropout: float = 0.0
    num_workers: int = 0
    load_best: bool = False
    model: Literal["causal", "masked"] = "causal"
    """The masked model's own loss isn't divided by the number of tokens of all ranks; a function does this."""


@cache
def pipeline_of(setup: Setup) -> Pipeline:
    end = {"num_samples": 95} if setup.order == "finite" else {}
    base = EpochOrder(length=len(ROWS), seed=1, **end)
    if setup.order == "packed":
        order = PackedOrder(order=base, lengths=LENGTHS, max_tokens=12, bins_per_step=3, window_size=40, seed=1)
        return Pipeline(
            order=order,
            sources=[row["input_ids"] for row in ROWS],
            seed=1,
            collate=collate_packed,
            batch_transform=packed_inputs,
        )
    if setup.order == "grouped":
        base = LengthGroupedOrder(order=base, lengths=LENGTHS, window_size=20, batch_size=setup.batch_size, seed=1)
    return Pipeline(order=base, sources=ROWS, batch_size=setup.batch_size, seed=1, collate=PADDING)


def training_loader(setup: Setup):
    pauses = {} if setup.order == "finite" else {"batches_per_epoch": BATCHES_PER_EPOCH}
    return loader(pipeline_of(setup), num_workers=setup.num_workers, **pauses)


def evaluation_loader():
    order = EpochOrder(length=11, seed=2, num_samples=11)
    return loader(Pipeline(order=order, sources=ROWS[:11], batch_size=4, seed=1, collate=PADDING))


def model_of(setup: Setup):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if setup.model == "masked":
            sizes = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
            dropout = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), setup.dropout)
            return BertForMaskedLM(BertConfig(**sizes, intermediate_size=8, **dropout)).double()
        names = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
        sizes = {"vocab_size": 50, "n_positions": 40, "n_embd": 8, "n_layer": 1, "n_head": 1}
        special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "use_cache": False}
        config = GPT2Config(**sizes, **special, **dict.fromkeys(names, setup.dropout))
        return GPT2LMHeadModel(config).double()  # else Adam makes much of rounding


@cache
def expected(setup: Setup, step: int, rank: int, world_size: int) -> list:
    return batch_at(pipeline_of(setup), step, rank, world_size)["input_ids"].tolist()
