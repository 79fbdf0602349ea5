"""Draws by weight in constant time: an alias table of integers, equal on every machine."""

import math
from collections.abc import Collection
from numbers import Real
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.utils.blocks import take
from bionemo.core.utils.checks import AnyFloat, IntArray
from bionemo.core.utils.hashing import fold_word

__all__ = ["AliasTable", "Weights", "check_weights", "draw_by_alias", "make_alias_table"]

Weights: TypeAlias = Collection[AnyFloat] | NDArray[Any] | Tensor
"""One axis of numbers, in anything that holds them."""

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_TOTAL_BITS: Final = 62
"""All weights together come to at most 2**62 units, so that sums of them fit int64."""


class AliasTable(NamedTuple):
    """Columns of equal size, each shared by at most two places: itself up to a threshold, and its alias above.

    Ints and int64 arrays, or int64 tensors.
    """

    length: Any
    """How many places, and columns, there are: below 2**31."""
    shift: Any
    """A 63-bit word shifted right by this is a height in the column."""
    thresholds: Any
    """Below which height a column stands for itself, one a column."""
    aliases: Any
    """What place it stands for from there on, one a column."""


def check_weights(weights: Weights, /) -> NDArray[np.float64]:
    """Return weights as a new float64 array.

    Args:
        weights: one axis of non-negative finite numbers, at least one above 0.

    Raises:
        ValueError: for another number of axes, none at all, a NaN, negative or infinite weight, or zeros alone.
        TypeError: if they are no real numbers.

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
    with np.errstate(over="ignore"):  # what is too large is refused as infinite
        values: NDArray[np.float64] = numbers.astype(np.float64) + 0.0  # without a minus before zero
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        message = f"weights must be finite and not negative, got weights[{wrong[0]}]={values[wrong[0]]}."
        raise ValueError(message)
    if not values.any():
        message = f"weights must not all be zero, got {values.size} zeros. There is nothing to draw."
        raise ValueError(message)
    return values


def _as_array(weights: Weights) -> NDArray[Any]:
    """Return weights as an array, whatever they are held in."""
    if isinstance(weights, Tensor):
        weights = weights.detach().cpu()
        numbers: NDArray[Any] = (weights if weights.is_complex() else weights.to(torch.float64)).numpy()
        return numbers
    numbers = np.asarray(weights)
    is_mixed = numbers.dtype == np.object_ and all(isinstance(number, Real) for number in numbers.ravel())
    return numbers.astype(np.float64) if is_mixed else numbers


def _units(weights: NDArray[np.float64], total: int) -> IntArray:
    """Return the weights in integer units that sum to `total`; a weight of zero has none.

    Sums are exact and the rest is elementwise, so that no machine's order of adding shows.
    """
    scaled = np.ldexp(weights, -math.frexp(weights.max())[1])
    share = scaled / math.fsum(scaled) * (1 - 2.0**-50)  # a little less, so that what is left over is never negative
    positive = np.flatnonzero(weights)
    units: IntArray = np.floor(share * total).astype(np.int64)
    # What the factor took goes back by share, what was rounded down in units of one.
    taken = max(total - int(units.sum()) - len(positive), 0)
    units += np.floor(share * float(taken)).astype(np.int64)
    each, rest = divmod(total - int(units.sum()), len(positive))
    units[positive] += each
    units[positive[:rest]] += 1
    return units


def make_alias_table(weights: NDArray[np.float64], /) -> AliasTable:
    """Return the alias table of some weights, in time and memory of their number.

    Law: summed over the columns, each place has its weight's share of the total to within 2**-49 of that share plus
    2**-59; a place of weight zero has none.

    Args:
        weights: as `check_weights` gives them.

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
    light, heavy = np.flatnonzero(units < column), np.flatnonzero(units >= column)
    lacking = np.append(
        0, np.cumsum(column - units[light])
    )  # what the light columns before each take from heavy places
    spare = np.cumsum(units[heavy] - column)  # what the heavy places up to each can give
    thresholds, aliases = np.minimum(units, column), np.arange(length)
    # A heavy place gives until it has no spare left; what it then gave too much of itself, the next heavy place pays.
    aliases[light] = heavy[np.searchsorted(spare, lacking[:-1], side="right")]
    aliases[heavy[:-1]] = heavy[1:]
    thresholds[heavy] = column - np.maximum(lacking[np.searchsorted(lacking[:-1], spare)] - spare, 0)
    return AliasTable(length, 63 - column_bits, thresholds, aliases)


def draw_by_alias(table: AliasTable, seed: Any, counter: Any, /) -> Any:
    """Return the place drawn by weight at a counter of a seed's stream; unchecked, for ints, arrays and tensors.

    Law: over all words, a place comes up with the probability that the table gives it, to within 2**-63 for each column
    that it stands in: of a word times the length, the upper bits are the column and the lower ones the height in it.

    Example:
        >>> draw_by_alias(make_alias_table(np.array([1.0, 0.0, 3.0])), 42, np.arange(8))
        array([2, 2, 2, 2, 2, 2, 0, 2])
    """
    word = fold_word(seed, counter)
    lower = (word & _MASK_32) * table.length
    upper = (word >> 32) * table.length + (lower >> 32)
    column, height = upper >> 31, ((upper & _MASK_31) << 32 | lower & _MASK_32) >> table.shift
    is_above = height >= take(table.thresholds, column)
    return column + is_above * (take(table.aliases, column) - column)
