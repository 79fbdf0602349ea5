"""Packing rows into bins: fill, balance and time, resumes, and packed batches."""

import gzip
import importlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, DataCollatorWithFlattening

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, drain, limited, race, resident, timed
from benchmarks.record import Measurement, Side
from benchmarks.subjects.batches import make_tokenizer
from benchmarks.subjects.end_to_end import FASTA
from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, PackedOrder, Pipeline, collate_packed, index_at, mask_packed_tokens, mask_tokens
from bionemo.data.pipes import loader

MAX_TOKENS = 8192
RANKS = 8
STEPS = 64
MASKED: dict[str, Any] = {"mask_id": 1, "replacement_ids": range(4, 24)}


def measure(effort: Effort) -> Iterator[Measurement]:
    """Measure plans, resumes, batches, and the growth with the window."""
    yield from planning(effort)
    if not effort.is_quick:
        yield from resume()
    yield from end_to_end(effort)
    for window in effort.pick((300, 1000, 3000, 10_000, 30_000), (1000, 10_000)):
        yield from growth(window, effort)


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
    """Return a packed order, by default with windows of about 64 steps."""
    window_size = int(STEPS * bins_per_step * MAX_TOKENS * 0.99 / lengths.mean())
    epochs = EpochOrder(length=len(lengths), seed=1, num_samples=len(lengths))
    given = {"order": epochs, "seed": 2, "window_size": window_size} | fields
    return PackedOrder(lengths=lengths, max_tokens=MAX_TOKENS, bins_per_step=bins_per_step, **given)


def fill_of(order: PackedOrder, lengths: Any, epochs: int = 1) -> float:
    """Return the fraction of the bins that holds tokens."""
    steps = order.step_of(epochs * len(lengths))
    return float(epochs * lengths.sum() / (steps * order.bins_per_step * MAX_TOKENS))


def fill_of_bins(lengths: Any, bins: int) -> float:
    """Return the fraction of some bins that holds tokens."""
    return float(lengths.sum() / (bins * MAX_TOKENS))


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


def planned(lengths: Any, bins_per_step: int = RANKS, **fields: Any) -> float:
    """Return the fill of a new order, of which every window is planned."""
    return fill_of(make_order(lengths, bins_per_step, **fields), lengths)


def rivals(lengths: Any, bins: dict[str, int], window: int = 1000) -> list[Call]:
    """Return the packing of grain and TRL, each of which writes down how many bins it filled."""

    def run(name: str, pack: Callable[[Any], int], theirs: Any) -> Callable[[], None]:  # noqa: ARG001 - loads the peer
        return lambda: bins.__setitem__(name, pack(lengths))

    options = {"per": len(lengths), "least_ratio": 1}
    by_trl_ = partial(by_trl, window=window)
    return [
        call_of(peers.grain_packing(), partial(run, "grain", by_grain), "of 64 open bins, moves tokens", **options),
        call_of(peers.trl_packing(), partial(run, "trl", by_trl_), f"in blocks of {window:,}, moves tokens", **options),
    ]


def by_grain(lengths: Any) -> int:
    """Return the number of bins of grain's best-fit packing with 64 open bins."""
    grain = importlib.import_module("grain")
    rows = [{"ids": np.zeros(length, np.int8)} for length in lengths.tolist()]
    dataset = grain.MapDataset.source(rows).to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    options = {"length_struct": {"ids": MAX_TOKENS}, "num_packing_bins": 64, "shuffle_bins": False}
    return sum(1 for _ in grain.experimental.BestFitPackIterDataset(dataset, **options))


def by_trl(lengths: Any, window: int) -> int:
    """Return the number of bins of TRL's best-fit decreasing."""
    pack, datasets = importlib.import_module("trl.data_utils").pack_dataset, importlib.import_module("datasets")
    flat, offsets = np.zeros(lengths.sum(), np.int32), np.cumsum([0, *lengths])
    pyarrow = importlib.import_module("pyarrow")
    table = pyarrow.table({"input_ids": pyarrow.LargeListArray.from_arrays(offsets, flat)})
    rows = datasets.Dataset(datasets.table.InMemoryTable(table))
    return len(pack(rows, seq_length=MAX_TOKENS, strategy="bfd", map_kwargs={"batch_size": window}))


def planning(effort: Effort) -> Iterator[Measurement]:
    """Compare fill and time per sample with grain's and TRL's packing."""
    lengths, small = log_normal(effort.pick(10**6, 10**5)), embedded()
    ours, name = "PackedOrder", f"{len(lengths):,} log-normal lengths"
    plan_all = partial(planned, lengths)
    what = f"planning {name}, time per sample"
    yield timed(what, f"{ours}, every window", plan_all, effort=effort, limit=2e-6, per=len(lengths))
    options: dict[str, Any] = {"unit": "of 1", "is_more_better": True}
    if not effort.is_quick:  # of fewer lengths, the last windows take a larger part
        yield limited(f"fill of {name}, 8 bins per step", ours, plan_all(), limit=0.99, **options)
    best = fill_of_bins(small, -(-int(small.sum()) // MAX_TOKENS))
    epochs = make_order(small, 1, order=EpochOrder(length=len(small), seed=1))
    what = f"fill of 20 epochs of the embedded proteins; {best:.4f} is the best possible"
    yield limited(what, ours, fill_of(epochs, small, 20), limit=best, **options)
    few = lengths[: effort.pick(100_000, 20_000)]
    balance = balance_of(make_order(few, RANKS), few)
    yield limited("tokens of the fullest of 8 ranks over their mean", ours, balance, unit="times", limit=1.01)
    bins: dict[str, int] = {}
    plan = Call(f"{ours}, plans only, 8 bins per step", partial(planned, few), per=len(few))
    yield from race(f"packing {len(few):,} lengths, time per sample", plan, *rivals(few, bins), effort=effort)
    order = make_order(few, RANKS)
    mine = fill_of(attrs.evolve(order, bins_per_step=1), few)  # as many samples per window, without steps of 8 bins
    for peer, number in bins.items():
        theirs = Side(name=f"{peer}, as above", rounds=(fill_of_bins(few, number),))
        (what, limit) = ("fill, single bins", fill_of_bins(few, number))
        yield limited(what, f"{ours}, 1 bin per step", mine, limit=limit, peer=theirs, **options)


def resume() -> Iterator[Measurement]:
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
        before = resident("RssAnon")
        took = []
        pipeline = Pipeline(order=order, sources=range(len(lengths)), seed=3)
        for position in range(5 * 10**8, 10**9, 10**8):  # each in a window that was not planned yet
            start = time.perf_counter()
            next(iter(loader(pipeline, start=position)))
            took.append(time.perf_counter() - start)
        grown = resident("RssAnon") - before
    name = "PackedOrder of 10**9 lengths on disk"
    yield limited(
        "first packed batch, resumed amid 10**9 samples: the slowest of 5", name, max(took), unit="s", limit=0.2
    )
    yield limited("making that order, which checks all lengths", name, made, unit="s", limit=60)
    yield limited("memory that it takes beside the lengths", name, grown, unit="bytes", limit=100 * 2**20)


def hide_packed(batch: Any, *, seeds: torch.Tensor) -> Any:
    """Return a packed batch with masked tokens."""
    return mask_packed_tokens(batch, seeds=seeds, **MASKED)


def hide_padded(batch: Any, *, seeds: torch.Tensor) -> Any:
    """Return a padded batch with masked tokens."""
    return (*mask_tokens(*batch, seeds=seeds, **MASKED), batch[1])


def flattening(rows: list[Any], batches: list[list[int]]) -> Iterable[Any]:
    """Yield batches of transformers' flattening collator, with tokens masked by its masking collator."""
    flatten = DataCollatorWithFlattening(return_flash_attn_kwargs=True)
    masking = DataCollatorForLanguageModeling(make_tokenizer())
    for batch in batches:
        found = flatten([{"input_ids": rows[idx]} for idx in batch])
        ids = torch.as_tensor(found["input_ids"])
        is_special = torch.zeros(ids.shape, dtype=torch.bool)
        found["input_ids"], found["labels"] = masking.torch_mask_tokens(ids, special_tokens_mask=is_special)
        yield found


def end_to_end(effort: Effort) -> Iterator[Measurement]:
    """Compare the time per real token from rows in memory to masked batches, of one bin and of several."""
    lengths = log_normal(effort.pick(20_000, 5_000))
    generator = np.random.default_rng(2)
    rows = [generator.integers(4, 24, length) for length in lengths]
    tokens = int(lengths.sum())
    fields: dict[str, Any] = {"sources": rows, "seed": 3, "seed_global_states": False}  # nothing draws from them
    for bins in effort.pick((1, 4), (1,)):
        order = make_order(lengths, bins)
        packed = Pipeline(order=order, collate=collate_packed, batch_transform=hide_packed, **fields)
        padded = Pipeline(
            order=order.order, batch_size=32, collate=pad_token_ids, batch_transform=hide_padded, **fields
        )
        bounds = [order.step_bounds(0)]
        while bounds[-1][-1] < len(lengths):
            bounds.append(order.step_bounds(int(bounds[-1][-1])))
        batches = [index_at(order, range(one[0], one[-1])).idx.tolist() for one in bounds]
        theirs = partial(drain, partial(flattening, rows, batches))
        yield from race(
            f"rows in memory to masked batches of {bins * MAX_TOKENS:,} tokens, time per real token",
            Call("packed: loader with mask_packed_tokens", partial(drain, partial(loader, packed)), tokens),
            Call("our padded batches of 32", partial(drain, partial(loader, padded)), tokens, 3, is_ours=True),
            Call("transformers DataCollatorWithFlattening", theirs, tokens, 5),
            effort=effort,
        )


def growth(window: int, effort: Effort) -> Iterator[Measurement]:
    """Compare packing with TRL's in windows of a size."""
    few, axis = log_normal(effort.pick(60_000, 20_000)), {"axis": "samples per window", "size": window}
    bins: dict[str, int] = {}
    _, trl = rivals(few, bins, window)
    theirs = Call("TRL, moves tokens", trl.run, trl.per, None, trl.reason)
    ours = Call("PackedOrder, plans only", partial(planned, few, 1, window_size=window), per=len(few))
    yield from race("packing, time per sample", ours, theirs, effort=effort, **axis)
    if bins:
        fill = Side(name=theirs.name, rounds=(fill_of_bins(few, bins["trl"]),))
        mine = Side(name=ours.name, rounds=(planned(few, 1, window_size=window),), is_ours=True)
        yield Measurement(what="packing, fill", unit="of 1", ours=mine, peer=fill, is_more_better=True, **axis)
