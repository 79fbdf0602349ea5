"""levanter's two permutations, written anew from their description, so that JAX needn't be installed.

Source: stanford-crfm/levanter, `src/levanter/data/_prp.py` (1378b72), now part of marin-community/marin: a linear map,
and since April 2025 (marin-community/levanter#932) a Feistel network of five rounds with cycle walking. There the
numbers come from JAX's and NumPy's generators; here they are hashed from the seed, which can only be better.
`EpochDataset` (`src/levanter/data/dataset.py`) repeats the same permutation in every epoch.
"""

from typing import Final

import numpy as np
import torch

from benchmarks.certificate.p_values import Array
from bionemo.core.random.hashing import fold_in

ROUNDS: Final = 5
MULTIPLIER: Final = 2654435761
"""D. Knuth's multiplier for 32-bit words, "The Art of Computer Programming", volume 3, section 6.4."""


def hashed(seeds: Array, purpose: str, stop: int) -> Array:
    """Return a number below `stop` for each seed, as a column."""
    return (fold_in(torch.from_numpy(seeds), purpose).numpy() % stop)[:, None]


def linear(indices: Array, length: int, seeds: Array) -> Array:
    """Return (a * index + b) % length, where a has no factor in common with the length, which is at most 2**31."""
    a, b = hashed(seeds, "a", length), hashed(seeds, "b", length)
    attempt = 0
    while (shared := np.gcd(a, length) != 1).any():
        attempt += 1
        a = np.where(shared, hashed(seeds, f"a, attempt {attempt}", length), a)
    return (a * indices + b) % length


def feistel(indices: Array, length: int, seeds: Array) -> Array:
    """Return outputs of a Feistel network with the round function (right * MULTIPLIER + key), applied until in range.

    The range is that of the next power of two; if this has an odd number of bits, both halves have the larger half's.
    """
    half = -(-(length - 1).bit_length() // 2)
    mask = 2**half - 1
    keys = [hashed(seeds, f"round {number}", 2**half) for number in range(ROUNDS)]
    outputs = np.broadcast_to(indices, (len(seeds), len(indices))).copy()
    row, column = (axis.ravel() for axis in np.indices(outputs.shape))
    while len(row):
        left, right = outputs[row, column] >> half, outputs[row, column] & mask
        for key in keys:
            left, right = right, left ^ ((right * MULTIPLIER + key[row, 0]) & mask)
        walked = left << half | right
        outputs[row, column] = walked
        outside = walked >= length
        row, column = row[outside], column[outside]
    return outputs
