"""Benchmarks of data sets on disk against others: `python -m benchmarks.disk`; with `--long`, of a million batches."""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
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
CELLS, GENES, LABELS, CELLS_PER_BATCH, AHEAD = 100_000, 2_000, 8, 64, 64
ROWS, ROWS_PER_BATCH = 200_000, 32
MANY = 10**8
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def made(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of files that a function makes once; they are read, so that they are in the page cache."""
    folder, unfinished = FOLDER / name, FOLDER / f"{name}.partial"
    if not folder.exists():
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    for path in filter(Path.is_file, folder.rglob("*")):
        path.read_bytes()
    return folder


def write_cells(folder: Path) -> None:
    """Write cells with labels in ascending order, of which the last is eight times as frequent as the first."""
    generator = np.random.default_rng(1)
    counts = scipy.sparse.random(CELLS, GENES, 0.1, "csr", np.float32, rng=generator)
    frequencies = np.arange(1, LABELS + 1) / np.arange(1, LABELS + 1).sum()
    names = np.array([f"type {number}" for number in range(LABELS)], dtype=object)
    labels = pd.Categorical(names[np.sort(generator.choice(LABELS, CELLS, p=frequencies))])
    index = pd.Index([str(number) for number in range(CELLS)], dtype=object)
    anndata.AnnData(counts, obs=pd.DataFrame({"label": labels}, index=index)).write_h5ad(folder / "cells.h5ad")


def token_rows() -> list[Any]:
    """Return rows of 50 to 600 tokens."""
    generator = np.random.default_rng(1)
    return [generator.integers(4, 24, length, np.uint8) for length in generator.integers(50, 601, ROWS)]


def write_fasta(folder: Path) -> None:
    """Write 100 MB of proteins in lines of 60 residues."""
    generator, number = np.random.default_rng(1), 0
    with (folder / "proteins.fasta").open("w") as file:
        while file.tell() < 100 * 10**6:
            letters = "".join(np.array(list(RESIDUES))[generator.integers(20, size=generator.integers(50, 601))])
            lines = "\n".join(letters[start : start + 60] for start in range(0, len(letters), 60))
            file.write(f">sp|P{number:06}|PROTEIN_{number} A generated protein\n{lines}\n")
            number += 1


def advance(batches: Iterator[Any], number: int) -> None:
    """Read some batches."""
    for _ in islice(batches, number):
        pass


def per_item(batches: list[Iterator[Any]], number: int, items_per_batch: float, repeats: int = 5) -> list[float]:
    """Return the nanoseconds per item of each iterator: of so many batches in turn, after as many that warm up."""
    took = seconds_in_turn(*(partial(advance, one, number) for one in batches), repeats=repeats)
    return [duration / number / items_per_batch * 1e9 for duration in took]


def join(cells: list[Any]) -> tuple[Any, Any, Any]:
    """Return a batch of cells as the three arrays of a CSR matrix."""
    counts, genes = ([cell[name] for cell in cells] for name in ("counts", "genes"))
    return np.concatenate(counts), np.concatenate(genes), np.cumsum([0, *map(len, counts)])


def stack(cells: list[Any]) -> dict[str, Any]:
    """Return a batch of cells as a dense array, with their labels."""
    return {"X": np.stack([cell["counts"] for cell in cells]), "label": [cell["label"] for cell in cells]}


def our_cells(path: Path, order: Any, *, dense: bool = False) -> Iterator[Any]:
    """Return our batches of cells."""
    rows = CellRows(path, obs=["label"] if dense else [], dense=dense)
    fields = {"batch_size": CELLS_PER_BATCH, "seed": 1, "collate": stack if dense else join}
    # As the others: nothing here draws from the global states.
    return iter(loader(Pipeline(order=order, sources=rows, seed_global_states=False, **fields), read_ahead=AHEAD))


def their_cells(module: Any, path: Path, block_size: int, *, dense: bool = False) -> Iterator[Any]:
    """Return scDataset's batches of cells: dense ones by its own adapter, else the rows of a CSR matrix."""
    cells, strategy = anndata.read_h5ad(path, backed="r"), module.BlockShuffling(block_size=block_size)
    options: dict[str, Any] = {"fetch_callback": lambda data, indices: data.X[indices]}
    if dense:
        options = {"fetch_transform": partial(module.transforms.adata_to_mindex, columns=["label"])}
    return iter(module.scDataset(cells, strategy, CELLS_PER_BATCH, AHEAD, seed=1, **options))


def by_anndata(path: Path) -> Iterator[Any]:
    """Yield the rows of shuffled cells as a CSR matrix, read batch by batch, by the fastest way of a backed AnnData."""
    cells, shuffled = anndata.read_h5ad(path, backed="r"), np.random.default_rng(1).permutation(CELLS)
    for start in range(0, CELLS, CELLS_PER_BATCH):
        yield cells.X[np.sort(shuffled[start : start + CELLS_PER_BATCH])]


def cells() -> list[Row]:
    """Compare shuffled cells of an h5ad file with scDataset and anndata, and our other orders with our shuffle."""
    path, peer, rows = made("cells", write_cells) / "cells.h5ad", peers.scdataset(), []
    epochs = EpochOrder(length=CELLS, seed=1)
    blocks = BlockShuffleOrder(length=CELLS, block_size=64, blocks_per_window=AHEAD, seed=1)
    measure = partial(per_item, number=2 * AHEAD, items_per_batch=CELLS_PER_BATCH)
    for name, order, block_size in (("all shuffled", epochs, 1), ("blocks of 64 shuffled", blocks, 64)):
        for form, dense in (("CSR rows", False), ("dense rows and labels", True)):
            label, of = f"time per cell, {name}, {form}", f"{peer.name}, block_size={block_size}"
            if not peer.function:
                rows.append(missing(label, peer))
                continue
            theirs = their_cells(peer.function, path, block_size, dense=dense)
            rows.append(faster(label, *measure([our_cells(path, order, dense=dense), theirs]), 3, of))
    took = measure([our_cells(path, epochs), by_anndata(path)])
    rows.append(faster("time per cell, all shuffled, CSR rows", *took, 20, "backed anndata, per batch"))
    labels = CellRows(path, obs=["label"]).labels["label"]
    balanced = WeightedOrder(weights=1 / np.bincount(labels)[labels], seed=1)
    clusters = ClusterOrder(clusters=labels, seed=1)
    ours, weighted, clustered = measure([our_cells(path, order) for order in (epochs, balanced, clusters)])
    rows.append(faster("time per cell, labels balanced by weights, CSR rows", weighted, ours, 0.8, "all shuffled"))
    rows.append(faster("time per cell, labels in turn as clusters, CSR rows", clustered, ours, 0.8, "all shuffled"))
    found = {"all shuffled": our_cells(path, epochs, dense=True), "blocks": our_cells(path, blocks, dense=True)}
    if peer.function:
        found["scDataset's blocks"] = their_cells(peer.function, path, 64, dense=True)
    bits = [f"{name} {np.mean([*map(entropy, islice(found[name], AHEAD))]):.3f}" for name in found]
    print(f"Label entropy per batch, in bits, of {entropy({'label': labels}):.3f}: {', '.join(bits)}.")
    return rows


def entropy(batch: dict[str, Any]) -> float:
    """Return the entropy of a batch's labels, in bits."""
    fractions = np.unique(np.asarray(batch["label"]), return_counts=True)[1] / len(batch["label"])
    return float(-(fractions * np.log2(fractions)).sum())


def token_batches(rows: TokenFile, order: Any, **options: Any) -> Any:
    """Return our loader of padded batches; nothing here draws from the global states."""
    fields: dict[str, Any] = {"batch_size": ROWS_PER_BATCH, "seed": 1, "seed_global_states": False}
    return loader(Pipeline(order=order, sources=rows, collate=pad_token_ids, **fields), **options)


def by_datasets(dataset: Any, order: Any) -> Iterator[Any]:
    """Yield padded batches of the same rows of a Hugging Face data set."""
    for start in range(0, ROWS, ROWS_PER_BATCH):
        indices = index_at(order, range(start, start + ROWS_PER_BATCH)).idx
        yield pad_token_ids(dataset[indices.tolist()]["ids"])


def write_arrow(module: Any, folder: Path) -> None:
    """Write the rows of tokens as a Hugging Face data set."""
    features = module.Features({"ids": module.Sequence(module.Value("uint8"))})
    module.Dataset.from_dict({"ids": token_rows()}, features=features).save_to_disk(folder)


def tokens() -> list[Row]:
    """Measure shuffled, padded batches of a token file, and compare them with a Hugging Face data set."""
    folder = made("tokens", lambda folder: write_tokens(folder / "rows", token_rows(), dtype=np.uint8))
    rows, order, peer = TokenFile(folder / "rows"), EpochOrder(length=ROWS, seed=1), peers.huggingface_dataset()
    makes = [iter(token_batches(rows, order, read_ahead=16))]
    if peer.function:
        arrow = peer.function.load_from_disk(made("arrow", partial(write_arrow, peer.function)))
        makes.append(by_datasets(arrow.with_format("numpy"), order))
    ours, *theirs = per_item(makes, 320, ROWS_PER_BATCH * float(np.mean(rows.lengths)))
    label = "time per token, a token file's rows to padded batches"
    of = f"{peer.name}, Arrow as NumPy"
    return [
        at_least("a token file's rows to padded batches", 1000 / ours, 20, "M tokens/s"),
        faster(label, ours, theirs[0], 10, of) if theirs else missing(label, peer),
    ]


def at_least(label: str, value: float, limit: float, unit: str) -> Row:
    """Return a row whose target is a least value."""
    return Row(label, f"{value:,.1f} {unit}", "", "", f"at least {limit:g} {unit}", value >= limit)


def opening() -> list[Row]:
    """Measure opening 10**8 rows of sparse files, resuming in their middle, and numbering 2 * 10**8 windows."""
    order = EpochOrder(length=MANY, seed=1)
    indices = index_at(order, range(MANY // 2, MANY // 2 + ROWS_PER_BATCH)).idx
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.idx"
        with path.open("wb") as file:
            file.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 1, MANY, MANY + 1))
            file.truncate(34 + 12 * MANY + 8 * (MANY + 1))
        path.with_suffix(".bin").touch()
        state = token_batches(TokenFile(path), order, start=MANY // 2).state_dict()

        def resume() -> None:
            batches = token_batches(TokenFile(path), order)
            batches.load_state_dict(state)
            next(iter(batches))

        opened = seconds(lambda: TokenFile(path)[MANY // 2])
        resumed, plain = seconds_in_turn(resume, lambda: TokenFile(path).__getitems__(indices))
    lengths = np.random.default_rng(1).integers(100, 301, 10**6) * 1024
    number = len(Windows(lengths=lengths, size=1024))
    return [
        below("opening 10**8 rows and reading one", opened * 1e3, 100, "ms"),
        below("first batch, resumed amid 10**8 rows, beyond a plain read", (resumed - plain) * 1e3, 50, "ms"),
        below(f"numbering {number:,} windows of 10**6 records", seconds(partial(last_window, lengths)), 1, "s"),
    ]


def last_window(lengths: Any) -> Any:
    """Return the last window of records."""
    found = Windows(lengths=lengths, size=1024)
    return found.window_at(len(found) - 1)


def tokenizing() -> list[Row]:
    """Measure tokenizing a FASTA file in this process."""
    fasta, table = made("fasta", write_fasta) / "proteins.fasta", letter_table(RESIDUES, first=4, unknown=3)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        took = seconds(lambda: tokenize_fasta(fasta, f"{folder}/rows", table=table, num_workers=0), 2)
    return [at_least("tokenizing a FASTA file, per core", fasta.stat().st_size / took / 1e6, 20, "MB/s")]


def growth(context: str, number: int) -> list[int]:
    """Return by how many bytes, and descriptors, all processes grow from the thousandth batch to another one."""
    batches = token_batches(
        TokenFile(FOLDER / "tokens" / "rows"),
        EpochOrder(length=ROWS, seed=1),
        num_workers=2,
        multiprocessing_context=context,
        read_ahead=4,
    )
    iterator, found = iter(batches), []
    for count in (1000, number - 1000):
        advance(iterator, count)
        time.sleep(2)  # until the workers have made what they make ahead
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found.append([sum(one.memory_info().rss for one in processes), sum(one.num_fds() for one in processes)])
    batches.close()
    return [after - before for before, after in zip(*found, strict=True)]


def memory(number: int) -> list[Row]:
    """Measure the growth of memory and descriptors with two workers, each in a process of its own."""
    rows = []
    for context in ("fork", "spawn"):
        command = [sys.executable, "-m", "benchmarks.disk", "--growth", context, str(number)]
        size, count = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
        label = f"from batch 1,000 to {number:,}, two workers by {context}"
        rows.append(below(f"resident memory gained {label}", size / 2**20, 10, "MB"))
        rows.append(below(f"descriptors gained {label}", count, 1, ""))
    return rows


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true", help="measure the memory of a million batches")
    parser.add_argument("--growth", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.growth:
        print(json.dumps(growth(options.growth[0], int(options.growth[1]))))
        return
    can_drop = os.access("/proc/sys/vm/drop_caches", os.W_OK)
    reason = "is left as it is" if can_drop else "can't be dropped here: /proc/sys/vm/drop_caches is not writable"
    print(f"Files are in the page cache, which only root can drop; it {reason}. One thread.")
    parts = (cells, tokens, opening, tokenizing, partial(memory, 10**6 if options.long else 10**4))
    show(row for part in parts for row in part())


if __name__ == "__main__":
    main()
