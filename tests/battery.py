"""Statistical tests of a family of permutations: whether they are distributed like random permutations.

A family is a callable `family(indices, length, seeds) -> outputs`. It maps int64 arrays of shapes [m] and [s] to one of
shape [s, m]: the output of each seed's permutation of `range(length)` at each index. There are two kinds of tests:

- *Exact* tests look at the outputs of one index, or of a pair of indices, over many seeds. These are independent draws
  with known probabilities, so the chi-square test applies. Counts over many pairs of one permutation aren't
  independent; their covariance is that of a true random permutation.
- *Comparisons* compute one number per permutation, e.g. the correlation of its outputs with the indices, with its
  outputs at later indices, or with the outputs of the next seed. A chi-square test of homogeneity compares the
  distribution of this number with that of as many true random permutations. It detects a wrong mean as well as a wrong
  variance.

False alarms: a family passes if no p-value is below `FALSE_ALARM` divided by the number of p-values. A good family
fails for at most one in ten thousand choices of `first_seed` (Bonferroni). For a given choice the result is always the
same. A small p-value means too strong a pattern or, from ten degrees of freedom, too even a distribution.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import factorial
from typing import Final

import numpy as np
import torch
from scipy import stats

from bionemo.core.random.hashing import fold_in

Family = Callable[[np.ndarray, int, np.ndarray], np.ndarray]
Results = dict[str, float]
Numbers = dict[str, np.ndarray]

FALSE_ALARM: Final = 1e-4
WHOLE: Final = 1025
"""Up to this length all indices are tested; above it, `WINDOW` indices from each of five starts."""
WINDOW: Final = 64
LENGTHS: Final = (
    *range(3, 10),
    *(2**bits + step for bits in (4, 5, 6, 7, 8, 10, 16, 32) for step in (-1, 0, 1)),
    *(100, 513, 1000, 2**20 + 7, 2**40 + 15, 2**61 + 12345, 2**62 - 1, 2**62),
)


def random_permutations(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
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


# From counts to p-values ----------------------------------------------------------------------------------------------


def two_sided(statistic: float, freedom: int) -> float:
    """Return the p-value of a chi-square statistic: one-sided below ten degrees of freedom, else two-sided."""
    above = float(stats.chi2.sf(statistic, freedom))
    return above if freedom < 10 else 2 * min(above, float(stats.chi2.cdf(statistic, freedom)))


def goodness(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the p-value of the counts of independently drawn outcomes, given their probabilities."""
    possible = probabilities > 0
    expected = counts.sum() * probabilities[possible]
    if counts[~possible].any():
        return 0.0
    return two_sided(((counts[possible] - expected) ** 2 / expected).sum(), len(expected) - 1)


def homogeneity(sample: np.ndarray, reference: np.ndarray) -> float:
    """Return the p-value of two samples of numbers under the hypothesis that they have the same distribution."""
    sample, reference = sample.round(9), reference.round(9)  # sums that differ only by rounding become equal
    edges = np.unique(np.quantile(np.concatenate([sample, reference]), np.arange(1, 16) / 16))
    bins = [np.searchsorted(edges, numbers, side="right") for numbers in (sample, reference)]
    counts = np.array([np.bincount(numbers, minlength=len(edges) + 1) for numbers in bins])
    counts = counts[:, counts.any(axis=0)]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return two_sided(((counts - expected) ** 2 / expected).sum(), counts.shape[1] - 1) if counts.shape[1] > 1 else 1.0


def high(outputs: np.ndarray, length: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `num` equal parts of the range each output is in, and the probability of each part."""
    edges = [part * length // num for part in range(num + 1)]
    return np.searchsorted(edges[1:-1], outputs, side="right"), np.diff(edges) / length


def low(outputs: np.ndarray, length: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the residue of each output modulo `num`, and the probability of each residue."""
    return outputs % num, np.array([(length - residue + num - 1) // num for residue in range(num)]) / length


# Exact tests ----------------------------------------------------------------------------------------------------------


def uniformity(draws: np.ndarray, length: int, num: int = 32) -> Results:
    """Test that independent draws from `range(length)` are uniform, by their high and by their low bits."""
    parts = {kind.__name__: kind(draws, length, min(num, length)) for kind in (high, low)[: 1 + (length > num)]}
    return {name: goodness(np.bincount(part.ravel(), minlength=len(p)), p) for name, (part, p) in parts.items()}


def pair(first: np.ndarray, second: np.ndarray, length: int) -> Results:
    """Test that the outputs of two indices, over seeds, are any two distinct numbers with equal probability."""
    num, results = min(8, length), {}
    for kind in (high, low)[: 1 + (length > num)]:
        (one, probabilities), (two, _) = kind(first, length, num), kind(second, length, num)
        # Draws without replacement: two distinct outputs are in the same part less often than two independent ones.
        independent = np.outer(probabilities, probabilities)
        joint = (independent - np.diag(probabilities) / length).clip(0) * (length / (length - 1))
        results[kind.__name__] = goodness(np.bincount(one * num + two, minlength=num**2), joint.ravel())
    return results


def distances(counts: np.ndarray, length: int, lag: int, num: int) -> float:
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


def flips(outputs: np.ndarray, flipped: np.ndarray, bits: int, probability: float) -> float:
    """Test how often each output bit flips if one input bit is flipped.

    `outputs` has shape [draws, 1], and `flipped`, the outputs for inputs with one flipped bit, [draws, input bits].
    """
    counts = ((outputs ^ flipped)[:, :, None] >> np.arange(bits) & 1).sum(axis=0)
    mean = len(outputs) * probability
    return two_sided(((counts - mean) ** 2 / (mean * (1 - probability))).sum(), counts.size)


def avalanche(family: Family, length: int, first_seed: int = 0) -> Results:
    """Test that flipping any bit of the index or of the seed flips each output bit half of the time.

    The length must be a power of two, so that all output bits have the same distribution, and at least 256, so that
    they are almost independent.
    """
    rng, bits = np.random.default_rng([length, first_seed]), length.bit_length() - 1
    seeds, index = rng.integers(2**63, size=2000), rng.integers(length)
    by_index = family(index ^ np.append(0, 1 << np.arange(bits)), length, seeds)
    many = seeds[:500, None] ^ np.append(0, 1 << np.arange(63))
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


# Comparisons ----------------------------------------------------------------------------------------------------------


def scores(outputs: np.ndarray, length: int) -> Numbers:
    """Return the quantities to correlate, scaled to -1..1: the outputs themselves and single bits of them."""
    signs = {"half": outputs >= length // 2, "parity": outputs & 1, "second bit": outputs >> 1 & 1}
    return {"output": (2 * outputs - (length - 1)) / length, **{name: 2.0 * sign - 1 for name, sign in signs.items()}}


def products(first: Numbers, second: Numbers, prefix: str) -> Numbers:
    """Return the products of scores of the same name, summed over indices: two of name -> [m, s] give name -> [s]."""
    return {f"{prefix}, {name}": np.einsum("is,is->s", score, second[name]) for name, score in first.items()}


def followers(indices: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the array positions of all pairs of indices that differ by `lag`: the smaller ones, the larger ones."""
    left = np.flatnonzero(np.isin(indices + lag, indices))
    return left, np.searchsorted(indices, indices[left] + lag)


def layout(length: int) -> tuple[np.ndarray, list[int]]:
    """Return the indices to test, and the lags between indices whose outputs are compared."""
    root = 2 ** ((length - 1).bit_length() // 2)
    starts = np.array([0, root, length // 4, length // 2, length - WINDOW])
    indices = np.arange(length) if length <= WHOLE else np.unique(starts[:, None] + np.arange(WINDOW))
    return indices, sorted({1, 2, root, length // 2})


def numbers(outputs: np.ndarray, epochs: np.ndarray, length: int) -> Numbers:
    """Return all numbers that describe one permutation or two successive ones: two arrays [m, s] give name -> [s]."""
    indices, lags = layout(length)
    values, results = scores(outputs, length), {"fixed points": (outputs == indices[:, None]).sum(axis=0)}
    for name, score in scores(indices, length).items():
        results |= {f"{name} of index, {other}": score @ value for other, value in values.items()}
    for lag in lags:
        left, right = ({name: value[ends] for name, value in values.items()} for ends in followers(indices, lag))
        results |= products(left, right, f"lag {lag}")
    for kind, rows in {"next seed": outputs, "next epoch": epochs}.items():
        one, two = np.ascontiguousarray(rows[:, ::2]), np.ascontiguousarray(rows[:, 1::2])
        results |= {f"{kind}, matches": (one == two).sum(axis=0)}
        results |= products(scores(one, length), scores(two, length), kind)
    return results


# All tests ------------------------------------------------------------------------------------------------------------


def draw(family: Family, length: int, num: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs for consecutive seeds, and for the first two epochs of every second seed: [m, num] each."""
    seeds = torch.arange(first_seed, first_seed + num)
    epochs = fold_in(seeds[::2, None], "epoch", torch.arange(2)).ravel()
    indices = layout(length)[0]
    outputs, of_epochs = (np.ascontiguousarray(family(indices, length, some.numpy()).T) for some in (seeds, epochs))
    return outputs, of_epochs


@lru_cache(maxsize=64)
def reference(length: int, num: int, first_seed: int) -> Numbers:
    """Return the numbers of true random permutations other than the control's."""
    return numbers(*draw(random_permutations, length, num, first_seed + 2**40), length)


def exact(outputs: np.ndarray, length: int) -> Results:
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


def battery(family: Family, lengths: Sequence[int] = LENGTHS, *, size: int = 3 * 2**18, first_seed: int = 0) -> Results:
    """Return the p-value of each test at each length, from about `size` outputs: name -> p."""
    results = {}
    for length in lengths:
        num = int(np.clip(size // len(layout(length)[0]), size >> 9, size >> 4)) & ~1
        outputs, epochs = draw(family, length, num, first_seed)
        null = reference(length, num, first_seed)
        found = {name: homogeneity(sample, null[name]) for name, sample in numbers(outputs, epochs, length).items()}
        found |= exact(outputs, length)
        found |= orders(family, length, first_seed) if length <= 6 else {}
        found |= repeats(family, length, first_seed) if length > WHOLE else {}
        found |= avalanche(family, length, first_seed) if length >= 256 and length & (length - 1) == 0 else {}
        results |= {f"{length}: {name}": p for name, p in found.items()}
    return results


def alarms(results: Results) -> Results:
    """Return the results because of which a family fails."""
    return {name: p for name, p in results.items() if not p >= FALSE_ALARM / len(results)}
