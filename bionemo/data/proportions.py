"""Proportions as integer weights."""

import math
from collections.abc import Iterable
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, Final, NamedTuple

from bionemo.core.utils.checks import AnyFloat, AnyInt, as_int, check_int

__all__ = ["MAX_TOTAL", "IntegerWeights", "integer_weights"]

MAX_TOTAL: Final = 2**31 - 1
"""Largest sum of weights: its square must fit int64."""


class IntegerWeights(NamedTuple):
    """Weights as integers, and how well they are met."""

    weights: tuple[int, ...]
    """One a source, each at least 1."""
    error: float
    """Largest difference of a source's share from the share that was asked for."""


def integer_weights(weights: Iterable[AnyFloat], total: AnyInt = 2**20) -> IntegerWeights:
    """Return integer weights of a given sum, as near to some proportions as it allows.

    Laws: they sum to `total`, each is at least 1, and integer proportions of that sum come back as they are. With
    `total` at least the sum of weights over the least one, each share is met to within `1 / total`.

    Args:
        weights: finite numbers above 0. Their proportions count, not their sum.
        total: what the integers sum to, from the number of sources to 2**31-1.

    Returns:
        The integers, and the largest error of a share.

    Raises:
        ValueError: if a weight isn't finite or not above 0, there is none, or `total` is out of range.
        TypeError: if a weight is no number.

    Source: the method of largest remainders (Hamilton's).

    Example:
        >>> integer_weights([0.7, 0.3])
        IntegerWeights(weights=(734003, 314573), error=1.9073486327569887e-07)
    """
    shares: list[Fraction] = []
    given: Iterable[Any] = weights
    for place, weight in enumerate(given):
        if isinstance(weight, bool) or not isinstance(weight, Real):
            message = f"weights must be numbers, got weights[{place}]={weight!r}."
            raise TypeError(message)
        number: Any = as_int(weight)
        if not 0 < number < math.inf:
            message = (
                f"weights must be finite and above 0, got weights[{place}]={weight}. Leave the source out instead."
            )
            raise ValueError(message)
        shares.append(Fraction(number if isinstance(number, Rational) else float(number)))
    if not shares:
        message = "weights must hold at least one, got none."
        raise ValueError(message)
    total = check_int(total, name="total", low=len(shares), high=MAX_TOTAL)
    exact = [share / sum(shares) * total for share in shares]
    counts = [max(1, int(share)) for share in exact]
    rest = total - sum(counts)
    # The largest remainders are rounded up; where weights raised to 1 took too much, the largest excess pays for it.
    while rest:
        step = 1 if rest > 0 else -1
        payers = [place for place, count in enumerate(counts) if count + step >= 1]
        lacking = sorted(payers, key=lambda place: (step * (counts[place] - exact[place]), place))[: abs(rest)]
        for place in lacking:
            counts[place] += step
        rest -= step * len(lacking)
    error = max(abs(Fraction(count, total) - share / total) for count, share in zip(counts, exact, strict=True))
    return IntegerWeights(tuple(counts), float(error))
