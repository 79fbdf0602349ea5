"""Statistical tests of a family of permutations: whether they are distributed like random permutations.

A family is a callable `family(indices, length, seeds) -> outputs`. It maps int64 arrays of shapes [m] and [s] to one of
shape [s, m]: the output of each seed's permutation of `range(length)` at each index. There are two kinds of tests:
exact ones (`exact`) and comparisons with true random permutations (`comparisons`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import torch

from benchmarks.certificate.p_values import Array, Results, homogeneity
from benchmarks.certificate.permutations.comparisons import Numbers, numbers
from benchmarks.certificate.permutations.exact import Family, avalanche, exact, orders, repeats
from benchmarks.certificate.permutations.layout import LENGTHS, WHOLE, layout
from bionemo.core.random.hashing import fold_in

SeedsOf = Callable[[Array, int], Array]

SHORT: Final = 6
"""Up to this length all orders are counted: 720 of them."""
BYTE: Final = 256
"""From this length on, the output bits of a permutation are almost independent."""


def random_permutations(indices: Array, length: int, seeds: Array) -> Array:
    """Return the outputs of true random permutations: the control, and the reference of the comparisons.

    They depend on the call as a whole: a seed's permutation changes with the other seeds and with the indices.
    """
    rng = np.random.default_rng([length, len(indices), len(seeds), *seeds[[0, -1]].tolist()])
    if length <= 2**14:
        return rng.permuted(np.tile(np.arange(length), (len(seeds), 1)), axis=1)[:, indices]
    outputs = rng.integers(length, size=(len(seeds), len(indices)))
    # The outputs of a permutation are distinct: redraw each row that has equal ones.
    while (again := (np.diff(np.sort(outputs), axis=1) == 0).any(axis=1)).any():
        outputs[again] = rng.integers(length, size=(again.sum(), len(indices)))
    return outputs


def folded(seeds: Array, epoch: int) -> Array:
    """Return the seeds of an epoch's permutations as `EpochOrder` derives them: hashes of seed and epoch."""
    return fold_in(torch.from_numpy(seeds), "epoch", epoch).numpy()


def draw(
    family: Family, length: int, num: int, first_seed: int, seeds_of: SeedsOf | None = folded
) -> tuple[Array, list[Array]]:
    """Return the outputs for consecutive seeds, and for the epochs that `numbers` compares."""
    seeds = np.arange(first_seed, first_seed + num)
    even, odd = seeds[::2], seeds[1::2]
    drawn = [seeds] if seeds_of is None else [seeds, seeds_of(even, 0), seeds_of(even, 1), seeds_of(odd, 0)]
    outputs, *epochs = (np.ascontiguousarray(family(layout(length)[0], length, some).T) for some in drawn)
    return outputs, epochs


@lru_cache(maxsize=64)
def reference(length: int, num: int, first_seed: int) -> Numbers:
    """Return the numbers of true random permutations other than the control's."""
    return numbers(*draw(random_permutations, length, num, first_seed + 2**40), length)


def num_seeds(length: int, size: int) -> int:
    """Return for how many seeds a length is tested: an even number, for about `size` outputs."""
    return int(np.clip(size // len(layout(length)[0]), size >> 9, size >> 4)) & ~1


def battery(
    family: Family,
    lengths: Sequence[int] = LENGTHS,
    *,
    size: int = 3 * 2**18,
    first_seed: int = 0,
    seeds_of: SeedsOf | None = folded,
    seed_bits: int = 63,
) -> Results:
    """Return the p-value of each test at each length: name -> p.

    Args:
        family: the permutations.
        lengths: their lengths.
        size: number of outputs per length, about.
        first_seed: first of the consecutive seeds.
        seeds_of: the seed of the permutation that each seed shuffles an epoch with, `seeds_of(seeds, epoch)`; None for
            no tests of epochs.
        seed_bits: bits of a seed, for the test whether each of them matters.
    """
    results = {}
    for length in lengths:
        num = num_seeds(length, size)
        outputs, epochs = draw(family, length, num, first_seed, seeds_of)
        null = reference(length, num, first_seed)
        found = {name: homogeneity(sample, null[name]) for name, sample in numbers(outputs, epochs, length).items()}
        found |= exact(outputs, length)
        found |= orders(family, length, first_seed) if length <= SHORT else {}
        found |= repeats(family, length, first_seed) if length > WHOLE else {}
        if length >= BYTE and length & (length - 1) == 0:
            found |= avalanche(family, length, first_seed, seed_bits=seed_bits)
        results |= {f"{length}: {name}": p for name, p in found.items()}
    return results
