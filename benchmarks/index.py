"""Benchmarks of index maps against other libraries: `make bench-index`. One thread, one process."""

import os
import pickle
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from benchmarks import peers
from benchmarks.table import Row, at_most, below, faster, missing, seconds, show
from bionemo.data import (
    BlockShuffleOrder,
    ClusterOrder,
    ClusterTable,
    EpochOrder,
    MixtureOrder,
    Order,
    ProportionalOrder,
    ResampleOrder,
    WeightedOrder,
    index_at,
    integer_weights,
)
from bionemo.data.permute import permute

LENGTH = 10**9 + 7
BULK = torch.arange(10**6) * 1000
RNG = np.random.default_rng(42)
SCALARS = [int(index) for index in RNG.integers(LENGTH, size=5000)]


def bulk(function: Callable[[torch.Tensor], Any], indices: torch.Tensor = BULK) -> float:
    """Return the nanoseconds per index if all indices are mapped at once."""
    return seconds(lambda: function(indices)) / len(indices) * 1e9


def scalar(function: Callable[[int], Any], indices: list[int] = SCALARS) -> float:
    """Return the nanoseconds per index if the indices are mapped one by one."""

    def each() -> None:
        for index in indices:
            function(index)

    return seconds(each) / len(indices) * 1e9


def permutations() -> list[Row]:
    """Compare the permutation with torch's, bionemo-core 2.4.5's and grain's."""
    compiled = torch.compile(permute, fullgraph=True, dynamic=True)
    small = BULK % 10**6
    eager = {length: bulk(partial(permute, length=length, seed=42), small) for length in (10**6, 2**40 + 15)}
    lengths = (10**6, LENGTH, 2**40 + 15)
    fast = {length: bulk(lambda index, length=length: compiled(index, length, 42), small) for length in lengths}
    eager_bulk, fast_bulk = bulk(partial(permute, length=LENGTH, seed=42)), fast[LENGTH]
    generator = torch.Generator()
    randperm = seconds(lambda: torch.randperm(10**8, generator=generator.manual_seed(42)), 3) / 10**8 * 1e9
    rows = [
        faster("permute, 10**6 at once, compiled", fast_bulk, randperm, 4, "torch.randperm(10**8)"),
        faster("permute, 10**6 at once, eager", eager_bulk, randperm, 1, "torch.randperm(10**8)"),
        at_most("permute, length 2**40+15, compiled", fast[2**40 + 15], fast[10**6], 1.3, "length 10**6"),
        at_most("permute, length 2**40+15, eager", eager[2**40 + 15], eager[10**6], 1.3, "length 10**6"),
    ]
    upstream, grain = peers.bionemo_permute(), peers.grain_shuffle()
    if upstream.function:
        theirs = scalar(lambda index: upstream.function(index, LENGTH, 42))
        ours = scalar(lambda index: permute(index, LENGTH, 42))
        rows += [
            at_most("permute, one int at a time", ours, theirs, 1.2, upstream.name),
            faster("permute, 10**6 at once, eager", eager_bulk, theirs, 50, upstream.name),
            faster("permute, 10**6 at once, compiled", fast_bulk, theirs, 50, upstream.name),
        ]
    else:
        rows.append(missing("permute", upstream))
    if grain.function:
        theirs = scalar(lambda index: grain.function(index, LENGTH - 1, 42, 4))
        rows += [
            faster("permute, 10**6 at once, eager", eager_bulk, theirs, 50, grain.name),
            faster("permute, 10**6 at once, compiled", fast_bulk, theirs, 50, grain.name),
        ]
    else:
        rows.append(missing("permute", grain))
    return rows


def resampling() -> list[Row]:
    """Compare draws with replacement with bionemo-core 2.4.5's."""
    order = ResampleOrder(length=10**6, seed=42)
    near, far = (scalar(partial(index_at, order), list(range(start, start + 5000))) for start in (0, 10**12))
    rows = [at_most("ResampleOrder, position 10**12", far, near, 1.2, "position 0")]
    upstream = peers.bionemo_resampler()
    if not upstream.function:
        return [*rows, missing("ResampleOrder", upstream)]
    dataset = upstream.function(range(10**6), 42, 10**6)

    def first_access() -> None:
        upstream.function(range(10**6), 42, 10**6)[999_999]

    def sequential() -> None:
        for index in range(100_000):
            dataset[index]

    theirs = seconds(sequential, 3) / 100_000 * 1e9
    return [
        *rows,
        faster(
            "ResampleOrder, first access, at position 10**6", near, seconds(first_access, 3) * 1e9, 1, upstream.name
        ),
        faster("ResampleOrder, 10**6 at once", bulk(partial(index_at, order)), theirs, 15, upstream.name),
    ]


def orders_of_a_trillion() -> dict[str, Callable[[], Order]]:
    """Return, for each kind of order, a function that makes one of 10**12 samples."""
    num_samples = 10**12
    parts = [EpochOrder(length=LENGTH + seed, seed=seed) for seed in range(8)]
    weights = np.ones(1)
    return {
        "EpochOrder": lambda: EpochOrder(length=LENGTH, seed=42, num_samples=num_samples),
        "BlockShuffleOrder": lambda: BlockShuffleOrder(
            length=LENGTH, block_size=1000, blocks_per_window=64, seed=42, num_samples=num_samples
        ),
        "ResampleOrder": lambda: ResampleOrder(length=LENGTH, seed=42, num_samples=num_samples),
        "WeightedOrder": lambda: WeightedOrder(weights=weights, seed=42, num_samples=num_samples),
        "MixtureOrder of 8": lambda: MixtureOrder(
            orders=parts, weights=(1, 2, 4, 8, 16, 32, 64, 128), num_samples=num_samples
        ),
    }


def orders() -> list[Row]:
    """Measure the construction, the pickle and the lookups of each order."""
    rows = []
    for name, make in orders_of_a_trillion().items():
        rows += [
            below(f"{name} of 10**12, construction", seconds(make, 50) * 1e6, 1000, "us"),
            below(f"{name} of 10**12, size of its pickle", len(pickle.dumps(make())), 1000, "bytes"),
            below(f"{name} of 10**12, 10**6 at once", bulk(partial(index_at, make())), 200, "ns"),
        ]
    return rows


def mixtures() -> list[Row]:
    """Compare a mixture of eight sources with the index that Megatron stores."""
    make = orders_of_a_trillion()["MixtureOrder of 8"]
    make()  # allocates what NumPy keeps after its first use
    tracemalloc.start()
    order = make()
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    peer = peers.megatron_blend()
    of = f"{peer.name}: {peer.reason}"
    if peer.function:
        sources, indices, weights = np.zeros(10**6, np.int16), np.zeros(10**6, np.int64), np.ones(8) / 8
        took = seconds(lambda: peer.function(sources, indices, weights, 8, 10**6, False))  # noqa: FBT003 - its signature
        of = f"10 bytes and {took * 1e3:,.1f} ns per sample ({peer.name})"
    return [
        below(f"{type(order).__name__} of 8, memory allocated", allocated / 1e3, 100, "kB", of),
        below(f"{type(order).__name__} of 8, construction", seconds(make, 50) * 1e6, 10_000, "us"),
        below("MixtureOrder of 10,000 that end, construction and first lookup", seconds(mix_many, 1), 5, "s"),
    ]


def mix_many() -> None:
    """Make a mixture of 10,000 orders of random weights, and look up a batch."""
    weights = integer_weights(RNG.random(10_000) + 1e-3, total=2**24)
    parts = [EpochOrder(length=1000 + seed, seed=seed, num_samples=10**4) for seed in range(10_000)]
    index_at(MixtureOrder(orders=parts, weights=weights), range(32))


def weights() -> list[Row]:
    """Compare draws by a million weights with torch's sampler and NumPy's choice, and mixtures with grain's."""
    given = RNG.integers(1, 1000, 10**6) / 8
    sampler = torch.utils.data.WeightedRandomSampler(torch.from_numpy(given), 10**6)
    theirs = seconds(lambda: list(sampler), 3) / 10**6 * 1e9
    exact = given / given.sum()
    in_numpy = seconds(lambda: RNG.choice(10**6, size=10**6, p=exact), 3) / 10**6 * 1e9
    drawn, spread = (
        bulk(partial(index_at, kind(weights=given, seed=42))) for kind in (WeightedOrder, ProportionalOrder)
    )
    rows = [
        faster("WeightedOrder of 10**6, 10**6 draws", drawn, theirs, 4, "torch's WeightedRandomSampler"),
        faster("WeightedOrder of 10**6, 10**6 draws", drawn, in_numpy, 4, "NumPy's choice"),
        below("ProportionalOrder of 10**6 with 999 weights, 10**6 draws", spread, 1000, "ns"),
    ]
    grain = peers.grain_dataset()
    if not grain.function:
        return [*rows, missing("MixtureOrder of 2", grain)]
    parts = [grain.function.range(1000 + number).shuffle(seed=number).repeat() for number in range(2)]
    mixed = grain.function.mix(parts, weights=[0.7, 0.3])
    orders = [EpochOrder(length=1000 + number, seed=number) for number in range(2)]
    mixture = MixtureOrder(orders=orders, weights=(7, 3))
    theirs = scalar(lambda index: mixed[index], list(range(5000)))
    return [
        *rows,
        faster("MixtureOrder of 2, 10**6 at once", bulk(partial(index_at, mixture)), theirs, 15, f"{grain.name}.mix"),
    ]


def clusters() -> list[Row]:
    """Measure an order of UniRef50's size: 6.5 * 10**7 clusters of 1.9 * 10**8 sequences, its table in files."""
    sizes = np.minimum(RNG.geometric(1 / 2.9, 65 * 10**6), 10**4).astype(np.uint32)
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

        ready = seconds(make, 1)
        order = make()
        ours = bulk(partial(index_at, order), BULK % length)
        rows = [
            below(f"ClusterOrder of {num_samples:,} sequences, 10**6 draws at once", ours, 1000, "ns"),
            below("ClusterOrder, made from memory maps, every entry checked", ready, 1, "s"),
            below("ClusterOrder, resident memory with its table", (resident() - before) / 1e9, 2, "GB"),
        ]
        by_size = ClusterOrder(clusters=order.clusters, seed=42, weights=np.sqrt(order.clusters.sizes))
        by_weight = bulk(partial(index_at, by_size), BULK % length)
        rows.append(below("ClusterOrder by weight, 10**6 draws at once", by_weight, 1000, "ns"))
        del by_size
        table = order.clusters
        starts, members = table.offsets.array, table.members.array  # type: ignore[union-attr]

        def naive() -> None:
            drawn = RNG.integers(length, size=10**6)
            first = starts[drawn].astype(np.int64)
            members[first + (RNG.random(10**6) * (starts[drawn + 1] - first)).astype(np.int64)]

        took = seconds(naive) / 10**6 * 1e9
        rival = f"{took:.1f} ns (two random draws in NumPy)"
        return [
            *rows,
            Row("ClusterOrder, 10**6 draws at once", f"{ours:.1f} ns", rival, f"{took / ours:.1f}x", "", None),
        ]


def resident() -> int:
    """Return the resident memory of this process in bytes, with what it has mapped from files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    show(row for part in (permutations, resampling, mixtures, orders, weights, clusters) for row in part())


if __name__ == "__main__":
    main()
