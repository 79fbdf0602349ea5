"""Orders: their construction, size and lookups, and draws and samplers of other libraries."""

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DistributedSampler, RandomSampler, WeightedRandomSampler

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, each_of, limited, race, timed
from benchmarks.record import Measurement
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    Order,
    ProportionalOrder,
    ResampleOrder,
    WeightedOrder,
    index_at,
)

LENGTH = 10**9 + 7
TRILLION = 10**12
MILLION = 10**6
BULK = torch.arange(MILLION) * 1000


def measure(effort: Effort) -> Iterator[Measurement]:
    """Measure all kinds of orders, then compare samplers and draws."""
    kinds = orders_of_a_trillion()
    for name in effort.pick((*kinds,), ("EpochOrder", "MixtureOrder of 8")):
        make = kinds[name]
        label = f"{name} of 10**12 samples"
        yield timed(f"{label}: construction", name, make, effort=effort, limit=1e-3)
        size = len(pickle.dumps(make()))
        yield limited(f"{label}: its pickle", name, size, unit="bytes", limit=1000)
        look_up = partial(index_at, make(), BULK)
        yield timed(f"{label}: time per index, 10**6 at once", name, look_up, effort=effort, limit=2e-7, per=len(BULK))
    yield from samplers(effort)
    yield from resampling(effort)
    if not effort.is_quick:
        yield from weights(effort)


def orders_of_a_trillion() -> dict[str, Callable[[], Order]]:
    """Return, for each kind of order, a function that makes one of 10**12 samples."""
    parts = [EpochOrder(length=LENGTH + seed, seed=seed) for seed in range(8)]
    given = np.ones(1)
    fields: dict[str, Any] = {"seed": 42, "num_samples": TRILLION}
    return {
        "EpochOrder": partial(EpochOrder, length=LENGTH, **fields),
        "BlockShuffleOrder": partial(BlockShuffleOrder, length=LENGTH, block_size=1000, blocks_per_window=64, **fields),
        "ResampleOrder": partial(ResampleOrder, length=LENGTH, **fields),
        "WeightedOrder": partial(WeightedOrder, weights=given, **fields),
        "MixtureOrder of 8": partial(
            MixtureOrder, orders=parts, weights=(1, 2, 4, 8, 16, 32, 64, 128), num_samples=TRILLION
        ),
    }


def samplers(effort: Effort) -> Iterator[Measurement]:
    """Compare a shuffled epoch of a million indices, all of them read, with samplers and with datasets' shuffle."""
    order, positions = EpochOrder(length=MILLION, seed=1), torch.arange(MILLION)
    samples = range(MILLION)
    yield from race(
        "a shuffled epoch of 10**6, time per index, all read",
        Call("index_at(EpochOrder), all at once, as an array", partial(index_at, order, positions), per=MILLION),
        Call("torch.randperm, as a tensor", partial(torch.randperm, MILLION), per=MILLION),
        Call("torch RandomSampler, as a list", lambda: list(RandomSampler(samples)), per=MILLION),
        Call("torch DistributedSampler, as a list", lambda: list(DistributedSampler(samples, 1, 0)), per=MILLION),
        call_of(peers.huggingface_dataset(), shuffled, "Dataset.shuffle, its table of indices", per=MILLION),
        effort=effort,
    )


def shuffled(datasets: Any) -> Callable[[], Any]:
    """Return a function that shuffles a Hugging Face data set in memory."""
    dataset = datasets.Dataset.from_dict({"idx": np.arange(MILLION)})
    return lambda: dataset.shuffle(seed=1, keep_in_memory=True, load_from_cache_file=False)


def resampling(effort: Effort) -> Iterator[Measurement]:
    """Compare draws with replacement with bionemo-core 2.4.5's."""
    order = ResampleOrder(length=MILLION, seed=42)

    def from_(start: int) -> Callable[[], None]:
        return each_of(partial(index_at, order), range(start, start + 1000))

    far, near = (Call(f"from position {start:,}", from_(start), per=1000) for start in (TRILLION, 0))
    near = Call(near.name, near.run, per=1000, least_ratio=1 / 1.2, is_ours=True)
    yield from race("ResampleOrder, time per index, far against near", far, near, effort=effort)
    peer = peers.bionemo_resampler()
    yield from race(
        "draws with replacement, first access, at position 10**6",
        Call("index_at(ResampleOrder, position)", from_(MILLION), per=1000),
        call_of(peer, lambda theirs: lambda: theirs(range(MILLION), 42, MILLION)[999_999], least_ratio=1),
        effort=effort,
    )
    yield from race(
        "draws with replacement, time per index",
        Call("index_at(ResampleOrder), 10**6 at once", partial(index_at, order, BULK), per=len(BULK)),
        call_of(
            peer,
            lambda theirs: each_of(theirs(range(MILLION), 42, MILLION).__getitem__, range(10**5)),
            "one by one",
            per=10**5,
            least_ratio=15,
        ),
        effort=effort,
    )


def weights(effort: Effort) -> Iterator[Measurement]:
    """Compare draws by a million weights with torch's sampler and NumPy's choice."""
    generator = np.random.default_rng(42)
    given = generator.integers(1, 1000, MILLION) / 8
    exact = given / given.sum()
    sampler = WeightedRandomSampler(torch.from_numpy(given), MILLION)
    order = WeightedOrder(weights=given, seed=42)
    yield from race(
        "10**6 draws by 10**6 weights, time per draw",
        Call("index_at(WeightedOrder), all at once", partial(index_at, order, BULK), per=len(BULK)),
        Call("torch WeightedRandomSampler, as a list", lambda: list(sampler), per=MILLION, least_ratio=4),
        Call("NumPy Generator.choice(p=...)", lambda: generator.choice(MILLION, MILLION, p=exact), MILLION, 4),
        effort=effort,
    )
    spread = ProportionalOrder(weights=given, seed=42)
    label = "ProportionalOrder of 10**6 with 999 weights, time per draw, 10**6 at once"
    run = partial(index_at, spread, BULK)
    yield timed(label, "ProportionalOrder", run, effort=effort, limit=1e-6, per=len(BULK))
