"""Proportions, of samples or of tokens, as integer weights."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, Final, NamedTuple

import numpy as np
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, as_int, check_int, check_integer, shown
from bionemo.core.int64 import listed

__all__ = ["MAX_TOTAL", "IntegerWeights", "check_integer_weights", "integer_weights", "token_weights"]

MAX_TOTAL: Final = 2**31 - 1
"""Largest sum of weights: its square must fit int64."""


class IntegerWeights(NamedTuple):
    """Weights as integers, and how well they match the proportions."""

    weights: tuple[int, ...]
    """One per source, each at least 1, or 0 for a source of weight 0."""
    error: float
    """Largest difference between a source's fraction and its exact one."""


def check_integer_weights(
    weights: IntegerWeights | Iterable[AnyInt] | Tensor, *, name: str = "weights"
) -> tuple[int, ...]:
    """Return the integer weights of a mixture as a tuple.

    Raises:
        ValueError: if a weight is negative, all are 0, or their sum is not below 2**31.
        TypeError: if a weight is not an integer, or they are not in a sequence.

    Example:
        >>> check_integer_weights([3, 0])
        (3, 0)
    """
    given = weights.weights if isinstance(weights, IntegerWeights) else listed(weights, name=name)
    checked = []
    for number, weight in enumerate(given):
        if isinstance(weight, float | np.floating):
            message = f"{name} must be integers, got {name}[{number}]={weight}. Scale them with integer_weights."
            raise TypeError(message)
        if (count := check_integer(weight, name=f"{name}[{number}]")) < 0:
            message = f"{name} must be at least 0, got {name}[{number}]={shown(count)}."
            raise ValueError(message)
        checked.append(count)
    if checked and not any(checked):
        message = f"{name} must not all be 0, got {shown(checked)}."
        raise ValueError(message)
    if sum(checked) > MAX_TOTAL:
        message = f"{name} must sum to less than 2**31, got {shown(sum(checked))}. Scale them with integer_weights."
        raise ValueError(message)
    return tuple(checked)


@checked
def token_weights(
    fractions: Iterable[AnyFloat] | Tensor, mean_lengths: Iterable[AnyFloat] | Tensor, total: AnyInt = 2**20
) -> IntegerWeights:
    """Return the integer weights of a mixture in which each source has a given fraction of the tokens, not samples.

    Law: the fraction of a source's samples times its mean length is its fraction of the tokens, but for rounding.

    Args:
        fractions: of the tokens, one per source: as the weights of `integer_weights`.
        mean_lengths: mean number of tokens per sample of each source, after cropping: finite numbers above 0.
        total: as for `integer_weights`.

    Raises:
        ValueError: as for `integer_weights`, or if a length is not above 0, or there isn't one per source.
        TypeError: as for `integer_weights`.

    Example:
        >>> token_weights([0.5, 0.5], mean_lengths=[400, 100], total=5)
        IntegerWeights(weights=(1, 4), error=0.0)
    """
    of_tokens, means = (
        [_as_fraction(value, number, name) for number, value in enumerate(listed(values, name=name))]
        for name, values in (("fractions", fractions), ("mean_lengths", mean_lengths))
    )
    if len(means) != len(of_tokens):
        message = f"mean_lengths must be one per source, got {len(means)} for {len(of_tokens)} fractions."
        raise ValueError(message)
    if not any(of_tokens):
        message = f"fractions must hold at least one above 0, got fractions={shown(fractions)}."
        raise ValueError(message)
    if not all(means):
        message = f"mean_lengths must be above 0, got mean_lengths[{means.index(Fraction(0))}]=0."
        raise ValueError(message)
    try:  # floats, because the common denominator of many arbitrary fractions is huge
        weights = [float(part / mean) for part, mean in zip(of_tokens, means, strict=True)]
    except OverflowError as error:
        message = f"fractions must be within the range of floats, got fractions={shown(fractions)}."
        raise ValueError(message) from error
    return integer_weights(weights, total)


@checked
def integer_weights(weights: Iterable[AnyFloat] | Tensor, total: AnyInt = 2**20) -> IntegerWeights:
    """Return the integer weights of a given sum that are closest to some proportions.

    Laws: they sum to `total`, each is at least 1, or 0 for a weight of 0, and integers with that sum are returned
    unchanged. If `total` is at least the sum of the weights divided by the smallest one above 0, each fraction is met
    to within `1 / total`.

    Args:
        weights: finite numbers, at least 0 and not all 0, in a sequence, array or tensor. Only their proportions count,
            not their sum.
        total: sum of the integers, from the number of weights above 0 to 2**31-1.

    Returns:
        The integers, and the largest error of a fraction.

    Raises:
        ValueError: if a weight is negative or not finite, all are 0, or `total` is out of range.
        TypeError: if a weight is not a number, or they are not in a sequence.

    Source: the method of largest remainders (Hamilton's).

    Example:
        >>> integer_weights([0.7, 0.3])
        IntegerWeights(weights=(734003, 314573), error=1.9073486327569887e-07)
    """
    given = [_as_fraction(weight, number) for number, weight in enumerate(listed(weights, name="weights"))]
    if not any(given):
        message = f"weights must hold at least one above 0, got {shown(given) if given else 'none'}."
        raise ValueError(message)
    total = check_int(total, name="total", low=sum(weight > 0 for weight in given), high=MAX_TOTAL)
    # Over a common denominator everything is a sum of integers: source i gets `scaled[i] / whole` exactly.
    denominator = math.lcm(*(weight.denominator for weight in given))
    scaled = [weight.numerator * (denominator // weight.denominator) * total for weight in given]
    whole = sum(scaled) // total
    counts = _round([max(int(value > 0), value // whole) for value in scaled], scaled, whole, total)
    error = max(abs(count * whole - value) for count, value in zip(counts, scaled, strict=True))
    return IntegerWeights(tuple(counts), error / (whole * total))


def _round(counts: list[int], scaled: list[int], whole: int, total: int) -> list[int]:
    """Return counts that sum to the total: the largest remainders are rounded up, or the largest excesses pay.

    Args:
        counts: the integer parts, but at least 1 for what is above 0.
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
    rounds = (
        bisect_right(range(total), owed, key=lambda rounds: sum(min(max(count - 1, 0), rounds) for count in counts)) - 1
    )
    paid = [min(max(count - 1, 0), rounds) for count in counts]
    payers = [source for source, count in enumerate(counts) if count - 1 > rounds]
    for source in sorted(payers, key=remainders.__getitem__)[: owed - sum(paid)]:
        paid[source] += 1
    return [count - pays for count, pays in zip(counts, paid, strict=True)]


def _as_fraction(weight: Any, number: int, name: str = "weights") -> Fraction:
    """Return a weight as an exact number."""
    if isinstance(weight, bool) or not isinstance(weight, Real):
        message = f"{name} must be numbers, got {name}[{number}]={shown(weight)}."
        raise TypeError(message)
    value: Any = as_int(weight)
    if not 0 <= value < math.inf:
        message = f"{name} must be finite and at least 0, got {name}[{number}]={shown(value)}."
        raise ValueError(message)
    return Fraction(value if isinstance(value, Rational) else float(value))
