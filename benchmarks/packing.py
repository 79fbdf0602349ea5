"""Benchmarks of packing against other libraries: `make bench-packing`. One thread, one process."""

import gzip
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import attrs
import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import DataCollatorForLanguageModeling, DataCollatorWithFlattening, PreTrainedTokenizerFast

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds_in_turn, show
from bionemo.core.padding import pad_token_ids
from bionemo.data import (
    EpochOrder,
    PackedOrder,
    Pipeline,
    collate_packed,
    index_at,
    mask_packed_tokens,
    mask_tokens,
)
from bionemo.data.pipes import loader

FASTA = Path(__file__).parents[1] / "bionemo" / "examples" / "data" / "swissprot_2k.fasta.gz"
MAX_TOKENS = 8192
RANKS = 8
STEPS = 64
MASKED = {"mask_id": 1, "replacement_ids": range(4, 24)}


def log_normal(number: int, mean: float = 330, longest: int = 1024) -> Any:
    """Return lengths like UniRef's: log-normal, cut at a length."""
    sigma = 0.75
    drawn = np.random.default_rng(1).lognormal(np.log(mean) - sigma**2 / 2, sigma, number)
    return np.clip(drawn.astype(np.int64), 16, longest)


def embedded() -> Any:
    """Return the lengths of the 2,000 proteins that the examples train on, cut at 1,024."""
    records = ("\n" + gzip.decompress(FASTA.read_bytes()).decode()).split("\n>")[1:]
    return np.minimum([len("".join(record.splitlines()[1:])) for record in records], 1024)


def make_order(lengths: Any, bins_per_step: int, **fields: Any) -> PackedOrder:
    """Return a packed order with windows of about 64 steps."""
    window_size = int(STEPS * bins_per_step * MAX_TOKENS * 0.99 / lengths.mean())
    fields = {"order": EpochOrder(length=len(lengths), seed=1, num_samples=len(lengths)), "seed": 2} | fields
    return PackedOrder(
        lengths=lengths, max_tokens=MAX_TOKENS, bins_per_step=bins_per_step, window_size=window_size, **fields
    )


def fill_of(order: PackedOrder, lengths: Any, epochs: int = 1) -> float:
    """Return the fraction of the bins that holds tokens."""
    steps = order.step_of(epochs * len(lengths))
    return float(epochs * lengths.sum() / (steps * order.bins_per_step * MAX_TOKENS))


def balance_of(order: PackedOrder, lengths: Any) -> float:
    """Return the largest number of tokens of a rank in a step over the mean of the ranks, averaged over steps."""
    found = []
    position = 0
    while position < len(lengths):
        bounds = order.step_bounds(position)
        tokens = np.add.reduceat(lengths[index_at(order, range(position, bounds[-1])).idx], bounds[:-1] - position)
        found.append(tokens.max() / tokens.mean())
        position = int(bounds[-1])
    return float(np.mean(found))


def planning() -> list[Row]:
    """Compare fill and time per sample with grain's and TRL's packing."""
    lengths, small = log_normal(10**6), embedded()
    start = time.perf_counter()
    fill = fill_of(make_order(lengths, RANKS), lengths)
    ours = (time.perf_counter() - start) / len(lengths) * 1e9
    few = lengths[:100_000]
    order = make_order(few, RANKS)
    by_bins = attrs.evolve(order, bins_per_step=1)  # as many samples per window, but without steps of 8 bins
    epochs = EpochOrder(length=len(small), seed=1)
    best = fill_of_bins(small, -(-int(small.sum()) // MAX_TOKENS))
    rows = [
        below("planning a million lengths, per sample", ours / 1000, 2, "us"),
        fraction("fill, a million log-normal lengths, 8 bins per step", fill, 0.99),
        fraction(
            "fill, 20 epochs of the embedded proteins",
            fill_of(make_order(small, 1, order=epochs), small, 20),
            best,
            f"the best that is possible: {best:.4f}",
        ),
        most("tokens of the fullest of 8 ranks over their mean", balance_of(order, few), 1.01),
    ]
    for peer, pack in ((peers.grain_packing(), by_grain), (peers.trl_packing(), by_trl)):
        if not peer.function:
            rows.append(missing("packing", peer))
            continue
        start = time.perf_counter()
        theirs = fill_of_bins(few, pack(peer.function, few))
        took = (time.perf_counter() - start) / len(few) * 1e9
        rows += [
            faster("planning, per sample; theirs moves tokens, too", ours, took, 1, peer.name),
            fraction("fill, single bins", fill_of(by_bins, few), theirs, f"{peer.name}: {theirs:.4f}"),
        ]
    return rows


def resume() -> list[Row]:
    """Measure the time to the first batch of an order of 10**9 samples, resumed in its middle, lengths on disk."""
    part = log_normal(10**6).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lengths.u2"  # 2 GB
        with path.open("wb") as file:
            for _ in range(1000):
                file.write(part)
        lengths = np.memmap(path, np.uint16, "r")
        start = time.perf_counter()
        order = make_order(lengths, RANKS, order=EpochOrder(length=len(lengths), seed=1))
        made = time.perf_counter() - start
        before = memory()
        took = []
        pipeline = Pipeline(order=order, sources=range(len(lengths)), seed=3)
        for position in range(5 * 10**8, 10**9, 10**8):  # each in a window that was not planned yet
            start = time.perf_counter()
            next(iter(loader(pipeline, start=position)))
            took.append(time.perf_counter() - start)
        grown = memory() - before
    return [
        below("time to the first batch, resumed in 10**9 samples: slowest of 5 places", max(took) * 1e3, 200, "ms"),
        below("making that order, which checks all lengths", made, 60, "s"),
        below("memory that it takes beside the lengths", grown / 2**20, 100, "MB"),
    ]


def memory() -> int:
    """Return the resident memory of this process in bytes, without what is mapped from files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def fill_of_bins(lengths: Any, bins: int) -> float:
    """Return the fraction of some bins that holds tokens."""
    return float(lengths.sum() / (bins * MAX_TOKENS))


def fraction(label: str, value: float, limit: float, of: str = "") -> Row:
    """Return a row whose target is at least a fraction."""
    return Row(label, f"{value:.4f}", of, "", f"at least {limit:.4g}", value >= limit)


def most(label: str, value: float, limit: float) -> Row:
    """Return a row whose target is at most a ratio."""
    return Row(label, f"{value:.4f}", "", "", f"at most {limit:g}", value <= limit)


def by_grain(grain: Any, lengths: Any) -> int:
    """Return the number of bins of grain's best-fit packing with 64 open bins."""
    rows = [{"ids": np.zeros(length, np.int8)} for length in lengths.tolist()]
    dataset = grain.MapDataset.source(rows).to_iter_dataset()
    options = {"length_struct": {"ids": MAX_TOKENS}, "num_packing_bins": 64, "shuffle_bins": False}
    return sum(1 for _ in grain.experimental.BestFitPackIterDataset(dataset, **options))


def by_trl(pack_dataset: Callable[..., Any], lengths: Any) -> int:
    """Return the number of bins of TRL's best-fit decreasing, in its default blocks of 1,000 rows."""
    dataset = Dataset.from_dict({"input_ids": [[0] * length for length in lengths.tolist()]})
    return len(pack_dataset(dataset, seq_length=MAX_TOKENS, strategy="bfd"))


def hide_packed(batch: Any, *, seeds: torch.Tensor) -> Any:
    """Return a packed batch with masked tokens."""
    return mask_packed_tokens(batch, seeds=seeds, **MASKED)


def hide_padded(batch: Any, *, seeds: torch.Tensor) -> Any:
    """Return a padded batch with masked tokens."""
    return (*mask_tokens(*batch, seeds=seeds, **MASKED), batch[1])


def flattening(rows: list[Any], batches: list[list[int]]) -> Iterable[Any]:
    """Yield batches of transformers' flattening collator, with tokens masked by its masking collator."""
    words = Tokenizer(WordLevel({str(number): number for number in range(31)}, unk_token="0"))  # noqa: S106
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="30", mask_token="1")  # noqa: S106
    flatten, masking = (
        DataCollatorWithFlattening(return_flash_attn_kwargs=True),
        DataCollatorForLanguageModeling(tokenizer),
    )
    for batch in batches:
        found = flatten([{"input_ids": rows[idx]} for idx in batch])
        ids = torch.as_tensor(found["input_ids"])
        is_special = torch.zeros(ids.shape, dtype=torch.bool)
        found["input_ids"], found["labels"] = masking.torch_mask_tokens(ids, special_tokens_mask=is_special)
        yield found


def end_to_end() -> list[Row]:
    """Compare the nanoseconds per real token from rows in memory to masked batches."""
    lengths = log_normal(20_000)
    generator = np.random.default_rng(2)
    rows = [generator.integers(4, 24, length) for length in lengths]
    order = make_order(lengths, 1)
    fields: dict[str, Any] = {"sources": rows, "seed": 3, "seed_global_states": False}  # nothing draws from them
    packed = Pipeline(order=order, collate=collate_packed, batch_transform=hide_packed, **fields)
    padded = Pipeline(order=order.order, batch_size=32, collate=pad_token_ids, batch_transform=hide_padded, **fields)
    bounds = [order.step_bounds(0)]
    while bounds[-1][-1] < len(lengths):
        bounds.append(order.step_bounds(int(bounds[-1][-1])))
    batches = [index_at(order, range(first, stop)).idx.tolist() for first, stop in bounds]

    def drain(make: Callable[[], Iterable[Any]]) -> None:
        for _ in make():
            pass

    pads, packs = partial(loader, padded), partial(loader, packed)
    took = seconds_in_turn(
        *(partial(drain, make) for make in (packs, pads, partial(flattening, rows, batches))), repeats=2
    )
    ours, by_padding, by_flattening = (duration / lengths.sum() * 1e9 for duration in took)
    return [
        faster("time per real token, packed and masked", ours, by_padding, 3, "batches of 32, padded and masked"),
        faster("time per real token, packed and masked", ours, by_flattening, 5, "transformers, flattened and masked"),
    ]


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    show(row for part in (planning, resume, end_to_end) for row in part())


if __name__ == "__main__":
    main()
