"""Draws from clusters, as many as UniRef50's: 6.5 * 10**7 of 1.9 * 10**8 sequences, in memory-mapped files."""

import tempfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from benchmarks.measure import Call, Effort, limited, race, resident, timed
from benchmarks.record import Measurement
from bionemo.data import ClusterOrder, ClusterTable, index_at

DRAWS = 10**6
RNG = np.random.default_rng(42)


def measure(effort: Effort) -> Iterator[Measurement]:
    """Measure draws, construction and memory, and compare with two random draws in NumPy."""
    sizes = np.minimum(RNG.geometric(1 / 2.9, effort.pick(65 * 10**6, 10**6)), 10**4).astype(np.uint32)
    sizes[: 10**3] = 10**4  # the mean is 2.9, but some clusters are large
    offsets = np.zeros(len(sizes) + 1, dtype=np.uint32)
    np.cumsum(sizes, out=offsets[1:])
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/offsets.npy", offsets)
        np.save(f"{folder}/members.npy", RNG.permutation(np.arange(offsets[-1], dtype=np.uint32)))
        length, num_samples = len(sizes), int(offsets[-1])
        del sizes, offsets
        before = resident()

        def make() -> ClusterOrder:
            maps = {name: np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("offsets", "members")}
            return ClusterOrder(clusters=ClusterTable(**maps), seed=42)

        label, name = f"{num_samples:,} sequences in clusters", "ClusterOrder"
        yield timed(f"{label}: made from memory maps, every entry checked", name, make, effort=effort, limit=1)
        order = make()
        positions = torch.arange(DRAWS) * 1000 % length
        draw = partial(index_at, order, positions)
        draw()
        held = resident() - before
        yield limited(f"{label}: resident memory with the table", name, held, unit="bytes", limit=2e9)
        what = f"{label}: time per draw, 10**6 at once"
        yield timed(what, name, draw, effort=effort, limit=1e-6, per=DRAWS)
        by_size = ClusterOrder(clusters=order.clusters, seed=42, weights=np.sqrt(order.clusters.sizes))
        run = partial(index_at, by_size, positions)
        yield timed(f"{what}, by weights", f"{name} with weights", run, effort=effort, limit=1e-6, per=DRAWS)
        del by_size, run
        table = order.clusters
        starts, members = table.offsets.array, table.members.array  # type: ignore[union-attr]

        def naive() -> None:
            drawn = RNG.integers(length, size=DRAWS)
            first = starts[drawn].astype(np.int64)
            members[first + (RNG.random(DRAWS) * (starts[drawn + 1] - first)).astype(np.int64)]

        rival = Call("NumPy: a random cluster, and a random member of it; not resumable", naive, per=DRAWS)
        yield from race(what, Call("index_at(ClusterOrder)", draw, per=DRAWS), rival, effort=effort)
