"""Weighted draws in constant time by an alias table, in integer arithmetic that is equal on every machine."""

import math
from collections.abc import Collection
from numbers import Real
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import take
from bionemo.core.checks import AnyFloat, IntArray, check_dense, shown
from bionemo.core.random.hashing import fold_word

__all__ = ["AliasTable", "Weights", "check_weights", "draw_by_alias", "make_alias_table"]

Weights: TypeAlias = Collection[AnyFloat | bool] | NDArray[Any] | Tensor
"""Numbers in one axis, in any container."""

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_TOTAL_BITS: Final = 62
"""The weights are converted to integer units whose total is at most 2**62, so that their sums fit int64."""


class AliasTable(NamedTuple):
    """Columns of equal height, one per index: below its threshold a column yields its own index, above it its alias."""

    length: int
    """Number of columns, and of indices: below 2**31."""
    shift: int
    """Right shift that turns a 63-bit word into a height in a column."""
    thresholds: IntArray
    """Height below which a column yields its own index, one per column."""
    aliases: IntArray
    """Index that a column yields from its threshold upwards, one per column."""


def check_weights(weights: Weights, /) -> NDArray[np.float64]:
    """Return weights as a new float64 array, after checking them.

    Args:
        weights: finite, non-negative numbers in one axis, at least one above 0.

    Raises:
        ValueError: if the weights don't have exactly one axis or are empty; if one is NaN, negative or infinite; if all
            are zero.
        TypeError: if the weights are not real numbers.

    Example:
        >>> check_weights([1, 3])
        array([1., 3.])
    """
    numbers = _as_array(weights)
    if numbers.dtype.kind not in "biuf":
        message = f"weights must be real numbers, got dtype={numbers.dtype}."
        raise TypeError(message)
    if numbers.ndim != 1 or not numbers.size:
        message = f"weights must have one axis and at least one element, got shape={numbers.shape}."
        raise ValueError(message)
    with np.errstate(over="ignore"):  # a longdouble above the range of float64 becomes inf, and is refused below
        values: NDArray[np.float64] = numbers.astype(np.float64) + 0.0  # adding 0.0 turns -0.0 into 0.0
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        message = f"weights must be finite and not negative, got weights[{wrong[0]}]={values[wrong[0]]}."
        raise ValueError(message)
    if not values.any():
        message = f"weights must not all be zero, got {values.size} zeros. Make at least one positive."
        raise ValueError(message)
    return values


def _as_array(weights: Weights) -> NDArray[Any]:
    """Return weights from any container as an array."""
    if isinstance(weights, Tensor):
        check_dense(weights, name="weights")
        weights = weights.detach().cpu()
        numbers: NDArray[Any] = (weights if weights.is_complex() else weights.to(torch.float64)).numpy()
        return numbers
    try:
        numbers = np.asarray(weights)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of several lengths, or tensors that aren't dense
        message = f"weights must be real numbers in one axis, got {shown(weights)}."
        raise TypeError(message) from error
    is_mixed = numbers.dtype == np.object_ and all(isinstance(number, Real) for number in numbers.ravel())
    try:
        return numbers.astype(np.float64) if is_mixed else numbers
    except OverflowError as error:
        message = f"weights must be finite, got weights={shown(weights)}: one is too large for a float."
        raise ValueError(message) from error


def _units(weights: NDArray[np.float64], total: int) -> IntArray:
    """Return the weights in integer units that sum to `total`; a weight of zero gets no unit.

    Sums are exact and everything else is elementwise, so that the result doesn't depend on the order in which a machine
    adds floats.
    """
    scaled = np.ldexp(weights, -math.frexp(weights.max())[1])  # below 1, so that the sum can't overflow
    fractions = scaled / math.fsum(scaled) * (1 - 2.0**-50)  # slightly low, so that rounding never exceeds `total`
    positive = np.flatnonzero(weights)
    units: IntArray = np.floor(fractions * total).astype(np.int64)
    # Hand out what is missing from `total`: what the factor withheld in proportion to the fractions, and what floor
    # dropped, less than one unit per weight, evenly.
    withheld = max(total - int(units.sum()) - len(positive), 0)
    units += np.floor(fractions * float(withheld)).astype(np.int64)
    each, rest = divmod(total - int(units.sum()), len(positive))
    units[positive] += each
    units[positive[:rest]] += 1
    return units


def make_alias_table(weights: NDArray[np.float64], /) -> AliasTable:
    """Return the alias table of an array of weights, in time and memory linear in their number.

    Law: over all columns, each index has its weight's fraction of the total, to within 2**-49 of that fraction plus
    2**-59; an index of weight zero has none.

    Args:
        weights: the result of `check_weights`.

    Source: A. Walker, "An efficient method for generating discrete random variables" (1977); built by one sweep over
    prefix sums, as in L. Hübschle-Schneider and P. Sanders, "Parallel weighted random sampling" (2019).

    Example:
        >>> table = make_alias_table(np.array([1.0, 3.0]))
        >>> table.thresholds / 2.0**61, table.aliases
        (array([0.5, 1. ]), array([1, 1]))
    """
    length = len(weights)
    column_bits = _TOTAL_BITS - (length - 1).bit_length()
    column = 1 << column_bits
    units = _units(weights, length * column)
    # A light index has fewer units than a column holds, a heavy one at least as many. Heavy indices fill up the columns
    # of light ones, both taken in rising order; `demand` and `surplus` are their prefix sums.
    light, heavy = np.flatnonzero(units < column), np.flatnonzero(units >= column)
    demand = np.append(0, np.cumsum(column - units[light]))  # demand[i]: of the light columns before the i-th
    surplus = np.cumsum(units[heavy] - column)  # surplus[j]: of the heavy indices up to the j-th
    thresholds, aliases = np.minimum(units, column), np.arange(length)
    # A light column is filled by the first heavy index whose surplus isn't used up where the column's demand begins.
    aliases[light] = heavy[np.searchsorted(surplus, demand[:-1], side="right")]
    # The last column that a heavy index fills may take more than is left of its surplus. Then the heavy index can't
    # fill its own column, and the next heavy index does. `overdrawn[j]`: what the light columns filled by the heavy
    # indices up to the j-th take beyond their surplus.
    aliases[heavy[:-1]] = heavy[1:]
    overdrawn = demand[np.searchsorted(demand[:-1], surplus)] - surplus
    thresholds[heavy] = column - np.maximum(overdrawn, 0)
    return AliasTable(length, 63 - column_bits, thresholds, aliases)


def draw_by_alias(table: AliasTable, seed: Any, counter: Any, /) -> Any:
    """Return the index drawn by weight at a counter of a seed's stream, for ints and int64 arrays; unchecked.

    Law: each index is drawn with the table's probability, to within 2**-63 per column it occupies.

    Example:
        >>> draw_by_alias(make_alias_table(np.array([1.0, 0.0, 3.0])), 42, np.arange(8))
        array([2, 2, 2, 2, 2, 2, 0, 2])
    """
    word = fold_word(seed, counter)
    # One 63-bit word gives both numbers: `word * length >> 63` is the column, and the low 63 bits of the product are
    # the height in it. The product is upper * 2**32 + (lower & _MASK_32); length < 2**31 keeps both below 2**63.
    lower = (word & _MASK_32) * table.length
    upper = (word >> 32) * table.length + (lower >> 32)
    column, height = upper >> 31, ((upper & _MASK_31) << 32 | lower & _MASK_32) >> table.shift
    # A branch-free select, because `column` may be an int or an array.
    is_above = height >= take(table.thresholds, column)
    return column + is_above * (take(table.aliases, column) - column)
