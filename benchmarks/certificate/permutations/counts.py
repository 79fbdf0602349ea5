"""Exact counts, without p-values: samples that a shuffle loses, and how many orders of a short range it reaches."""

from typing import Final

import numpy as np

from benchmarks.certificate.permutations.exact import Family

FIRST: Final = 2**16
BYTES: Final = 256
REACHED_LENGTH: Final = 8


def lost(family: Family, length: int, seed: int = 1) -> int:
    """Return how many outputs of a shuffle are missing: each is that of another index again, or out of range.

    Up to twice `FIRST`, all indices are looked up; above it, the first `FIRST`.
    """
    indices = np.arange(length if length <= 2 * FIRST else FIRST)
    outputs = family(indices, length, np.array([seed]))[0]
    in_range = outputs[(outputs >= 0) & (outputs < length)]
    return len(indices) - len(np.unique(in_range))


def missing_bytes(family: Family, length: int, seed: int = 1) -> int:
    """Return how many of the 256 low bytes no output of a long shuffle has at `FIRST` random indices.

    One sample in 256 has each low byte, so a shuffle that loses none misses a byte with a probability of exp(-256).
    """
    indices = np.random.default_rng(seed).integers(length, size=FIRST)
    outputs = family(indices, length, np.array([seed]))[0]
    return BYTES - len(np.unique(outputs % BYTES))


def reached(family: Family, length: int = REACHED_LENGTH, num_seeds: int = 100_000) -> int:
    """Return the number of different orders of a range that many seeds give."""
    outputs = family(np.arange(length), length, np.arange(num_seeds))
    return len(np.unique(outputs @ length ** np.arange(length)))
