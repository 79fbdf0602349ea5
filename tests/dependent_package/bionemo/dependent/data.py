"""Strands of DNA made of a few recurring words."""

from functools import partial

import torch

from bionemo.core.random import fold_in, integers_at
from bionemo.data import (
    EpochOrder,
    LengthGroupedOrder,
    Pipeline,
    RaggedField,
    Source,
    collate_fields,
    next_token_labels,
    random_reverse_complement,
)

PAD_ID = 5
COMPLEMENT = (3, 2, 1, 0, 4, 5)
"""Complements of A, C, G, T, N and padding, whose ids are 0 to 5."""


def make_strands(number: int, seed: int) -> list[torch.Tensor]:
    """Return strands of 8 to 40 bases, made of four words."""
    words = integers_at(fold_in(seed, "word"), torch.arange(16), 4).reshape(4, 4)
    strands = []
    for strand in range(number):
        length = 2 + integers_at(fold_in(seed, "length"), strand, 9)
        strands.append(words[integers_at(fold_in(seed, "strand", strand), torch.arange(length), 4)].flatten())
    return strands


def as_sample(strand: torch.Tensor, *, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return a strand or its reverse complement as a sample."""
    return {"ids": random_reverse_complement(strand, complement=COMPLEMENT, generator=generator)}


def add_labels(batch: dict[str, torch.Tensor], *, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a batch with the next base of each base as its label."""
    return batch | {"labels": next_token_labels(batch["ids"], batch["mask"])}


def make_pipeline(seed: int) -> Pipeline:
    """Return the endless training pipeline."""
    strands = make_strands(100, seed)
    order = LengthGroupedOrder(
        order=EpochOrder(length=len(strands), seed=seed),
        lengths=[len(strand) for strand in strands],
        window_size=32,
        batch_size=8,
        seed=seed,
    )
    return Pipeline(
        order=order,
        sources=Source(strands, transform=as_sample),
        batch_size=8,
        seed=seed,
        collate=partial(collate_fields, fields={"ids": RaggedField(torch.int64, padding_value=PAD_ID)}),
        batch_transform=add_labels,
    )
