"""Random changes of one row of tokens, drawn from the sample's own generator: transforms for a `Source`.

A generator on the CPU keeps 32 bits of its seed: two samples draw the same numbers with probability 2**-32.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.arrays import as_integers
from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, check_int
from bionemo.core.padding.elements import check_row
from bionemo.core.padding.rows import Row
from bionemo.core.random.draws import integers_at, uniforms_at
from bionemo.core.random.generators import seed_from_generator

__all__ = ["random_crop", "random_reverse_complement", "reverse_complement"]


@checked
def random_crop(row: Row | Shaped[Tensor, "length ..."], *, length: AnyInt, generator: torch.Generator) -> Any:
    """Return `length` consecutive tokens of a row, from a random start; a shorter row is returned whole.

    Law: every start from which `length` tokens fit is equally probable, to within 2**-63.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        length: maximum number of tokens returned, at least 1.
        generator: draws the start; it advances by one draw, whatever the row.

    Returns:
        A slice of the row, of the same type: arrays and tensors share the row's memory.

    Raises:
        ValueError: if `length` isn't positive.
        TypeError: if the row can't be cut, e.g. an iterator.

    Example:
        >>> random_crop("MKTAYIAKQR", length=4, generator=torch.Generator().manual_seed(3))
        'IAKQ'
    """
    check_row(row, name="row")
    length = check_int(length, name="length", low=1)
    seed = seed_from_generator(generator)
    start = integers_at(seed, 0, max(len(row) - length, 0) + 1)
    return row[start : start + length]


@checked
def reverse_complement(row: Row, *, complement: Iterable[AnyInt] | Integer[Tensor, " vocab"]) -> Row:
    """Return the reverse complement of a DNA strand: the row reversed, each token replaced by its complement.

    Law: its own inverse, if `complement` is.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        complement: the complement of each token of the vocabulary, in a sequence, array or tensor; a token without
            one, such as N, is its own.

    Returns:
        A new row: an array or tensor of the same dtype for an array or tensor, a list for anything else.

    Raises:
        IndexError: if a token is not in `0..len(complement)-1`.
        TypeError: if a token or a complement is no integer.
        ValueError: if a complement is negative or doesn't fit the dtype of the row.

    Example:
        >>> reverse_complement([0, 0, 1, 3], complement=[3, 2, 1, 0])  # AACT, with A C G T as 0 1 2 3
        [0, 2, 3, 3]
    """
    if isinstance(row, Tensor):
        return torch.from_numpy(_complement(row.flip(0).cpu().numpy(), complement)).to(row.device)
    if isinstance(row, np.ndarray):
        return _complement(row[::-1], complement)
    complemented: list[int] = _complement(as_integers(row, name="row")[::-1], complement).tolist()
    return complemented


def _complement(tokens: NDArray[Any], complement: Iterable[AnyInt] | Tensor) -> NDArray[Any]:
    """Return the complement of each token, in the dtype of the tokens."""
    if tokens.dtype.kind not in "iuO":  # objects are ints that no dtype holds
        message = f"row must hold integers, got dtype {tokens.dtype}."
        raise TypeError(message)
    table = as_integers(complement, name="complement")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(table):
        message = f"tokens must be indices of complement, 0..{len(table) - 1}, got {tokens.min()}..{tokens.max()}."
        raise IndexError(message)
    limit = int(np.iinfo(tokens.dtype).max)
    for bound in (table.max(), table.min()) if table.size else ():
        check_int(bound, name="complement", high=limit)
    complemented: NDArray[Any] = table.astype(tokens.dtype)[tokens]
    return complemented


@checked
def random_reverse_complement(
    row: Row,
    *,
    complement: Iterable[AnyInt] | Integer[Tensor, " vocab"],
    prob: AnyFloat = 0.5,
    generator: torch.Generator,
) -> Row:
    """Return a DNA strand or, with probability `prob`, its reverse complement.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        complement: the complement of each token, as for `reverse_complement`.
        prob: probability of the reverse complement, 0..1.
        generator: draws the strand; it advances by one draw.

    Returns:
        The row, or its reverse complement: an array for an array, a tensor for a tensor, a list for anything else.

    Raises:
        ValueError: if `prob` isn't in 0..1.

    Example:
        >>> row = random_reverse_complement(
        ...     [0, 0, 1, 3], complement=[3, 2, 1, 0], prob=1.0, generator=torch.Generator().manual_seed(3)
        ... )
        >>> row
        [0, 2, 3, 3]
    """
    prob = float(prob)
    if not 0.0 <= prob <= 1.0:
        message = f"prob must be in 0..1, got prob={prob}."
        raise ValueError(message)
    reverse = reverse_complement(row, complement=complement)  # also where it isn't needed: it checks the arguments
    if uniforms_at(seed_from_generator(generator), 0) < prob:
        return reverse
    return row if isinstance(row, np.ndarray | Tensor) else list(row)
