"""Cells of an h5ad file in the page cache: shuffled batches of 64, and labels balanced."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, limited, race
from benchmarks.record import Measurement, Side
from benchmarks.subjects.files import advance, endless, made, ours
from bionemo.data import BlockShuffleOrder, ClusterOrder, EpochOrder, WeightedOrder
from bionemo.data.sources import CellRows

CELLS, GENES, BATCH, BLOCK, AHEAD = 100_000, 2_000, 64, 64, 64
NUMBER = 2 * AHEAD
"""Batches per round."""


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare shuffled cells with scDataset and anndata, and our other orders with our shuffle."""
    path, peer = made("cells", write_cells) / "cells.h5ad", peers.scdataset()
    labels = CellRows(path, obs=["label"]).labels["label"]
    blocks = BlockShuffleOrder(length=CELLS, block_size=BLOCK, blocks_per_window=AHEAD, seed=1)
    shuffled = EpochOrder(length=CELLS, seed=1)
    sizes = {"batch_size": BATCH, "fetch_factor": AHEAD}
    for name, order, size in (("all shuffled", shuffled, 1), (f"blocks of {BLOCK} shuffled", blocks, BLOCK)):
        for form, dense in (("CSR rows", False), ("dense rows and labels", True)):

            def theirs(load: Any, size: int = size, dense: bool = dense) -> Callable[[], None]:  # noqa: FBT001
                return reading(lambda: load(path, block_size=size, dense=dense, **sizes))

            yield from race(
                f"{name}, {form}, time per cell",
                Call("loader of CellRows", reading(partial(our_cells, path, order, dense=dense)), BATCH * NUMBER),
                call_of(peer, theirs, f"block_size={size}", per=BATCH * NUMBER, least_ratio=3),
                effort=effort,
            )
    if not effort.is_quick:
        yield from backed(path, shuffled, effort)
        yield from balanced(path, labels, shuffled, effort)
        yield from entropies(path, {"all shuffled": shuffled, "blocks": blocks}, peer)


def write_cells(folder: Path) -> None:
    """Write cells in the order of their eight labels, of which the last is eight times as frequent as the first."""
    generator, numbers = np.random.default_rng(1), np.arange(1, 9)
    counts = scipy.sparse.random(CELLS, GENES, 0.1, "csr", np.float32, rng=generator)
    labels = np.sort(generator.choice(numbers, CELLS, p=numbers / numbers.sum())).astype(str).astype(object)
    index = pd.Index([str(number) for number in range(CELLS)], dtype=object)
    obs = pd.DataFrame({"label": pd.Categorical(labels)}, index=index)
    anndata.AnnData(counts, obs=obs).write_h5ad(folder / "cells.h5ad")


def reading(make: Callable[[], Iterable[Any]], number: int = NUMBER) -> Callable[[], None]:
    """Return a function that reads the next batches of what a function makes."""
    return partial(advance, endless(make), number)


def join(cells: list[Any]) -> tuple[Any, Any, Any]:
    """Return a batch of cells as the three arrays of a CSR matrix."""
    counts, genes = ([cell[name] for cell in cells] for name in ("counts", "genes"))
    return np.concatenate(counts), np.concatenate(genes), np.cumsum([0, *map(len, counts)])


def stack(cells: list[Any]) -> dict[str, Any]:
    """Return a batch of cells as a dense array, with their labels."""
    return {"X": np.stack([cell["counts"] for cell in cells]), "label": [cell["label"] for cell in cells]}


def our_cells(path: Path, order: Any, *, dense: bool = False, read_ahead: int = AHEAD) -> Any:
    """Return our loader of cells."""
    rows = CellRows(path, obs=["label"] if dense else [], dense=dense)
    return ours(rows, order, stack if dense else join, BATCH, read_ahead=read_ahead)


def backed(path: Path, order: Any, effort: Effort) -> Iterator[Measurement]:
    """Compare with a backed AnnData, in its fastest way: the rows of X, ascending, one batch per read."""
    cells, few, ahead = anndata.read_h5ad(path, backed="r"), 8, 16  # fewer than above: they fit the processor's cache
    mine = partial(our_cells, path, order, read_ahead=ahead)
    batches = np.sort(np.random.default_rng(1).permutation(CELLS)[: CELLS // BATCH * BATCH].reshape(-1, BATCH))
    yield from race(
        "all shuffled, CSR rows, time per cell, beside anndata",
        Call(f"loader of CellRows, {ahead} batches ahead", reading(mine), BATCH * NUMBER),
        Call(
            f"anndata {anndata.__version__}, backed, batch by batch",
            reading(lambda: (cells.X[indices] for indices in batches), few),
            BATCH * few,
            20,
        ),
        effort=effort,
    )


def balanced(path: Path, labels: Any, order: Any, effort: Effort) -> Iterator[Measurement]:
    """Compare our orders that balance labels with our shuffle: they read as fast, but for repeated cells."""
    orders = {
        "by weights": WeightedOrder(weights=1 / np.bincount(labels)[labels], seed=1),
        "as clusters": ClusterOrder(clusters=labels, seed=1),
    }
    for name, other in orders.items():
        yield from race(
            f"labels balanced {name}, CSR rows, time per cell",
            Call("loader", reading(partial(our_cells, path, other)), BATCH * NUMBER),
            Call("all shuffled", reading(partial(our_cells, path, order)), BATCH * NUMBER, 0.8, is_ours=True),
            effort=effort,
        )


def entropies(path: Path, orders: dict[str, Any], peer: peers.Peer) -> Iterator[Measurement]:
    """Compare how mixed the labels of a batch are: the mean entropy, which is 2.83 bits for all cells together."""
    for name, order in orders.items():
        found = mean_entropy(our_cells(path, order, dense=True))
        what = f"entropy of a batch's labels, {name}"
        if peer.function is not None:
            options = {"batch_size": BATCH, "fetch_factor": AHEAD, "block_size": BLOCK, "dense": True}
            theirs = Side(name=f"{peer.name}, blocks", rounds=(mean_entropy(peer.function(path, **options)),))
            mine = Side(name="loader of CellRows", rounds=(found,), is_ours=True)
            yield Measurement(what=what, unit="bits", ours=mine, peer=theirs, is_more_better=True)
        else:
            yield limited(what, "loader of CellRows", found, unit="bits", limit=0, is_more_better=True)


def mean_entropy(batches: Iterable[Any]) -> float:
    """Return the mean entropy of the labels of some batches, in bits."""
    found = []
    for batch in islice(batches, 8 * AHEAD):
        fractions = np.unique(np.asarray(batch["label"]), return_counts=True)[1] / len(batch["label"])
        found.append(-(fractions * np.log2(fractions)).sum())
    return float(np.mean(found))
