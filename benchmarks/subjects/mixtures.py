"""Mixtures of sources: how they grow with the number of sources, and what others store."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, each_of, limited, race, timed
from benchmarks.record import Measurement, Side
from bionemo.data import EpochOrder, MixtureOrder, index_at, integer_weights

DRAWS = 10**6
RNG = np.random.default_rng(42)
AXIS = "number of sources"


def measure(effort: Effort) -> Iterator[Measurement]:
    """Measure a mixture of eight, then mixtures of more and more sources."""
    make = partial(mixture, 8)
    peer = peers.megatron_blend()
    for form, shuffle in (("with shuffles of its sources", True), ("without shuffles", False)):
        yield from race(
            "mixture of 8, time per sample of 10**6, from nothing",
            Call(f"MixtureOrder {form}: construction, and index_at of all", partial(draw, 8, shuffle=shuffle), DRAWS),
            call_of(peer, lambda blend: partial(blended, blend, 8), "without shuffles", per=DRAWS),
            effort=effort,
        )
    yield memory(make, peer)
    yield timed("mixture of 8: construction", "MixtureOrder", make, effort=effort, limit=10e-3)
    if not effort.is_quick:
        label = "mixture of 10,000 that end: construction and first lookup"
        yield timed(label, "MixtureOrder", mix_many, effort=effort, limit=5)
    yield from against_grain(effort)
    for number in effort.pick((2, 8, 32, 128, 512), (32,)):
        yield from growth(number, effort)


def mixture(number: int, *, shuffle: bool = True) -> MixtureOrder:
    """Return a mixture of sources, with weights that differ."""
    parts = [EpochOrder(length=10**6 + seed, seed=seed, shuffle=shuffle) for seed in range(number)]
    return MixtureOrder(orders=parts, weights=[1 + seed % 7 for seed in range(number)])


def draw(number: int, *, shuffle: bool = True) -> None:
    """Make a mixture, and look up a million positions at once."""
    index_at(mixture(number, shuffle=shuffle), torch.arange(DRAWS))


def blended(blend: Any, number: int) -> None:
    """Make Megatron's index of a million samples."""
    sources, indices = np.zeros(DRAWS, np.int16), np.zeros(DRAWS, np.int64)
    weights = np.array([1 + seed % 7 for seed in range(number)], float)
    blend(sources, indices, weights / weights.sum(), number, DRAWS, False)  # noqa: FBT003 - its signature


def memory(make: Callable[[], Any], peer: peers.Peer) -> Measurement:
    """Measure what a mixture allocates; Megatron's index is two arrays, of int16 and int64."""
    make()  # allocates what NumPy keeps after its first use
    tracemalloc.start()
    order = make()
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    what = f"mixture of {order.num_sources}: memory allocated, 10**9 samples"
    theirs = Side(name=f"{peer.name}, two arrays of 10 bytes per sample", rounds=(10.0 * 10**9,))
    return limited(what, "MixtureOrder, peak", allocated, unit="bytes", limit=100e3, peer=theirs)


def mix_many() -> None:
    """Make a mixture of 10,000 orders of random weights, and look up a batch."""
    weights = integer_weights(RNG.random(10_000) + 1e-3, total=2**24)
    parts = [EpochOrder(length=1000 + seed, seed=seed, num_samples=10**4) for seed in range(10_000)]
    index_at(MixtureOrder(orders=parts, weights=weights), range(32))


def against_grain(effort: Effort) -> Iterator[Measurement]:
    """Compare a mixture of two with grain's, which reads one sample at a time."""
    orders = [EpochOrder(length=1000 + number, seed=number) for number in range(2)]
    order, positions = MixtureOrder(orders=orders, weights=(7, 3)), torch.arange(DRAWS) * 1000
    theirs = call_of(
        peers.grain_dataset(),
        lambda dataset: each_of(mixed(dataset, 2).__getitem__, range(3000)),
        "mix, one by one",
        per=3000,
    )
    run = partial(index_at, order, positions)
    for call, least_ratio in (
        (Call("index_at(MixtureOrder), 10**6 at once", run, per=DRAWS), 15),
        (Call("index_at(MixtureOrder), one by one", each_of(partial(index_at, order), range(3000)), per=3000), None),
    ):
        peer = Call(theirs.name, theirs.run, theirs.per, least_ratio, theirs.reason)
        yield from race("mixture of 2, time per index", call, peer, effort=effort)


def mixed(dataset: Any, number: int) -> Any:
    """Return grain's mixture of shuffled sources."""
    parts = [dataset.range(1000 + seed).shuffle(seed=seed).repeat() for seed in range(number)]
    weights = np.array([1.0 + seed % 7 for seed in range(number)])
    return dataset.mix(parts, weights=(weights / weights.sum()).tolist())


def interleaved(datasets: Any, number: int) -> Callable[[], Any]:
    """Return a function that interleaves Hugging Face data sets in memory until one ends: about 10**5 samples."""
    weights = np.array([1.0 + seed % 7 for seed in range(number)])
    fractions = weights / weights.sum()
    parts = [datasets.Dataset.from_dict({"idx": np.arange(int(1e5 * fraction) + 1)}) for fraction in fractions]
    return lambda: datasets.interleave_datasets(parts, probabilities=fractions.tolist(), seed=1)


def growth(number: int, effort: Effort) -> Iterator[Measurement]:
    """Compare mixtures of a number of sources, from nothing: construction, and so many samples found."""
    yield from race(
        "mixture, time per sample, from nothing",
        Call("MixtureOrder with shuffles, 10**6 at once", partial(draw, number), per=DRAWS),
        call_of(peers.megatron_blend(), lambda blend: partial(blended, blend, number), "of 10**6", per=DRAWS),
        call_of(
            peers.grain_dataset(),
            lambda dataset: lambda: [*map(mixed(dataset, number).__getitem__, range(3000))],
            "mix, 3,000 one by one",
            per=3000,
        ),
        call_of(
            peers.huggingface_dataset(),
            lambda datasets: interleaved(datasets, number),
            "interleave_datasets of 10**5",
            per=10**5,
        ),
        effort=effort,
        axis=AXIS,
        size=number,
    )
