"""Exact tests: the outputs of one index, or of a pair of indices, over many seeds.

These are independent draws with known probabilities, so the chi-square test applies. Counts over many pairs of one
permutation aren't independent; their covariance is that of a true random permutation.
"""

from collections.abc import Callable
from math import factorial

import numpy as np
from scipy import stats

from benchmarks.certificate.p_values import Array, Results, goodness, high, low, two_sided, uniformity
from benchmarks.certificate.permutations.layout import WHOLE, followers, layout

Family = Callable[[Array, int, Array], Array]


def pair(first: Array, second: Array, length: int) -> Results:
    """Test that the outputs of two indices, over seeds, are any two distinct numbers with equal probability."""
    num, results = min(8, length), {}
    for kind in (high, low)[: 1 + (length > num)]:
        (one, probabilities), (two, _) = kind(first, length, num), kind(second, length, num)
        # Draws without replacement: two distinct outputs are in the same part less often than two independent ones.
        independent = np.outer(probabilities, probabilities)
        joint = (independent - np.diag(probabilities) / length).clip(0) * (length / (length - 1))
        results[kind.__name__] = goodness(np.bincount(one * num + two, minlength=num**2), joint.ravel())
    return results


def distances(counts: Array, length: int, lag: int, num: int) -> float:
    """Test how often the outputs of indices `lag` apart differ by each distance 1..length-1, over `num` permutations.

    The distances within one permutation aren't independent. The joint probabilities for two pairs of indices, disjoint
    or with one index in common, give a covariance matrix with two eigenvalues: one for the sums of the counts of
    opposite distances, one for their differences.
    """
    pairs, sharing = length - lag, 2 * max(0, length - 2 * lag)
    shared = sharing / ((length - 1) * (length - 2))
    disjoint = (pairs * (pairs - 1) - sharing) / ((length - 1) * (length - 2) * max(1, length - 3))
    mean = pairs / (length - 1)
    sums, differences = (counts + counts[::-1]) / 2 - num * mean, (counts - counts[::-1]) / 2
    scaled = (sums**2).sum() / max(mean + 2 * disjoint - shared, 1e-9) + (differences**2).sum() / (mean + shared)
    return two_sided(scaled / num, length - 2)


def orders(family: Family, length: int, first_seed: int = 0, *, mean: int = 100) -> Results:
    """Test that all orders of a short range are equally frequent, each `mean` times on average."""
    num = factorial(length)
    outputs = family(np.arange(length), length, np.arange(first_seed, first_seed + mean * num))
    counts = np.unique(outputs @ length ** np.arange(length), return_counts=True)[1]
    return {"orders": goodness(np.append(counts, np.zeros(num - len(counts))), np.full(num, 1 / num))}


def flips(outputs: Array, flipped: Array, bits: int, probability: float) -> float:
    """Test how often each output bit flips if one input bit is flipped.

    `outputs` has shape [draws, 1], and `flipped`, the outputs for inputs with one flipped bit, [draws, input bits].
    """
    counts = ((outputs ^ flipped)[:, :, None] >> np.arange(bits) & 1).sum(axis=0)
    mean = len(outputs) * probability
    return two_sided(((counts - mean) ** 2 / (mean * (1 - probability))).sum(), counts.size)


def avalanche(family: Family, length: int, first_seed: int = 0, *, seed_bits: int = 63) -> Results:
    """Test that flipping any bit of the index or of the seed flips each output bit half of the time.

    The length must be a power of two, so that all output bits have the same distribution, and at least 256, so that
    they are almost independent.
    """
    rng, bits = np.random.default_rng([length, first_seed]), length.bit_length() - 1
    seeds, index = rng.integers(2**seed_bits, size=2000), rng.integers(length)
    by_index = family(index ^ np.append(0, 1 << np.arange(bits)), length, seeds)
    many = seeds[:500, None] ^ np.append(0, 1 << np.arange(seed_bits))
    by_seed = family(np.array([index]), length, many.ravel()).reshape(many.shape)
    return {
        "avalanche of the index": flips(by_index[:, :1], by_index[:, 1:], bits, length / 2 / (length - 1)),
        "avalanche of the seed": flips(by_seed[:, :1], by_seed[:, 1:], bits, 0.5),
    }


def repeats(family: Family, length: int, first_seed: int = 0) -> Results:
    """Test how many pairs among the first indices have equal displacements, modulo about the square root of the length.

    A birthday test, with 4 to 8 such pairs per seed. It detects networks with too few rounds for a long range.
    """
    bits = (length - 1).bit_length() // 2
    indices, repeated = np.arange(2 ** (bits // 2 + 2)), 0
    for seed in range(first_seed, first_seed + 64):
        sizes = np.unique((family(indices, length, np.array([seed]))[0] - indices) % 2**bits, return_counts=True)[1]
        repeated += int((sizes * (sizes - 1)).sum()) // 2
    null = stats.poisson(64 * len(indices) * (len(indices) - 1) / 2 / 2**bits)
    return {"repeats": 2 * float(min(null.cdf(repeated), null.sf(repeated - 1), 0.5))}


def exact(outputs: Array, length: int) -> Results:
    """Return the p-values of the tests of single indices and of pairs of indices."""
    (indices, lags), num, results = layout(length), outputs.shape[1], {}

    def note(name: str, found: Results) -> None:
        results.update({f"{name}, {kind}": p for kind, p in found.items()})

    for name, index in {"first": 0, "middle": len(indices) // 2, "last": -1}.items():
        note(f"output of the {name}", uniformity(outputs[index], length))
        note(f"next seed at the {name}", uniformity((outputs[index, 1::2] - outputs[index, ::2]) % length, length))
    for lag in lags:
        left, right = followers(indices, lag)
        note(f"pair {lag} apart", pair(outputs[left[0]], outputs[right[0]], length))
        apart = (outputs[right] - outputs[left]) % length
        if length <= WHOLE:
            counts = np.bincount(apart.ravel(), minlength=length)[1:]
            note(f"difference at {lag}", {"all": distances(counts, length, lag, num)})
        else:
            note(f"difference at {lag}", uniformity(apart - 1, length - 1, 256))
    return results
