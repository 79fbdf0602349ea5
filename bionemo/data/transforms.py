"""Random changes of one row of tokens, each by the sample's own generator: transforms for a `Source`."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.utils.checks import AnyFloat, AnyInt, check_int
from bionemo.core.utils.draws import integers_at, uniforms_at
from bionemo.core.utils.generators import seed_from_generator
from bionemo.core.utils.rows import Row

__all__ = ["random_crop", "random_reverse_complement", "reverse_complement"]


def random_crop(row: Row, *, length: AnyInt, generator: torch.Generator) -> Row:
    """Return so many neighbouring tokens of a row, from a random place on; a shorter row stays as it is.

    Law: each place from which the tokens reach is as probable as any other, to within 2**-63.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        length: how many stay at most, at least 1.
        generator: draws the place; it moves on by one draw, whatever the row.

    Returns:
        A slice of the row, of its kind: arrays and tensors share the row's memory.

    Raises:
        ValueError: if `length` isn't positive.

    Example:
        >>> random_crop("MKTAYIAKQR", length=4, generator=torch.Generator().manual_seed(3))
        'IAKQ'
    """
    length = check_int(length, name="length", low=1)
    seed = seed_from_generator(generator)
    start = integers_at(seed, 0, max(len(row) - length, 0) + 1)
    return row[start : start + length]


def reverse_complement(row: Row, *, complement: Collection[AnyInt]) -> Row:
    """Return a strand of DNA as the other strand reads it: backwards, each token replaced by its complement.

    Law: its own inverse, if `complement` is.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        complement: the complement of each token of the vocabulary, in a sequence or array; a token that has none, such
            as N, stands for itself.

    Returns:
        A new row: an array of an array, a tensor of a tensor, a list of anything else; of the dtype of the row.

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
    tokens = np.array([check_int(token, name="row") for token in row], dtype=np.int64)
    listed: list[int] = _complement(tokens[::-1], complement).tolist()
    return listed


def _complement(tokens: NDArray[Any], complement: Collection[AnyInt]) -> NDArray[Any]:
    if tokens.dtype.kind not in "iu":
        message = f"row must hold integers, got dtype {tokens.dtype}."
        raise TypeError(message)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(complement):
        message = (
            f"tokens must be in 0..{len(complement) - 1}, the places of complement, got {tokens.min()}..{tokens.max()}."
        )
        raise IndexError(message)
    limit = np.iinfo(tokens.dtype).max
    table = np.array([check_int(token, name="complement", high=int(limit)) for token in complement], dtype=tokens.dtype)
    other: NDArray[Any] = table[tokens]
    return other


def random_reverse_complement(
    row: Row, *, complement: Collection[AnyInt], prob: AnyFloat = 0.5, generator: torch.Generator
) -> Row:
    """Return a strand of DNA, or what the other strand reads, by chance.

    Args:
        row: tokens: a sequence, an array or a one-dimensional tensor.
        complement: the complement of each token, as in `reverse_complement`.
        prob: of the other strand, 0..1.
        generator: draws the strand; it moves on by one draw.

    Returns:
        The row, or its reverse complement: an array, a tensor, or a list of anything else.

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
    is_other = uniforms_at(seed_from_generator(generator), 0) < prob
    if is_other:
        return reverse_complement(row, complement=complement)
    return row if isinstance(row, np.ndarray | Tensor) else list(row)
