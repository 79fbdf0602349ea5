"""Which lengths, indices and pairs of indices of a permutation are tested."""

from typing import Final

import numpy as np

from benchmarks.certificate.p_values import Array

WHOLE: Final = 1025
"""Up to this length all indices are tested; above it, `WINDOW` indices from each of five starts."""
WINDOW: Final = 64
LENGTHS: Final = (
    *range(3, 10),
    *(2**bits + step for bits in (4, 5, 6, 7, 8, 10, 16, 32) for step in (-1, 0, 1)),
    *(100, 513, 1000, 4096, 2**20 + 7, 2**40 + 15, 2**61 + 12345, 2**62 - 1, 2**62),
)


def layout(length: int) -> tuple[Array, list[int]]:
    """Return the indices to test, and the lags between indices whose outputs are compared."""
    root = 2 ** ((length - 1).bit_length() // 2)
    starts = np.array([0, root, length // 4, length // 2, length - WINDOW])
    indices = np.arange(length) if length <= WHOLE else np.unique(starts[:, None] + np.arange(WINDOW))
    return indices, sorted({1, 2, root, length // 2})


def followers(indices: Array, lag: int) -> tuple[Array, Array]:
    """Return the array positions of all pairs of indices that differ by `lag`: the smaller ones, the larger ones."""
    left = np.flatnonzero(np.isin(indices + lag, indices))
    return left, np.searchsorted(indices, indices[left] + lag)
