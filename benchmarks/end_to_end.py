"""Benchmarks from proteins in memory to padded, masked batches against other libraries: `make bench-e2e`. One thread.

16,016 sequences of the lengths of the embedded proteins are shuffled, cropped to 512 tokens, padded in batches of 32,
and 15% of their tokens are masked.
"""

import gzip
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import attrs
import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.utils.data import DataLoader
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds_in_turn, show
from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens, random_crop_rows
from bionemo.data.pipes import loader

FASTA = Path(__file__).parents[1] / "bionemo" / "examples" / "data" / "swissprot_2k.fasta.gz"
PROTEINS = 16_016
CROP = 512
BATCH = 32
MASK, FIRST, LAST, PADDING = 1, 4, 24, 0
MASKED: dict[str, Any] = {"mask_id": MASK, "replacement_ids": range(FIRST, LAST), "special_ids": range(FIRST)}


def make_rows(dtype: type = np.int64) -> list[Any]:
    """Return token rows with the lengths of the embedded proteins, and some twice as long, which are cropped."""
    records = ("\n" + gzip.decompress(FASTA.read_bytes()).decode()).split("\n>")[1:]
    lengths = np.array([len("".join(record.splitlines()[1:])) for record in records])
    generator = np.random.default_rng(1)
    drawn = generator.choice(lengths, PROTEINS) * generator.choice([1, 1, 1, 2], PROTEINS)
    return [generator.integers(FIRST, LAST, length).astype(dtype) for length in drawn]


def hide(batch: Any, *, seeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return a padded batch with masked tokens."""
    return (*mask_tokens(*batch, seeds=seeds, **MASKED), batch[1])


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


def make_collator() -> Any:
    """Return transformers' masking collator."""
    words = Tokenizer(WordLevel({str(number): number for number in range(31)}, unk_token="0"))  # noqa: S106
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="30", mask_token="1")  # noqa: S106
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return DataCollatorForLanguageModeling(tokenizer)


def cropped_lists(collate: Callable[[list[Any]], Any], rows: list[list[int]]) -> Any:
    """Return transformers' collator of rows cropped with Python's slices."""
    starts = [int(torch.randint(max(len(row) - CROP, 0) + 1, ())) for row in rows]
    return collate([{"input_ids": row[start : start + CROP]} for row, start in zip(rows, starts, strict=True)])


def by_transformers(rows: list[Any]) -> Iterable[Any]:
    """Return a DataLoader with transformers' collator."""
    collate = partial(cropped_lists, make_collator())
    return DataLoader(rows, batch_size=BATCH, shuffle=True, collate_fn=collate)


def masking() -> list[Row]:
    """Compare the time per cell of masking a block of 64 x 512 with transformers' collator."""
    lengths = torch.arange(64) * 4 + 260
    mask = torch.arange(512) < lengths[:, None]
    ids = torch.randint(FIRST, LAST, mask.shape, generator=torch.Generator().manual_seed(1)).where(mask, PADDING)
    seeds, collator = torch.arange(64), make_collator()

    def theirs() -> Any:
        return collator.torch_mask_tokens(ids.clone(), special_tokens_mask=~mask)

    found = []
    for vocabulary in (LAST, 250_000):
        options = MASKED | {"replacement_ids": range(FIRST, vocabulary)}
        took = seconds_in_turn(partial(mask_tokens, ids, mask, seeds=seeds, **options), theirs, repeats=100)
        each, other = (duration / ids.numel() * 1e9 for duration in took)
        label = f"masking 64 x 512, {vocabulary:,} tokens, per cell"
        found += [below(label, each, 25, "ns"), faster(label, each, other, 3, "transformers' torch_mask_tokens")]
    return found


def drain(make: Callable[[], Iterable[Any]]) -> None:
    """Read all batches."""
    for _ in make():
        pass


def end_to_end() -> list[Row]:
    """Compare the time per real token."""
    rows, lists = make_rows(), [row.tolist() for row in make_rows()]
    tokens = sum(min(len(row), CROP) for row in rows)
    grain = peers.grain_dataset()
    makes = [partial(ours, rows), partial(by_transformers, lists)]
    if grain.function:
        makes.append(partial(by_grain, grain.function, rows))

    took = seconds_in_turn(*(partial(drain, make) for make in makes), repeats=3)
    each, *others = (duration / tokens * 1e9 for duration in took)
    label = "rows in memory to padded, masked batches, per token"
    found = [faster(label, each, others[0], 12, "DataLoader and transformers' collator")]
    return [*found, faster(label, each, others[1], 4, grain.name) if grain.function else missing(label, grain)]


def collate_bytes(rows: list[Any]) -> dict[str, torch.Tensor]:
    """Return a block of bytes and the lengths of its rows: what a device needs to make everything else."""
    ids, mask = pad_token_ids(rows)
    return {"ids": ids, "lengths": mask.sum(1)}


def queue() -> Row:
    """Measure the bytes per real token that a worker process sends."""
    rows = make_rows(np.uint8)
    pipeline = attrs.evolve(make_pipeline(rows), collate=collate_bytes, batch_transform=None)
    batches = loader(pipeline, num_workers=1)
    tokens = sum(int(batch["lengths"].sum()) for batch in batches)
    stats = batches.stats()
    batches.close()
    return below("through a worker's queue, per real token, rows of uint8", stats.num_bytes / tokens, 3, "bytes")


def profile() -> None:
    """Print the time per token of each part of our pipeline: what each adds to a pipeline without it."""
    rows = make_rows()
    tokens = sum(min(len(row), CROP) for row in rows)
    whole = make_pipeline(rows)
    padded = attrs.evolve(whole, batch_transform=None)
    cropped = attrs.evolve(padded, collate=None)
    read = attrs.evolve(cropped, sources=rows)
    took = seconds_in_turn(*(partial(drain, partial(loader, one)) for one in (read, cropped, padded, whole)), repeats=5)
    each = np.diff(took, prepend=0) / tokens * 1e9
    print("Parts, in ns per token:", dict(zip(("index and read", "crop", "pad", "mask"), each.round(1).tolist())))  # noqa: B905


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    show([*masking(), *end_to_end(), queue()])
    profile()


if __name__ == "__main__":
    main()
