"""Proportions as integer weights."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, Final, NamedTuple

from torch import Tensor

from bionemo.core.arrays import listed
from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, as_int, check_int, shown

__all__ = ["MAX_TOTAL", "IntegerWeights", "integer_weights"]

MAX_TOTAL: Final = 2**31 - 1
"""Largest sum of weights: its square must fit int64."""


class IntegerWeights(NamedTuple):
    """Weights as integers, and how well they match the proportions."""

    weights: tuple[int, ...]
    """One per source, each at least 1."""
    error: float
    """Largest difference between a source's fraction and its exact one."""


@checked
def integer_weights(weights: Iterable[AnyFloat] | Tensor, total: AnyInt = 2**20) -> IntegerWeights:
    """Return the integer weights of a given sum that are closest to some proportions.

    Laws: they sum to `total`, each is at least 1, and integers with that sum are returned unchanged. If `total` is at
    least the sum of the weights divided by the smallest one, each fraction is met to within `1 / total`.

    Args:
        weights: finite numbers above 0, in a sequence, array or tensor. Only their proportions count, not their sum.
        total: sum of the integers, from the number of sources to 2**31-1.

    Returns:
        The integers, and the largest error of a fraction.

    Raises:
        ValueError: if a weight is not finite or not above 0, there is no weight, or `total` is out of range.
        TypeError: if a weight is not a number, or they are not in a sequence.

    Source: the method of largest remainders (Hamilton's).

    Example:
        >>> integer_weights([0.7, 0.3])
        IntegerWeights(weights=(734003, 314573), error=1.9073486327569887e-07)
    """
    given = [_positive(weight, number) for number, weight in enumerate(listed(weights, name="weights"))]
    if not given:
        message = "weights must hold at least one, got none."
        raise ValueError(message)
    total = check_int(total, name="total", low=len(given), high=MAX_TOTAL)
    # Over a common denominator everything is a sum of integers: source i gets `scaled[i] / whole` exactly.
    denominator = math.lcm(*(weight.denominator for weight in given))
    scaled = [weight.numerator * (denominator // weight.denominator) * total for weight in given]
    whole = sum(scaled) // total
    counts = _round([max(1, value // whole) for value in scaled], scaled, whole, total)
    error = max(abs(count * whole - value) for count, value in zip(counts, scaled, strict=True))
    return IntegerWeights(tuple(counts), error / (whole * total))


def _round(counts: list[int], scaled: list[int], whole: int, total: int) -> list[int]:
    """Return counts that sum to the total: the largest remainders are rounded up, or the largest excesses pay.

    Args:
        counts: the integer parts, but at least 1.
        scaled: exact counts, times `whole`.
        whole: denominator of the exact counts.
        total: the sum to reach.
    """
    remainders = [value - count * whole for value, count in zip(scaled, counts, strict=True)]
    owed = sum(counts) - total
    if owed <= 0:
        for source in sorted(range(len(counts)), key=lambda source: -remainders[source])[:-owed]:
            counts[source] += 1
        return counts
    # Raising weights to 1 took too much. In each round, every count above 1 pays 1; the last round may be a part.
    rounds = bisect_right(range(total), owed, key=lambda rounds: sum(min(count - 1, rounds) for count in counts)) - 1
    paid = [min(count - 1, rounds) for count in counts]
    payers = [source for source, count in enumerate(counts) if count - 1 > rounds]
    for source in sorted(payers, key=remainders.__getitem__)[: owed - sum(paid)]:
        paid[source] += 1
    return [count - pays for count, pays in zip(counts, paid, strict=True)]


def _positive(weight: Any, number: int) -> Fraction:
    """Return a weight as an exact number."""
    if isinstance(weight, bool) or not isinstance(weight, Real):
        message = f"weights must be numbers, got weights[{number}]={shown(weight)}."
        raise TypeError(message)
    value: Any = as_int(weight)
    if not 0 < value < math.inf:
        message = (
            f"weights must be finite and above 0, got weights[{number}]={shown(value)}. "
            "Leave the source out, or give it a millionth of the others' weights."
        )
        raise ValueError(message)
    return Fraction(value if isinstance(value, Rational) else float(value))
