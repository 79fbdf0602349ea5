"""Statistical tests of a family of permutations: whether its seeds give permutations as chance would.

A family is a callable `family(indices, length, seeds) -> places`: int64 arrays of shapes [m] and [s] give one of shape
[s, m], where the permutation of `range(length)` that belongs to each seed takes each index. Tests are of two kinds:

- *exact*: what one index, or a pair of them, does over many seeds. Those are independent draws with known chances, so
  that chi-square applies. Counts over many pairs of one permutation take the covariance of a true one.
- *compared*: one number a permutation (a correlation of its places with the indices, with its places some indices on,
  with the places under the next seed; how many agree). How often each value occurs is compared with as many true random
  permutations by a chi-square test of homogeneity, which sees a wrong mean, and a spread too large or too small.

False alarms: a family passes if no p lies below `FALSE_ALARM` over the number of p. A good one fails for at most one in
ten thousand choices of `first_seed` (Bonferroni); for a given choice it passes or fails for good. A small p means too
much of a pattern or, from ten degrees of freedom on, too little.
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
"""Up to this length all indices are looked at, above it `WINDOW` at each of five places."""
WINDOW: Final = 64
LENGTHS: Final = (
    *range(3, 10),
    *(2**bits + step for bits in (4, 5, 6, 7, 8, 10, 16, 32) for step in (-1, 0, 1)),
    *(100, 513, 1000, 2**20 + 7, 2**40 + 15, 2**61 + 12345, 2**62 - 1, 2**62),
)


def random_permutations(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    """Return true random permutations: the control, and what others are compared with.

    They belong to the call as a whole: the same seeds beside others, or with other indices, give other permutations.
    """
    rng = np.random.default_rng([length, len(indices), len(seeds), *seeds[[0, -1]].tolist()])
    if length <= 2**14:
        return rng.permuted(np.tile(np.arange(length), (len(seeds), 1)), axis=1)[:, indices]
    places = rng.integers(length, size=(len(seeds), len(indices)))
    while (again := (np.diff(np.sort(places), axis=1) == 0).any(axis=1)).any():  # a permutation repeats no place
        places[again] = rng.integers(length, size=(again.sum(), len(indices)))
    return places


# From counts to p -----------------------------------------------------------------------------------------------------


def two_sided(statistic: float, freedom: int) -> float:
    """Return the p of a chi-square statistic: of one as large or, from ten degrees of freedom on, as small."""
    above = float(stats.chi2.sf(statistic, freedom))
    return above if freedom < 10 else 2 * min(above, float(stats.chi2.cdf(statistic, freedom)))


def goodness(counts: np.ndarray, chances: np.ndarray) -> float:
    """Return the p of counts of independent draws, of outcomes with these chances."""
    possible = chances > 0
    expected = counts.sum() * chances[possible]
    if counts[~possible].any():
        return 0.0
    return two_sided(((counts[possible] - expected) ** 2 / expected).sum(), len(expected) - 1)


def homogeneity(sample: np.ndarray, reference: np.ndarray) -> float:
    """Return the p of two samples of numbers, if both come from one distribution."""
    sample, reference = sample.round(9), reference.round(9)  # equal sums of floats stay equal
    edges = np.unique(np.quantile(np.concatenate([sample, reference]), np.arange(1, 16) / 16))
    bins = [np.searchsorted(edges, numbers, side="right") for numbers in (sample, reference)]
    counts = np.array([np.bincount(numbers, minlength=len(edges) + 1) for numbers in bins])
    counts = counts[:, counts.any(axis=0)]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return two_sided(((counts - expected) ** 2 / expected).sum(), counts.shape[1] - 1) if counts.shape[1] > 1 else 1.0


def high(places: np.ndarray, length: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `num` equal parts of the range each place lies in, and the chance of each part."""
    edges = [part * length // num for part in range(num + 1)]
    return np.searchsorted(edges[1:-1], places, side="right"), np.diff(edges) / length


def low(places: np.ndarray, length: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which residue modulo `num` each place has, and the chance of each residue."""
    return places % num, np.array([(length - residue + num - 1) // num for residue in range(num)]) / length


# Exact ----------------------------------------------------------------------------------------------------------------


def uniformity(draws: np.ndarray, length: int, num: int = 32) -> Results:
    """Test independent draws from `range(length)` for being uniform, by their high and by their low bits."""
    parts = {kind.__name__: kind(draws, length, min(num, length)) for kind in (high, low)[: 1 + (length > num)]}
    return {name: goodness(np.bincount(part.ravel(), minlength=len(p)), p) for name, (part, p) in parts.items()}


def pair(first: np.ndarray, second: np.ndarray, length: int) -> Results:
    """Test the places of two indices, over seeds, for being any two distinct places."""
    num, results = min(8, length), {}
    for kind in (high, low)[: 1 + (length > num)]:
        (one, chances), (two, _) = kind(first, length, num), kind(second, length, num)
        joint = (np.outer(chances, chances) - np.diag(chances) / length).clip(0) * (length / (length - 1))
        results[kind.__name__] = goodness(np.bincount(one * num + two, minlength=num**2), joint.ravel())
    return results


def distances(counts: np.ndarray, length: int, lag: int, num: int) -> float:
    """Test how often each distance 1..length-1 lies between the places of indices `lag` apart, over `num` permutations.

    Those of one permutation depend on each other. From the chances of two pairs of indices, disjoint or sharing one,
    follows a covariance of two eigenvalues: for the sums of the counts of opposite distances, and their differences.
    """
    pairs, sharing = length - lag, 2 * max(0, length - 2 * lag)
    shared = sharing / ((length - 1) * (length - 2))
    disjoint = (pairs * (pairs - 1) - sharing) / ((length - 1) * (length - 2) * max(1, length - 3))
    mean = pairs / (length - 1)
    sums, differences = (counts + counts[::-1]) / 2 - num * mean, (counts - counts[::-1]) / 2
    scaled = (sums**2).sum() / max(mean + 2 * disjoint - shared, 1e-9) + (differences**2).sum() / (mean + shared)
    return two_sided(scaled / num, length - 2)


def orders(family: Family, length: int, first_seed: int = 0, *, mean: int = 100) -> Results:
    """Test the orders of a short range for being equally frequent, `mean` times each."""
    num = factorial(length)
    places = family(np.arange(length), length, np.arange(first_seed, first_seed + mean * num))
    counts = np.unique(places @ length ** np.arange(length), return_counts=True)[1]
    return {"orders": goodness(np.append(counts, np.zeros(num - len(counts))), np.full(num, 1 / num))}


def flips(places: np.ndarray, flipped: np.ndarray, bits: int, chance: float) -> float:
    """Test how often each bit of a place flips when a bit of its cause does: [draws, 1] against [draws, causes]."""
    counts = ((places ^ flipped)[:, :, None] >> np.arange(bits) & 1).sum(axis=0)
    mean = len(places) * chance
    return two_sided(((counts - mean) ** 2 / (mean * (1 - chance))).sum(), counts.size)


def avalanche(family: Family, length: int, first_seed: int = 0) -> Results:
    """Test every bit of the index and of the seed for flipping each bit of a place half of the time.

    The length is a power of two, where all bits of a place are alike, and 256 or more, where they hardly depend on each
    other.
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
    """Test how many pairs of consecutive indices are moved equally far, modulo about the root of the length.

    There a network of few rounds shows in a long range: a birthday test, with 4 to 8 such pairs a seed.
    """
    bits = (length - 1).bit_length() // 2
    indices, repeated = np.arange(2 ** (bits // 2 + 2)), 0
    for seed in range(first_seed, first_seed + 64):
        sizes = np.unique((family(indices, length, np.array([seed]))[0] - indices) % 2**bits, return_counts=True)[1]
        repeated += int((sizes * (sizes - 1)).sum()) // 2
    null = stats.poisson(64 * len(indices) * (len(indices) - 1) / 2 / 2**bits)
    return {"repeats": 2 * float(min(null.cdf(repeated), null.sf(repeated - 1), 0.5))}


# Compared -------------------------------------------------------------------------------------------------------------


def scores(places: np.ndarray, length: int) -> Numbers:
    """Return what is correlated: places themselves and single bits of them, as numbers in -1..1."""
    signs = {"half": places >= length // 2, "parity": places & 1, "second bit": places >> 1 & 1}
    return {"place": (2 * places - (length - 1)) / length, **{name: 2.0 * sign - 1 for name, sign in signs.items()}}


def products(first: Numbers, second: Numbers, prefix: str) -> Numbers:
    """Return the sums over indices of products of equal scores: name -> [m, s], twice, give name -> [s]."""
    return {f"{prefix}, {name}": np.einsum("is,is->s", score, second[name]) for name, score in first.items()}


def followers(indices: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the indices stand that have one `lag` further on, and where that one stands."""
    left = np.flatnonzero(np.isin(indices + lag, indices))
    return left, np.searchsorted(indices, indices[left] + lag)


def layout(length: int) -> tuple[np.ndarray, list[int]]:
    """Return the indices that are looked at, and how far apart those are that are compared."""
    root = 2 ** ((length - 1).bit_length() // 2)
    starts = np.array([0, root, length // 4, length // 2, length - WINDOW])
    indices = np.arange(length) if length <= WHOLE else np.unique(starts[:, None] + np.arange(WINDOW))
    return indices, sorted({1, 2, root, length // 2})


def numbers(places: np.ndarray, epochs: np.ndarray, length: int) -> Numbers:
    """Return all numbers that describe a permutation, or one and the next: [m, s] twice give name -> [s]."""
    indices, lags = layout(length)
    values, results = scores(places, length), {"fixed points": (places == indices[:, None]).sum(axis=0)}
    for name, score in scores(indices, length).items():
        results |= {f"{name} of index, {other}": score @ value for other, value in values.items()}
    for lag in lags:
        left, right = ({name: value[ends] for name, value in values.items()} for ends in followers(indices, lag))
        results |= products(left, right, f"lag {lag}")
    for kind, rows in {"next seed": places, "next epoch": epochs}.items():
        one, two = np.ascontiguousarray(rows[:, ::2]), np.ascontiguousarray(rows[:, 1::2])
        results |= {f"{kind}, matches": (one == two).sum(axis=0)}
        results |= products(scores(one, length), scores(two, length), kind)
    return results


# All of them ----------------------------------------------------------------------------------------------------------


def draw(family: Family, length: int, num: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places under consecutive seeds, and in the first two epochs of every other seed: [m, num] each."""
    seeds = torch.arange(first_seed, first_seed + num)
    epochs = fold_in(seeds[::2, None], "epoch", torch.arange(2)).ravel()
    indices = layout(length)[0]
    places, of_epochs = (np.ascontiguousarray(family(indices, length, some.numpy()).T) for some in (seeds, epochs))
    return places, of_epochs


@lru_cache(maxsize=64)
def reference(length: int, num: int, first_seed: int) -> Numbers:
    """Return the numbers of true random permutations, others than the control's."""
    return numbers(*draw(random_permutations, length, num, first_seed + 2**40), length)


def exact(places: np.ndarray, length: int) -> Results:
    """Return the p of single indices and of pairs of them."""
    (indices, lags), num, results = layout(length), places.shape[1], {}

    def note(name: str, found: Results) -> None:
        results.update({f"{name}, {kind}": p for kind, p in found.items()})

    for name, index in {"first": 0, "middle": len(indices) // 2, "last": -1}.items():
        note(f"place of the {name}", uniformity(places[index], length))
        note(f"next seed at the {name}", uniformity((places[index, 1::2] - places[index, ::2]) % length, length))
    for lag in lags:
        left, right = followers(indices, lag)
        note(f"pair {lag} apart", pair(places[left[0]], places[right[0]], length))
        apart = (places[right] - places[left]) % length
        if length <= WHOLE:
            counts = np.bincount(apart.ravel(), minlength=length)[1:]
            note(f"difference at {lag}", {"all": distances(counts, length, lag, num)})
        else:
            note(f"difference at {lag}", uniformity(apart - 1, length - 1, 256))
    return results


def battery(family: Family, lengths: Sequence[int] = LENGTHS, *, size: int = 3 * 2**18, first_seed: int = 0) -> Results:
    """Return the p of every test at every length, over about `size` places: name -> p."""
    results = {}
    for length in lengths:
        num = int(np.clip(size // len(layout(length)[0]), size >> 9, size >> 4)) & ~1
        places, epochs = draw(family, length, num, first_seed)
        null = reference(length, num, first_seed)
        found = {name: homogeneity(sample, null[name]) for name, sample in numbers(places, epochs, length).items()}
        found |= exact(places, length)
        found |= orders(family, length, first_seed) if length <= 6 else {}
        found |= repeats(family, length, first_seed) if length > WHOLE else {}
        found |= avalanche(family, length, first_seed) if length >= 256 and length & (length - 1) == 0 else {}
        results |= {f"{length}: {name}": p for name, p in found.items()}
    return results


def alarms(results: Results) -> Results:
    """Return the results that fail a family."""
    return {name: p for name, p in results.items() if not p >= FALSE_ALARM / len(results)}
