"""The tokens that functions of token blocks take beside it: integers that fit the dtype of the block."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from bionemo.core.checks import AnyInt, check_integer, is_concrete, shown
from bionemo.core.int64 import as_integers

__all__ = ["are_tokens_in", "as_token_table", "as_tokens", "check_ids", "check_token", "take_tokens"]

_FEW: Final = 16
"""Up to so many tokens in a table, comparing with each is fastest."""


def check_ids(ids: Tensor, /) -> None:
    """Check that the tokens of a block are integers.

    Raises:
        TypeError: if they aren't.

    Example:
        >>> check_ids(torch.tensor([5, 6]))
    """
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        message = f"ids must be integers, got dtype={ids.dtype}. They are tokens."
        raise TypeError(message)


def check_token(token: AnyInt, dtype: torch.dtype, /, *, name: str) -> int:
    """Return a token as a Python int, after checking that a dtype holds it.

    Args:
        token: an integer.
        dtype: dtype of the block of tokens.
        name: name of the argument in the error.

    Raises:
        TypeError: if it is no integer (bools count as none).
        ValueError: if it doesn't fit the dtype.

    Example:
        >>> check_token(3, torch.int8, name="mask_id")
        3
    """
    number, limits = check_integer(token, name=name), torch.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        message = f"{name} must fit the ids' {dtype}, got {name}={shown(number)}."
        raise ValueError(message)
    return number


def as_tokens(
    tokens: Iterable[AnyInt] | Integer[Tensor, "..."], ids: Integer[Tensor, "..."], /, *, name: str
) -> Integer[Tensor, " _"]:
    """Return tokens as a one-axis tensor with the dtype and device of a block of tokens.

    Args:
        tokens: integers in a range, sequence, array, tensor or any other iterable.
        ids: the block of tokens.
        name: name of the argument in the error.

    Raises:
        TypeError: if a token is no integer (bools count as none).
        ValueError: if a token doesn't fit the dtype, or a tensor has more axes than one. Only dtype and shape are
            checked of tensors inside `torch.compile` and `vmap` and on an accelerator.

    Example:
        >>> as_tokens(range(3, 6), torch.zeros(2, 4, dtype=torch.uint8), name="replacement_ids")
        tensor([3, 4, 5], dtype=torch.uint8)
    """
    if isinstance(tokens, np.ndarray) and torch.compiler.is_compiling():  # a graph holds NumPy arrays as tensors
        tokens = torch.as_tensor(tokens)
    if isinstance(tokens, Tensor):
        if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
            message = f"{name} must be integers, got dtype={tokens.dtype}."
            raise TypeError(message)
        if not is_concrete(tokens):
            return tokens.to(device=ids.device, dtype=ids.dtype)
    elif torch.compiler.is_compiling():  # once, while the graph is made
        checked = [check_token(token, ids.dtype, name=name) for token in tokens]
        return torch.tensor(checked, dtype=ids.dtype, device=ids.device)
    array = as_integers(tokens, name=name)
    if array.ndim != 1:
        message = f"{name} must have one axis, got shape {array.shape}."
        raise ValueError(message)
    for bound in (array.max(), array.min()) if array.size else ():
        check_token(bound, ids.dtype, name=name)
    return torch.from_numpy(array.astype(np.int64)).to(device=ids.device, dtype=ids.dtype)


def as_token_table(
    tokens: Iterable[AnyInt] | Integer[Tensor, "..."], ids: Integer[Tensor, "..."], /, *, name: str
) -> range | Integer[Tensor, " _"]:
    """Return tokens as a table for `take_tokens`: a range as a range, of which only the ends are checked.

    Args:
        tokens: as for `as_tokens`.
        ids: the block of tokens.
        name: name of the argument in the error.

    Raises:
        TypeError: as `as_tokens`.
        ValueError: as `as_tokens`.

    Example:
        >>> as_token_table(range(4, 250_000), torch.zeros(2, 4, dtype=torch.int64), name="replacement_ids")
        range(4, 250000)
    """
    if isinstance(tokens, range | tuple) and not tokens:
        return range(0)
    if not isinstance(tokens, range):
        return as_tokens(tokens, ids, name=name)
    first, last = (check_token(end, ids.dtype, name=name) for end in (tokens[0], tokens[-1]))
    step = tokens.step if last != first else 1  # of a single token, it may not fit int64
    return range(first, last + (1 if step > 0 else -1), step)


def take_tokens(table: range | Tensor, index: Any, /) -> Any:
    """Return tokens of a table at indices that are in range, an int64 array or tensor; unchecked.

    Example:
        >>> take_tokens(range(4, 24), torch.tensor([0, 3])), take_tokens(torch.tensor([9, 8, 7]), np.array([2]))
        (tensor([4, 7]), array([7]))
    """
    if isinstance(table, range):
        return table.start + table.step * index
    return table[index] if isinstance(index, Tensor) else table.numpy()[index]


def are_tokens_in(table: range | Tensor, tokens: Any, /) -> Any:
    """Return which tokens of an array or tensor are in a table; unchecked.

    Example:
        >>> are_tokens_in(range(4), torch.tensor([3, 4])), are_tokens_in(torch.tensor([0, 9]), np.array([9, 5]))
        (tensor([ True, False]), array([ True, False]))
    """
    if isinstance(table, range):
        first, last = sorted((table[0], table[-1])) if table else (0, -1)
        are_within = (tokens >= first) & (tokens <= last)
        return are_within & ((tokens - first) % abs(table.step) == 0) if abs(table.step) > 1 else are_within
    if isinstance(tokens, Tensor):
        return (tokens[..., None] == table).any(-1)  # vmap has no rule for torch.isin
    if len(table) > _FEW:
        return np.isin(tokens, table.numpy())
    are_in = np.zeros(tokens.shape, dtype=np.bool_)
    for token in table.tolist():
        are_in |= tokens == token
    return are_in
