"""Checks of the tokens that functions of token blocks take: integers that fit the dtype of the block."""

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Integer
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.checks import AnyInt, is_concrete

__all__ = ["as_integers", "as_tokens", "check_token"]


def _is_integer(kind: type) -> bool:
    return issubclass(kind, int | np.integer) and not issubclass(kind, bool)


def _refuse(value: object, name: str) -> NoReturn:
    message = f"{name} must be an integer, got {name}={value!r} of type {type(value).__name__}."
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
    if not _is_integer(type(token)):
        _refuse(token, name)
    number, limits = int(token), torch.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        message = f"{name} must fit the ids' {dtype}, got {name}={number}."
        raise ValueError(message)
    return number


def as_integers(values: Iterable[Any], /, *, name: str) -> NDArray[Any]:
    """Return integers as a one-axis array, of Python ints (dtype object) if no integer dtype holds them all.

    Args:
        values: integers in a range, sequence, array, tensor or any other iterable.
        name: name of the argument in the error.

    Raises:
        TypeError: if an element is no integer (bools count as none).

    Example:
        >>> as_integers([3, 2, 1, 0], name="complement"), as_integers([2**70], name="complement").dtype
        (array([3, 2, 1, 0]), dtype('O'))
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":
        return values
    elements = list(values)
    # One check per type, not one per element: a vocabulary may hold 100,000 tokens, in every batch.
    if not all(map(_is_integer, set(map(type, elements)))):
        _refuse(next(element for element in elements if not _is_integer(type(element))), name)
    array: NDArray[Any] = np.array(elements)
    # NumPy reads ints beyond int64 beside others as floats, which are not exact.
    return array if array.dtype.kind in "iu" else np.array(elements, dtype=np.object_)


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
    if isinstance(tokens, Tensor):
        _check_tensor(tokens, name)
        if not is_concrete(tokens):
            return tokens.to(device=ids.device, dtype=ids.dtype)
    if isinstance(tokens, range):
        for end in (tokens[0], tokens[-1]) if tokens else ():
            check_token(end, ids.dtype, name=name)
        first, step = (tokens[0], tokens.step if len(tokens) > 1 else 0) if tokens else (0, 0)
        # In int64: the end of the range may be one above the largest number of the dtype.
        return (torch.arange(len(tokens), device=ids.device) * step + first).to(ids.dtype)
    if torch.compiler.is_compiling():  # once, while the graph is made; it holds NumPy arrays as tensors
        if isinstance(tokens, np.ndarray):
            return as_tokens(torch.as_tensor(tokens), ids, name=name)
        checked = [check_token(token, ids.dtype, name=name) for token in tokens]
        return torch.tensor(checked, dtype=ids.dtype, device=ids.device)
    array, limits = as_integers(tokens, name=name), torch.iinfo(ids.dtype)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        for token in array.tolist():  # raises at the first that doesn't fit
            check_token(token, ids.dtype, name=name)
    return torch.from_numpy(array.astype(np.int64)).to(device=ids.device, dtype=ids.dtype)


def _check_tensor(tokens: Tensor, name: str) -> None:
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        message = f"{name} must be integers, got dtype={tokens.dtype}."
        raise TypeError(message)
    if tokens.ndim != 1:
        message = f"{name} must have one axis, got shape {tuple(tokens.shape)}."
        raise ValueError(message)
