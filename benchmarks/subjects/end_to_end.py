"""Proteins in memory to padded, masked batches.

16,016 sequences of the lengths of the embedded proteins are shuffled, cropped to 512 tokens, padded in batches of 32,
and 15% of their tokens are masked.
"""

import gzip
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
from transformers import DataCollatorForLanguageModeling

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, drain, limited, race
from benchmarks.record import Measurement
from benchmarks.subjects.batches import FIRST, LAST, MASK, MASKED, PADDING, make_tokenizer
from benchmarks.subjects.loaders import without_threads
from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens, random_crop_rows
from bionemo.data.pipes import loader

FASTA = Path(__file__).parents[2] / "bionemo" / "examples" / "data" / "swissprot_2k.fasta.gz"
PROTEINS = 16_016
CROP = 512
BATCH = 32


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare the time per token with transformers' collator and grain, and its parts with each other."""
    rows = make_rows()[: effort.pick(PROTEINS, 4004)]
    lists = [row.tolist() for row in rows]
    tokens = sum(min(len(row), CROP) for row in rows)
    grain = peers.grain_dataset()
    yield from race(
        "rows in memory to padded, masked batches, time per token",
        Call("loader with random_crop_rows, pad_token_ids, mask_tokens", partial(drain, partial(ours, rows)), tokens),
        Call("DataLoader and transformers' collator", partial(drain, partial(collated, DataLoader, lists)), tokens, 12),
        Call("StatefulDataLoader and the same", partial(drain, partial(collated, StatefulDataLoader, lists)), tokens),
        call_of(
            grain,
            lambda dataset: partial(drain, partial(by_grain, dataset, rows)),
            "with padding and masks of whole batches by NumPy, its 16 threads",
            per=tokens,
            least_ratio=4,
        ),
        call_of(
            grain,
            lambda dataset: partial(drain, lambda: without_threads(by_grain(dataset, rows))),
            "with the same, without threads",
            per=tokens,
            least_ratio=4,
        ),
        effort=effort,
    )
    yield queue()
    if not effort.is_quick:
        yield from parts(rows, tokens, effort)


def make_rows(dtype: type = np.int64) -> list[Any]:
    """Return token rows with the lengths of the embedded proteins, and some twice as long, which are cropped."""
    records = ("\n" + gzip.decompress(FASTA.read_bytes()).decode()).split("\n>")[1:]
    lengths = np.array([len("".join(record.splitlines()[1:])) for record in records])
    generator = np.random.default_rng(1)
    drawn = generator.choice(lengths, PROTEINS) * generator.choice([1, 1, 1, 2], PROTEINS)
    return [generator.integers(FIRST, LAST, length).astype(dtype) for length in drawn]


def hide(batch: Any, *, seeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return a padded batch with masked tokens."""
    return (*mask_tokens(*batch, seeds=seeds, replacement_ids=range(FIRST, LAST), **MASKED), batch[1])


def ours(rows: list[Any]) -> Iterable[Any]:
    """Return our loader."""
    return loader(make_pipeline(rows))


def make_pipeline(rows: list[Any]) -> Pipeline[Any]:
    """Return our pipeline over one epoch."""
    return Pipeline(
        order=EpochOrder(length=len(rows), seed=1, num_samples=len(rows)),
        sources=Source(rows, transform=partial(random_crop_rows, length=CROP), batched=True),
        batch_size=BATCH,
        seed=2,
        collate=pad_token_ids,
        batch_transform=hide,
        seed_global_states=False,  # as the others: nothing here draws from them
    )


def crop(row: Any, generator: Any) -> Any:
    """Return a random crop of a row, for grain."""
    start = generator.integers(max(len(row) - CROP, 0) + 1)
    return row[start : start + CROP]


def pad(rows: list[Any]) -> tuple[Any, Any]:
    """Return rows padded by NumPy, and the mask, for grain."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, PADDING)
    ids[mask] = np.concatenate(rows)
    return ids, mask


def hide_by_numpy(batch: tuple[Any, Any], generator: Any) -> tuple[Any, Any, Any]:
    """Return a batch with tokens masked by NumPy, for grain: one uniform number per cell, more for the chosen ones."""
    ids, mask = batch
    chosen = np.flatnonzero((generator.random(ids.shape, np.float32) < 0.15) & mask & (ids >= FIRST))  # noqa: PLR2004
    labels, corrupted = np.full(ids.size, -100), ids.reshape(-1).copy()
    tokens = labels[chosen] = corrupted[chosen]
    fate = generator.random(len(chosen))
    tokens = np.where(fate < 0.9, generator.integers(FIRST, LAST, len(chosen)), tokens)  # noqa: PLR2004
    corrupted[chosen] = np.where(fate < 0.8, MASK, tokens)  # noqa: PLR2004
    return corrupted.reshape(ids.shape), labels.reshape(ids.shape), mask


def by_grain(dataset: Any, rows: list[Any]) -> Iterable[Any]:
    """Return grain's pipeline: its fastest form, which pads and masks whole batches by NumPy."""
    cropped = dataset.source(rows).seed(1).shuffle().random_map(crop)
    return cropped.batch(BATCH, batch_fn=pad).random_map(hide_by_numpy)  # type: ignore[no-any-return]


def cropped_lists(collate: Callable[[list[Any]], Any], rows: list[list[int]]) -> Any:
    """Return transformers' collator of rows cropped with Python's slices."""
    starts = [int(torch.randint(max(len(row) - CROP, 0) + 1, ())) for row in rows]
    return collate([{"input_ids": row[start : start + CROP]} for row, start in zip(rows, starts, strict=True)])


def collated(kind: Any, rows: list[Any]) -> Iterable[Any]:
    """Return a DataLoader, or a StatefulDataLoader, with transformers' collator."""
    collate = partial(cropped_lists, DataCollatorForLanguageModeling(make_tokenizer()))
    return kind(rows, batch_size=BATCH, shuffle=True, collate_fn=collate)  # type: ignore[no-any-return]


def collate_bytes(rows: list[Any]) -> dict[str, torch.Tensor]:
    """Return a block of bytes and the lengths of its rows: what a device needs to make everything else."""
    ids, mask = pad_token_ids(rows)
    return {"ids": ids, "lengths": mask.sum(1)}


def queue() -> Measurement:
    """Measure the bytes per real token that a worker process sends."""
    pipeline = attrs.evolve(make_pipeline(make_rows(np.uint8)), collate=collate_bytes, batch_transform=None)
    batches = loader(pipeline, num_workers=1)
    tokens = sum(int(batch["lengths"].sum()) for batch in batches)
    stats = batches.stats()
    batches.close()
    what = "through a worker's queue, per real token, rows of uint8"
    return limited(what, "loader(num_workers=1)", stats.num_bytes / tokens, unit="bytes", limit=3)


def parts(rows: list[Any], tokens: int, effort: Effort) -> Iterator[Measurement]:
    """Compare our pipeline with itself without its last parts: the ratio is the fraction that is left."""
    whole = make_pipeline(rows)
    padded = attrs.evolve(whole, batch_transform=None)
    cropped = attrs.evolve(padded, collate=None)
    read = attrs.evolve(cropped, sources=rows)
    call, *less = (
        Call(name, partial(drain, partial(loader, one)), per=tokens, is_ours=True)
        for name, one in {
            "index, read, crop, pad and mask": whole,
            "without masks": padded,
            "without masks and padding": cropped,
            "index and read alone": read,
        }.items()
    )
    yield from race("the parts of that, time per token", call, *less, effort=effort)
