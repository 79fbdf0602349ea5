"""Proportions as integer weights."""

import math
from collections.abc import Iterable
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, Final, NamedTuple

from bionemo.core.checks import AnyFloat, AnyInt, as_int, check_int

__all__ = ["MAX_TOTAL", "IntegerWeights", "integer_weights"]

MAX_TOTAL: Final = 2**31 - 1
"""Largest sum of weights: its square must fit int64."""


class IntegerWeights(NamedTuple):
    """Weights as integers, and how well they match the proportions."""

    weights: tuple[int, ...]
    """One per source, each at least 1."""
    error: float
    """Largest difference between a source's fraction and its exact one."""


def integer_weights(weights: Iterable[AnyFloat], total: AnyInt = 2**20) -> IntegerWeights:
    """Return the integer weights of a given sum that are closest to some proportions.

    Laws: they sum to `total`, each is at least 1, and integers with that sum are returned unchanged. If `total` is at
    least the sum of the weights divided by the smallest one, each fraction is met to within `1 / total`.

    Args:
        weights: finite numbers above 0. Only their proportions count, not their sum.
        total: sum of the integers, from the number of sources to 2**31-1.

    Returns:
        The integers, and the largest error of a fraction.

    Raises:
        ValueError: if a weight is not finite or not above 0, there are none, or `total` is out of range.
        TypeError: if a weight is not a number.

    Source: the method of largest remainders (Hamilton's).

    Example:
        >>> integer_weights([0.7, 0.3])
        IntegerWeights(weights=(734003, 314573), error=1.9073486327569887e-07)
    """
    given = [_positive(weight, number) for number, weight in enumerate(weights)]
    if not given:
        message = "weights must hold at least one, got none."
        raise ValueError(message)
    total = check_int(total, name="total", low=len(given), high=MAX_TOTAL)
    scale = total / sum(given)
    exact = [weight * scale for weight in given]
    counts = [max(1, int(value)) for value in exact]
    rest = total - sum(counts)
    # The largest remainders are rounded up; if raising weights to 1 took too much, the largest excesses pay for it.
    while rest:
        step = 1 if rest > 0 else -1
        payers = [source for source, count in enumerate(counts) if count + step >= 1]
        lacking = sorted(payers, key=lambda source: (step * (counts[source] - exact[source]), source))[: abs(rest)]
        for source in lacking:
            counts[source] += step
        rest -= step * len(lacking)
    error = max(abs(count - value) for count, value in zip(counts, exact, strict=True)) / total
    return IntegerWeights(tuple(counts), float(error))


def _positive(weight: Any, number: int) -> Fraction:
    """Return a weight as an exact number."""
    if isinstance(weight, bool) or not isinstance(weight, Real):
        message = f"weights must be numbers, got weights[{number}]={weight!r}."
        raise TypeError(message)
    value: Any = as_int(weight)
    if not 0 < value < math.inf:
        message = f"weights must be finite and above 0, got weights[{number}]={weight}. Leave the source out instead."
        raise ValueError(message)
    return Fraction(value if isinstance(value, Rational) else float(value))
