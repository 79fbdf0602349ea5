"""From counts to p-values, and from p-values to a verdict.

False alarms: a family passes if no p-value is below `FALSE_ALARM` divided by the number of p-values. A good family
fails for at most one in ten thousand choices of its seeds (Bonferroni). For given seeds the result is always the same.
A small p-value means too strong a pattern or, from ten degrees of freedom, too even a distribution.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[Any]
Results = dict[str, float]
"""The p-value of each test."""

FALSE_ALARM: Final = 1e-4


def two_sided(statistic: float, freedom: int) -> float:
    """Return the p-value of a chi-square statistic: one-sided below ten degrees of freedom, else two-sided."""
    above = float(stats.chi2.sf(statistic, freedom))
    return above if freedom < 10 else 2 * min(above, float(stats.chi2.cdf(statistic, freedom)))  # noqa: PLR2004


def goodness(counts: Array, probabilities: Array) -> float:
    """Return the p-value of the counts of independently drawn outcomes, given their probabilities."""
    possible = probabilities > 0
    expected = counts.sum() * probabilities[possible]
    if counts[~possible].any():
        return 0.0
    if len(expected) == 1:
        return 1.0
    return two_sided(((counts[possible] - expected) ** 2 / expected).sum(), len(expected) - 1)


def independence(first: Array, second: Array, probabilities: Array, others: Array | None = None) -> float:
    """Return the p-value of pairs of outcomes, numbered from 0, under the hypothesis that both are drawn independently.

    Args:
        first: one outcome of each pair.
        second: the other one.
        probabilities: those of the first outcomes.
        others: those of the second outcomes; None if they are the same.
    """
    others = probabilities if others is None else others
    num = len(probabilities) * len(others)
    codes = first.ravel().astype(np.int64) * len(others) + second.ravel()
    return goodness(np.bincount(codes, minlength=num), np.outer(probabilities, others).ravel())


def homogeneity(sample: Array, reference: Array) -> float:
    """Return the p-value of two samples of numbers under the hypothesis that they have the same distribution."""
    sample, reference = sample.round(9), reference.round(9)  # sums that differ only by rounding become equal
    edges = np.unique(np.quantile(np.concatenate([sample, reference]), np.arange(1, 16) / 16))
    bins = [np.searchsorted(edges, numbers, side="right") for numbers in (sample, reference)]
    counts = np.array([np.bincount(numbers, minlength=len(edges) + 1) for numbers in bins])
    counts = counts[:, counts.any(axis=0)]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return two_sided(((counts - expected) ** 2 / expected).sum(), counts.shape[1] - 1) if counts.shape[1] > 1 else 1.0


def high(outputs: Array, length: int, num: int) -> tuple[Array, Array]:
    """Return which of `num` equal parts of the range each output is in, and the probability of each part."""
    edges = [part * length // num for part in range(num + 1)]
    return np.searchsorted(edges[1:-1], outputs, side="right"), np.diff(edges) / length


def low(outputs: Array, length: int, num: int) -> tuple[Array, Array]:
    """Return the residue of each output modulo `num`, and the probability of each residue."""
    return outputs % num, np.array([(length - residue + num - 1) // num for residue in range(num)]) / length


def uniformity(draws: Array, length: int, num: int = 32) -> Results:
    """Test that independent draws from `range(length)` are uniform, by their high and by their low bits."""
    parts = {kind.__name__: kind(draws, length, min(num, length)) for kind in (high, low)[: 1 + (length > num)]}
    return {name: goodness(np.bincount(part.ravel(), minlength=len(p)), p) for name, (part, p) in parts.items()}


def alarms(results: Mapping[str, float]) -> Results:
    """Return the results because of which a family fails."""
    return {name: p for name, p in results.items() if not p >= FALSE_ALARM / len(results)}
