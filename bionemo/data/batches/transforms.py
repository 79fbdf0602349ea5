"""Random changes of rows of tokens: transforms for a `Source`.

A function of one row draws from the sample's own generator. A generator on the CPU keeps 32 bits of its seed: two
samples draw the same numbers with probability 2**-32. A function of many rows takes their seeds, whole, and saves the
6 us that each generator takes.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int, Integer, Shaped
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, as_int, check_int, check_word, shown
from bionemo.core.fields import to_float
from bionemo.core.int64 import as_axis, as_integers, check_signed
from bionemo.core.padding.elements import check_row
from bionemo.core.padding.rows import Row, list_rows
from bionemo.core.random.draws import scale_to, uniforms_at
from bionemo.core.random.generators import seed_from_generator
from bionemo.core.random.hashing import fold_word

__all__ = [
    "random_crop",
    "random_crop_rows",
    "random_reverse_complement",
    "random_reverse_complement_rows",
    "reverse_complement",
]

_CUT: Final = frozenset((list, str, tuple))
"""Types of rows that can be cut, without a look at each row."""


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
    start = _start(seed_from_generator(generator), max(len(row) - length, 0) + 1)
    return row[start : start + length]


@checked
def random_crop_rows(
    rows: Iterable[Row | Shaped[Tensor, "length ..."]], *, length: AnyInt, seeds: Int[Tensor, " batch"]
) -> list[Any]:
    """Return `length` consecutive tokens of each row, each from a random start: for `Source(..., batched=True)`.

    Law: row `i` is `random_crop(rows[i], length=length, generator=...)` with a generator that gives `seeds[i]`; so it
    doesn't depend on the other rows.

    Args:
        rows: sequences, arrays or tensors.
        length: maximum number of tokens returned per row, at least 1.
        seeds: one per row, 0..2**63-1.

    Returns:
        A slice of each row, of the same type: arrays and tensors share the row's memory.

    Raises:
        ValueError: if `length` isn't positive, a seed is negative, or there isn't one seed per row.
        TypeError: if a row can't be cut, e.g. an iterator.

    Example:
        >>> random_crop_rows(["MKTAYIAKQR", "MNI"], length=4, seeds=torch.tensor([3, 4]))
        ['TAYI', 'MNI']
    """
    length = check_int(length, name="length", low=1)
    cut, seeds = _check_rows(rows, seeds)
    lengths = np.array(list(map(len, cut)), dtype=np.int64)
    starts = _start(seeds.numpy(), np.maximum(lengths - length, 0) + 1).tolist()
    return [row[start : start + length] for row, start in zip(cut, starts, strict=True)]


def _start(seed: Any, num_starts: Any) -> Any:
    return scale_to(fold_word(seed, 0), num_starts)


def _check_rows(rows: Iterable[Any], seeds: Tensor) -> tuple[list[Any], Tensor]:
    """Return rows in a list, and their seeds on the CPU, checked."""
    listed = list_rows(rows, name="rows")
    if seeds.shape != (len(listed),):
        message = f"seeds must be one per row, got shape {tuple(seeds.shape)} for {len(listed)} rows."
        raise ValueError(message)
    kinds = {*map(type, listed)}
    if not (kinds <= _CUT or (kinds == {np.ndarray} and all([row.ndim for row in listed]))):  # noqa: C419 - faster
        for number, row in enumerate(listed):
            check_row(row, name=f"row {number} of rows")
    return listed, check_word(seeds.cpu(), name="seeds")


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
    reverse: Row = _reversed(row, as_axis(complement, name="complement"))
    return reverse


def _reversed(row: Row, table: NDArray[Any], name: str = "row") -> Any:
    check_row(row, name=name)
    if isinstance(row, Tensor):
        check_signed(row, name=name)
        return torch.from_numpy(_complement(row.flip(0).cpu().numpy(), table, name)).to(row.device)
    if isinstance(row, np.ndarray):
        return _complement((as_integers(row, name=name) if row.dtype.hasobject else row)[::-1], table, name)
    complemented: list[int] = _complement(as_integers(row, name=name)[::-1], table, name).tolist()
    return complemented


def _complement(tokens: NDArray[Any], table: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the complement of each token, in the dtype of the tokens."""
    if tokens.dtype.kind not in "iuO":  # objects are ints that no dtype holds
        message = f"{name} must hold integers, got dtype {tokens.dtype}."
        raise TypeError(message)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(table):
        found = f"{shown(as_int(tokens.min()))}..{shown(as_int(tokens.max()))} in {name}"
        message = f"tokens must be indices of complement, 0..{len(table) - 1}, got {found}."
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
    prob = _check_prob(prob)
    other: Row = _reversed(row, as_axis(complement, name="complement"))  # also if not needed: it checks the tokens
    if uniforms_at(seed_from_generator(generator), 0) < prob:
        return other
    return row if isinstance(row, np.ndarray | Tensor) else list(row)


def _check_prob(prob: AnyFloat) -> float:
    if not 0.0 <= prob <= 1.0:
        message = f"prob must be in 0..1, got prob={shown(prob)}."
        raise ValueError(message)
    return to_float(prob)


@checked
def random_reverse_complement_rows(
    rows: Iterable[Row],
    *,
    complement: Iterable[AnyInt] | Integer[Tensor, " vocab"],
    prob: AnyFloat = 0.5,
    seeds: Int[Tensor, " batch"],
) -> list[Any]:
    """Return DNA strands, each or, with probability `prob`, its reverse complement: for `Source(..., batched=True)`.

    Law: row `i` is `random_reverse_complement(rows[i], ...)` with a generator that gives `seeds[i]`; so it doesn't
    depend on the other rows.

    Args:
        rows: sequences, arrays or tensors of tokens.
        complement: the complement of each token, as for `reverse_complement`.
        prob: probability of the reverse complement, 0..1.
        seeds: one per row, 0..2**63-1.

    Returns:
        Each row, or its reverse complement: an array for an array, a tensor for a tensor, a list for anything else.

    Raises:
        ValueError: if `prob` isn't in 0..1, a seed is negative, or there isn't one seed per row.

    Example:
        >>> seeds = torch.tensor([1, 2, 3])
        >>> random_reverse_complement_rows([[0, 0, 1]] * 3, complement=[3, 2, 1, 0], seeds=seeds)
        [[2, 3, 3], [0, 0, 1], [2, 3, 3]]
    """
    prob = _check_prob(prob)
    table = as_axis(complement, name="complement")
    strands, seeds = _check_rows(rows, seeds)
    is_reversed = (uniforms_at(seeds, 0) < prob).tolist()
    # All are reversed, because this checks the tokens.
    others = [_reversed(row, table, f"row {number} of rows") for number, row in enumerate(strands)]
    kept = [row if isinstance(row, np.ndarray | Tensor) else list(row) for row in strands]
    return [other if is_chosen else row for row, other, is_chosen in zip(kept, others, is_reversed, strict=True)]
