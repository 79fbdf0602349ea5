"""Resumes of this library's loaders, by the same measure as the others."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bionemo.core.random import fold_in
from bionemo.data import EpochOrder, MixtureOrder, PackedOrder, Pipeline, Source, batch_at, collate_packed
from bionemo.data.pipes import loader
from tests.peers.verdicts import Job, Ways, of_sources, taken, verdict

REQUIREMENTS = ("bionemo-core==3.0.0a1",)
ROWS = [np.full(3 + number % 5, number) for number in range(48)]


class Noise:
    """A data set that returns random numbers of torch's global state."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, idx: int) -> float:
        return float(torch.rand(()))


def cases() -> dict[str, Callable[[], str]]:
    ways = Ways()
    bins = Ways(ids_of=lambda batch: batch["ids"].tolist())

    def epoch(seed: int = 1) -> EpochOrder:
        return EpochOrder(length=48, seed=seed, num_samples=48)

    def job(world_size: int = 1, *, num_workers: int = 0, batch_size: int = 8, **fields: Any) -> Job:
        given = {"order": epoch(), "sources": range(48), "seed": 1, "collate": list} | fields
        pipeline = Pipeline(**given, batch_size=None if isinstance(given["order"], PackedOrder) else batch_size)
        return lambda: [loader(pipeline, rank, world_size, num_workers=num_workers) for rank in range(world_size)]

    def mixture(*changes: tuple[int, tuple[int, int]]) -> Job:
        orders = [EpochOrder(length=48, seed=fold_in(1, "source", number)) for number in range(2)]
        order = MixtureOrder(orders=orders, weights=(1, 1), changes=changes, num_samples=48)
        return job(order=order, sources=(range(48), range(100, 148)))

    def packed(world_size: int = 1) -> Job:
        lengths = [len(row) for row in ROWS]
        order = PackedOrder(order=epoch(), lengths=lengths, max_tokens=16, bins_per_step=2, window_size=12, seed=2)
        return job(world_size, order=order, sources=ROWS, collate=collate_packed)

    def text(name: str, rows: Sequence[int]) -> Job:
        return job(sources=Source(rows, fingerprint=name))

    def by_number() -> str:
        pipeline = Pipeline(order=epoch(), sources=range(48), batch_size=8, seed=1, collate=list)
        return "exact" if batch_at(pipeline, 5) == [*loader(pipeline)][5] else "another batch"

    noise = job(sources=Noise())
    return {
        "within an epoch": lambda: verdict(ways, job()),
        "twice": lambda: verdict(ways, job(), stops=(3, 2)),
        "2 workers → 1": lambda: verdict(ways, job(num_workers=2), job(num_workers=1)),
        "2 workers → none": lambda: verdict(ways, job(num_workers=2), job()),
        "no worker → 2": lambda: verdict(ways, job(), job(num_workers=2)),
        "2 ranks → 3": lambda: verdict(ways, job(2), job(3)),
        "2 ranks → 1": lambda: verdict(ways, job(2), job(1)),
        "batches of 8 → 12": lambda: verdict(ways, job(), job(batch_size=12)),
        "weights 1:1 → 3:1 from the position on": lambda: of_sources(ways, mixture(), mixture((24, (3, 1)))),
        "weights 1:1 → 3:1 at a position already read": lambda: verdict(ways, mixture(), mixture((8, (3, 1)))),
        "packing": lambda: verdict(bins, packed()),
        "packing, twice": lambda: verdict(bins, packed(), stops=(3, 2)),
        "packing, 2 ranks → 1": lambda: verdict(bins, packed(2), packed()),
        "noise of the global state, 2 workers → none": lambda: verdict(
            ways, job(sources=Noise(), num_workers=2), noise
        ),
        "step 5 by its number": by_number,
        "another seed": lambda: taken(ways, job(), job(order=epoch(2))),
        "other data with a fingerprint": lambda: taken(ways, text("A", range(48)), text("B", range(100, 148))),
        "other data of another length": lambda: taken(
            ways, job(), job(sources=range(50), order=EpochOrder(length=50, seed=1))
        ),
        "other data of this length without a fingerprint": lambda: taken(ways, job(), job(sources=range(100, 148))),
    }
