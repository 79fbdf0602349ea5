"""The families of permutations that are compared: ours, a control, and what others shuffle with."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Final

import attrs
import numpy as np
import torch

from benchmarks import peers
from benchmarks.certificate.installed import call
from benchmarks.certificate.p_values import Array
from benchmarks.certificate.permutations import levanter
from benchmarks.certificate.permutations.battery import SeedsOf, folded, random_permutations
from benchmarks.certificate.permutations.exact import Family
from benchmarks.certificate.permutations.layout import LENGTHS
from bionemo.data import BlockShuffleOrder, EpochOrder, Order, index_at
from bionemo.data.permute import Plan, geometry, make_keys, num_rounds, permute_kernel

SHORTEST_OF_GRAIN: Final = 4096
"""Shorter ranges take up to 10 ms per index: index_shuffle walks through 2**16 numbers until one is in range."""
COUNTED: Final = (4, 100, 1000, 4099, 65535, 65536, 65537, 100_003, 2**32 - 1, 2**32, 2**32 + 1, 2**40 + 15, 2**62)
"""Lengths at which lost samples are counted."""
MATERIALIZED: Final = 2**16 + 1
"""Longest permutation that is made as a whole for each seed."""


@attrs.frozen(kw_only=True)
class Shuffle:
    """A family of permutations, and how its epochs are seeded."""

    name: str
    family: Family
    seeds_of: SeedsOf | None = folded
    lengths: tuple[int, ...] = LENGTHS
    counted: tuple[int, ...] = COUNTED
    seed_bits: int = 63
    part: int = 1
    """One in how many samples is tested: 4 for functions of one index, which take microseconds per sample."""
    ours: bool = False
    about: str = ""
    peer: Callable[[], peers.Peer] | None = None
    """What the family calls, if it is another library's, which may not be there."""


def permutes(indices: Array, length: int, seeds: Array) -> Array:
    """Return outputs of `permute`, the keys of all seeds at once."""
    return permute_kernel(indices, Plan(geometry(length), make_keys(num_rounds(length), seeds[:, None])))


def of_epochs(indices: Array, length: int, seeds: Array, *, make_order: Callable[[int], Order]) -> Array:
    """Return outputs of an order's epochs: one order, read at many positions, where an epoch takes a seed's part."""
    return index_at(make_order(length), seeds[:, None] * length + indices).idx


def epoch_order(length: int) -> Order:
    """Return an order of one seed."""
    return EpochOrder(length=length, seed=42)


def block_order(length: int) -> Order:
    """Return an order of many blocks, in one window: it should shuffle as well as an `EpochOrder`."""
    block_size = 1 << (length.bit_length() // 3)
    return BlockShuffleOrder(length=length, block_size=block_size, blocks_per_window=length, seed=42)


def one_by_one(indices: Array, length: int, seeds: Array, *, function: Callable[[int, int, int], int]) -> Array:
    """Return outputs of a function of one index, length and seed."""
    rows = [[function(index, length, seed) for index in indices.tolist()] for seed in seeds.tolist()]
    return np.array(rows, dtype=np.int64)


def by_grain(index: int, length: int, seed: int) -> int:
    """Return an output of grain's shuffle."""
    return call(index, length - 1, seed, 4, make=peers.grain_shuffle)


def by_randperm(indices: Array, length: int, seeds: Array) -> Array:
    """Return outputs of `torch.randperm`."""
    generator, wanted = torch.Generator(), torch.from_numpy(indices)
    rows = [torch.randperm(length, generator=generator.manual_seed(seed))[wanted] for seed in seeds.tolist()]
    return torch.stack(rows).numpy()


def added(seeds: Array, epoch: int) -> Array:
    """Return `seed + epoch`."""
    return seeds + epoch


def equal(seeds: Array, epoch: int) -> Array:  # noqa: ARG001 - the signature of `SeedsOf`
    """Return the seeds themselves: every epoch has the same order."""
    return seeds


def of_earlier_version(seeds: Array, epoch: int) -> Array:
    """Return the seeds that `MultiEpochDatasetResampler` of 2.4.5 draws for its epochs."""
    most = np.iinfo(np.int32).max
    return np.array([np.random.default_rng(seed).integers(0, most, size=epoch + 1)[epoch] for seed in seeds.tolist()])


def up_to(length: int) -> tuple[int, ...]:
    """Return the tested lengths that a family allows."""
    return tuple(some for some in LENGTHS if some <= length)


@lru_cache(maxsize=1)
def shuffles() -> tuple[Shuffle, ...]:
    """Return all families."""
    return tuple(_shuffles())


def _shuffles() -> Iterator[Shuffle]:
    yield Shuffle(name="permute", family=permutes, ours=True, about="`permute`; epochs as in `EpochOrder`")
    orders: Sequence[tuple[str, Any, str]] = (
        ("EpochOrder", epoch_order, "the epochs of one `EpochOrder`, by `index_at`"),
        ("BlockShuffleOrder", block_order, "the epochs of one `BlockShuffleOrder` with one window"),
    )
    for name, make_order, about in orders:
        yield Shuffle(
            name=name,
            family=partial(of_epochs, make_order=make_order),
            seeds_of=None,
            lengths=up_to(2**40 + 15),
            counted=COUNTED[:-1],
            seed_bits=20,
            ours=True,
            about=about,
        )
    yield Shuffle(
        name="NumPy",
        family=random_permutations,
        counted=(),
        about="the control: `Generator.permuted`; above 2**14 samples distinct draws of `Generator.integers`",
    )
    yield Shuffle(
        name="torch",
        family=by_randperm,
        seeds_of=added,
        lengths=up_to(MATERIALIZED),
        counted=tuple(length for length in COUNTED if length <= 2 * MATERIALIZED),
        about="`torch.randperm` with seed + epoch, as `DistributedSampler` seeds it",
    )
    yield Shuffle(
        name="2.4.5",
        family=partial(one_by_one, function=partial(call, make=peers.bionemo_permute)),
        seeds_of=of_earlier_version,
        lengths=up_to(2**40 + 15),
        part=4,
        about="bionemo-core 2.4.5: its `permute`; epochs as in its `MultiEpochDatasetResampler`",
        peer=peers.bionemo_permute,
    )
    yield Shuffle(
        name="grain",
        family=partial(one_by_one, function=by_grain),
        seeds_of=added,
        lengths=(*(length for length in up_to(2**40 + 15) if length >= SHORTEST_OF_GRAIN), 2**62),
        counted=tuple(length for length in COUNTED if length >= SHORTEST_OF_GRAIN),
        seed_bits=32,
        part=4,
        about="grain 0.2.18: its compiled `index_shuffle` with 4 rounds; seed + epoch, as its `shuffle` seeds it",
        peer=peers.grain_shuffle,
    )
    yield Shuffle(
        name="levanter, linear",
        family=levanter.linear,
        seeds_of=equal,
        lengths=up_to(2**31),
        counted=tuple(length for length in COUNTED if length <= 2**31),
        about="levanter's older permutation, linear; every epoch in the same order (its `EpochDataset`)",
    )
    yield Shuffle(
        name="levanter, Feistel",
        family=levanter.feistel,
        seeds_of=equal,
        about="levanter's newer permutation, a Feistel network; every epoch in the same order (its `EpochDataset`)",
    )
