"""Benchmarks of data sets on disk against others: `python -m benchmarks.disk`; with `--long`, of a million batches."""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import anndata
import numpy as np
import pandas as pd
import psutil
import scipy.sparse
import torch

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds, seconds_in_turn, show
from bionemo.core.padding import pad_token_ids
from bionemo.data import BlockShuffleOrder, ClusterOrder, EpochOrder, Pipeline, WeightedOrder, index_at
from bionemo.data.pipes import loader
from bionemo.data.sources import CellRows, TokenFile, Windows, letter_table, tokenize_fasta, write_tokens

FOLDER = Path(__file__).parents[1] / ".cache" / "bench"
CELLS, GENES, CELLS_PER_BATCH, BLOCK, AHEAD = 100_000, 2_000, 64, 64, 64
ROWS, ROWS_PER_BATCH, MANY = 200_000, 32, 10**8
RESIDUES, FIRST = b"ACDEFGHIKLMNPQRSTVWY", 4


def made(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of files that a function makes once; they are read, so that they are in the page cache."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / name).exists():
        with TemporaryDirectory(dir=FOLDER, ignore_cleanup_errors=True) as unfinished:
            make(Path(unfinished))
            Path(unfinished).rename(FOLDER / name)
    for path in filter(Path.is_file, (FOLDER / name).rglob("*")):
        path.read_bytes()
    return FOLDER / name


def write_cells(folder: Path) -> None:
    """Write cells in the order of their eight labels, of which the last is eight times as frequent as the first."""
    generator, numbers = np.random.default_rng(1), np.arange(1, 9)
    counts = scipy.sparse.random(CELLS, GENES, 0.1, "csr", np.float32, rng=generator)
    labels = np.sort(generator.choice(numbers, CELLS, p=numbers / numbers.sum())).astype(str).astype(object)
    index = pd.Index([str(number) for number in range(CELLS)], dtype=object)
    obs = pd.DataFrame({"label": pd.Categorical(labels)}, index=index)
    anndata.AnnData(counts, obs=obs).write_h5ad(folder / "cells.h5ad")


def make_rows() -> list[Any]:
    """Return rows of 50 to 600 tokens."""
    generator = np.random.default_rng(1)
    lengths = generator.integers(50, 601, ROWS)
    return [generator.integers(FIRST, FIRST + len(RESIDUES), length, np.uint8) for length in lengths]


def write_fasta(folder: Path) -> None:
    """Write 100 MB of proteins in lines of 60 residues."""
    rows, letters = make_rows(), np.frombuffer(b"-" * FIRST + RESIDUES, np.uint8)
    with (folder / "proteins.fasta").open("wb") as file:
        while (number := file.tell()) < 10**8:
            row = letters[rows[number % ROWS]].tobytes()
            lines = b"\n".join(row[start : start + 60] for start in range(0, len(row), 60))
            file.write(b">sp|P%09d|A generated protein\n%s\n" % (number, lines))


def advance(batches: Iterator[Any], number: int) -> None:
    """Read some batches."""
    for _ in islice(batches, number):
        pass


def per_item(batches: list[Any], number: int = 2 * AHEAD, items_per_batch: float = CELLS_PER_BATCH) -> list[float]:
    """Return the nanoseconds per item of each loader: of so many batches in turn, after as many that warm up."""
    took = seconds_in_turn(*(partial(advance, iter(one), number) for one in batches), repeats=5)
    return [duration / number / items_per_batch * 1e9 for duration in took]


def ours(rows: Any, order: Any, collate: Any, batch_size: int = ROWS_PER_BATCH, **options: Any) -> Any:
    """Return our loader. As in the others, nothing draws from the global states."""
    fields: dict[str, Any] = {"batch_size": batch_size, "collate": collate, "seed": 1, "seed_global_states": False}
    return loader(Pipeline(order=order, sources=rows, **fields), **options)


def join(cells: list[Any]) -> tuple[Any, Any, Any]:
    """Return a batch of cells as the three arrays of a CSR matrix."""
    counts, genes = ([cell[name] for cell in cells] for name in ("counts", "genes"))
    return np.concatenate(counts), np.concatenate(genes), np.cumsum([0, *map(len, counts)])


def stack(cells: list[Any]) -> dict[str, Any]:
    """Return a batch of cells as a dense array, with their labels."""
    return {"X": np.stack([cell["counts"] for cell in cells]), "label": [cell["label"] for cell in cells]}


def our_cells(path: Path, order: Any, *, dense: bool = False) -> Any:
    """Return our loader of cells."""
    rows = CellRows(path, obs=["label"] if dense else [], dense=dense)
    return ours(rows, order, stack if dense else join, CELLS_PER_BATCH, read_ahead=AHEAD)


def cells() -> list[Row]:
    """Compare shuffled cells of an h5ad file with scDataset and anndata, and our other orders with our shuffle."""
    path, peer, rows = made("cells", write_cells) / "cells.h5ad", peers.scdataset(), []
    labels = CellRows(path, obs=["label"]).labels["label"]
    blocks = BlockShuffleOrder(length=CELLS, block_size=BLOCK, blocks_per_window=AHEAD, seed=1)
    shuffled, weights = EpochOrder(length=CELLS, seed=1), 1 / np.bincount(labels)[labels]
    sizes = {"batch_size": CELLS_PER_BATCH, "fetch_factor": AHEAD}
    for name, order, size in (("all shuffled", shuffled, 1), (f"blocks of {BLOCK} shuffled", blocks, BLOCK)):
        for form, dense in (("CSR rows", False), ("dense rows and labels", True)):
            label, of = f"time per cell, {name}, {form}", f"{peer.name}, block_size={size}"
            if peer.function:
                theirs = peer.function(path, block_size=size, dense=dense, **sizes)
                rows.append(faster(label, *per_item([our_cells(path, order, dense=dense), theirs]), 3, of))
            else:
                rows.append(missing(label, peer))
    backed = anndata.read_h5ad(path, backed="r")  # its fastest way: the rows of X, ascending
    batches = np.random.default_rng(1).permutation(CELLS)[: 1024 * CELLS_PER_BATCH].reshape(-1, CELLS_PER_BATCH)
    took = per_item([our_cells(path, shuffled), (backed.X[indices] for indices in np.sort(batches))])
    rows.append(faster("time per cell, all shuffled, CSR rows", *took, 20, "backed anndata, per batch"))
    orders = (shuffled, WeightedOrder(weights=weights, seed=1), ClusterOrder(clusters=labels, seed=1))
    of_shuffled, *others = per_item([our_cells(path, order) for order in orders])
    for name, other in zip(("by weights", "as clusters"), others, strict=True):
        rows.append(faster(f"time per cell, labels balanced {name}, CSR rows", other, of_shuffled, 0.8, "all shuffled"))
    found = [our_cells(path, order, dense=True) for order in (shuffled, blocks)]
    found += [peer.function(path, block_size=BLOCK, dense=True, **sizes)] if peer.function else []
    bits = [f"{np.mean([*map(entropy, islice(iter(one), 8 * AHEAD))]):.3f}" for one in found]
    print(f"Label entropy of a batch, in bits: {', '.join(bits)} (all shuffled, blocks, and scDataset's blocks).")
    return rows


def entropy(batch: dict[str, Any]) -> float:
    """Return the entropy of a batch's labels, in bits."""
    fractions = np.unique(np.asarray(batch["label"]), return_counts=True)[1] / len(batch["label"])
    return float(-(fractions * np.log2(fractions)).sum())


def by_datasets(dataset: Any, order: Any) -> Iterator[Any]:
    """Yield padded batches of the same rows of a Hugging Face data set; all indices are made at the first batch."""
    for indices in index_at(order, range(ROWS)).idx.reshape(-1, ROWS_PER_BATCH).tolist():
        yield pad_token_ids(dataset[indices]["ids"])


def tokens() -> list[Row]:
    """Measure shuffled, padded batches of a token file, and compare them with a Hugging Face data set."""
    folder = made("tokens", lambda folder: write_tokens(folder / "rows", make_rows(), dtype=np.uint8))
    rows, order, peer = TokenFile(folder / "rows"), EpochOrder(length=ROWS, seed=1), peers.huggingface_dataset()
    makes = [ours(rows, order, pad_token_ids, read_ahead=16)]
    if peer.function:
        write, read = peer.function.Dataset.from_dict, peer.function.load_from_disk
        dataset = read(made("arrow", lambda folder: write({"ids": make_rows()}).save_to_disk(folder)))
        makes += [by_datasets(one, order) for one in (dataset, dataset.with_format("numpy", dtype=np.uint8))]
    each, *others = per_item(makes, 320, ROWS_PER_BATCH * float(np.mean(rows.lengths)))
    label, found = "time per token, rows on disk to padded batches", []
    for form, other in zip(("lists", "NumPy arrays"), others, strict=False):
        found.append(faster(label, each, other, 10, f"{peer.name}, Arrow to {form}"))
    speed = at_least("rows on disk to padded batches", 1000 / each, 20, "M tokens/s")
    return [speed, *(found or [missing(label, peer)])]


def at_least(label: str, value: float, limit: float, unit: str) -> Row:
    """Return a row whose target is a least value."""
    return Row(label, f"{value:,.1f} {unit}", "", "", f"at least {limit:g} {unit}", value >= limit)


def opening() -> list[Row]:
    """Measure opening 10**8 rows of sparse files, resuming in their middle, and numbering 2 * 10**8 windows."""
    order, middle = EpochOrder(length=MANY, seed=1), MANY // 2
    indices = index_at(order, range(middle, middle + ROWS_PER_BATCH)).idx
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.idx"
        with path.open("wb") as file:
            file.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 1, MANY, MANY + 1))
            file.truncate(34 + 12 * MANY + 8 * (MANY + 1))
        path.with_suffix(".bin").touch()
        state = ours(TokenFile(path), order, pad_token_ids, start=middle).state_dict()

        def resume() -> None:
            batches = ours(TokenFile(path), order, pad_token_ids)
            batches.load_state_dict(state)
            next(iter(batches))

        opened = seconds(lambda: TokenFile(path)[middle])
        resumed, plain = seconds_in_turn(resume, lambda: TokenFile(path).__getitems__(indices))
    lengths = np.random.default_rng(1).integers(100, 301, 10**6) * 1024
    number = len(Windows(lengths=lengths, size=1024))
    numbered = seconds(lambda: Windows(lengths=lengths, size=1024).window_at(number - 1))
    return [
        below("opening 10**8 rows and reading one", opened * 1e3, 100, "ms"),
        below("first batch, resumed amid 10**8 rows, beyond a plain read", (resumed - plain) * 1e3, 50, "ms"),
        below(f"opening {number:,} windows of 10**6 records and finding one", numbered * 1e3, 1000, "ms"),
    ]


def tokenizing() -> list[Row]:
    """Measure tokenizing a FASTA file in this process."""
    fasta, table = made("fasta", write_fasta) / "proteins.fasta", letter_table(RESIDUES.decode(), first=FIRST)
    with TemporaryDirectory(dir=FOLDER) as folder:
        took = seconds(lambda: tokenize_fasta(fasta, f"{folder}/rows", table=table, num_workers=0), 2)
    return [at_least("tokenizing a FASTA file, per core", fasta.stat().st_size / took / 1e6, 20, "MB/s")]


def growth(context: str, number: int) -> list[int]:
    """Return how many bytes and open files all processes together gain from the thousandth batch to another one."""
    rows, order = TokenFile(FOLDER / "tokens" / "rows"), EpochOrder(length=ROWS, seed=1)
    batches = ours(rows, order, pad_token_ids, num_workers=2, multiprocessing_context=context, read_ahead=16)
    iterator, found = iter(batches), []
    for count in (1000, number - 1000):
        advance(iterator, count)
        time.sleep(2)  # until the workers have made what they make ahead
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found.append([sum(one.memory_info().rss for one in processes), sum(one.num_fds() for one in processes)])
    batches.close()
    return [after - before for before, after in zip(*found, strict=True)]


def memory(number: int) -> list[Row]:
    """Measure the growth of memory and open files with two workers, each in a process of its own."""
    rows = []
    for context in ("fork", "spawn"):
        command = [sys.executable, "-m", "benchmarks.disk", "--growth", context, str(number)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        label, (size, count) = f"gained from batch 1,000 to {number:,}, two workers by {context}", printed.split()
        rows.append(below(f"resident memory {label}", int(size) / 2**20, 10, "MB"))
        rows.append(below(f"open files {label}", int(count), 1, "files"))
    return rows


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    note = "" if os.access("/proc/sys/vm/drop_caches", os.W_OK) else " (here /proc/sys/vm/drop_caches isn't writable)"
    print(f"One thread. All files are in the page cache: a benchmark can't drop it without root{note}.")
    parts = (cells, tokens, opening, tokenizing, partial(memory, 10**6 if "--long" in sys.argv else 10**4))
    show(row for part in parts for row in part())


if __name__ == "__main__":
    print(*growth(sys.argv[2], int(sys.argv[3]))) if "--growth" in sys.argv else main()
