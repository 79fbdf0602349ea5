"""From ragged rows to one padded block and its mask."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int, Integer
from torch import Tensor

from bionemo.core.utils.checks import MAX_INT, AnyInt, check_int

__all__ = ["length_mask", "pad_token_ids"]

Row = Sequence[AnyInt] | npt.NDArray[np.integer[Any]] | Integer[Tensor, " _"]
"""The tokens of one sequence."""

_SIGNED: Final[dict[np.dtype[Any], np.dtype[Any]]] = {
    np.dtype(np.uint16): np.dtype(np.int32),
    np.dtype(np.uint32): np.dtype(np.int64),
    np.dtype(np.uint64): np.dtype(np.int64),
}
"""Unsigned types that torch stores and can't compute with, and what holds their values instead."""


def length_mask(lengths: Int[Tensor, " batch"], /, length: int) -> Bool[Tensor, "batch length"]:
    """Return which places of a right-padded block hold real tokens.

    Law: row `i` has `min(lengths[i], length)` times True, and all of them first.

    Args:
        lengths: real tokens of each row.
        length: width of the block.

    Returns:
        True = real token; the device of `lengths`.

    Example:
        >>> length_mask(torch.tensor([2, 0]), 3)
        tensor([[ True,  True, False],
                [False, False, False]])
    """
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def _tokens(row: Row, number: int) -> npt.NDArray[np.integer[Any]]:
    """Return a row as a 1-D array of a signed or 8-bit integer type."""
    tokens: npt.NDArray[Any] = row.detach().cpu().numpy() if isinstance(row, Tensor) else np.asarray(row)
    if tokens.ndim != 1:
        message = (
            f"each row of token_ids must be one-dimensional, got shape {tokens.shape} in row {number}. "
            "Pass a sequence of integers for each row."
        )
        raise ValueError(message)
    is_sequence = not isinstance(row, np.ndarray | Tensor)
    if is_sequence and not tokens.size:
        return np.empty(0, dtype=np.int64)
    if tokens.dtype.kind not in "iu":
        message = f"each row of token_ids must hold integers that fit int64, got dtype {tokens.dtype} in row {number}."
        raise TypeError(message)
    signed = np.dtype(np.int64) if is_sequence else _SIGNED.get(tokens.dtype, tokens.dtype)
    if tokens.dtype == np.uint64 and tokens.size:
        _check_fits(int(tokens.max()), signed, f"row {number} of token_ids")
    return tokens.astype(signed, copy=False)


def _check_fits(value: int, dtype: np.dtype[Any], name: str) -> None:
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        message = f"{name} must fit {dtype} ({limits.min}..{limits.max}), got {value}. Ask for a wider type by dtype=."
        raise ValueError(message)


def _padded_length(lengths: npt.NDArray[np.int64], padding_len: int | None, divisor: int) -> int:
    longest = int(lengths.max(initial=0))
    if padding_len is None:
        padding_len = longest
    elif padding_len < longest:
        message = (
            f"padding_len must be at least the longest row, got padding_len={padding_len} "
            f"and {longest} tokens in row {int(lengths.argmax())}. Crop the row first or raise padding_len."
        )
        raise ValueError(message)
    return -(-padding_len // divisor) * divisor


def pad_token_ids(
    token_ids: Sequence[Row],
    padding_value: AnyInt = 0,
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Integer[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Return rows of tokens as one right-padded block, and the mask of its real tokens.

    Laws: `ids[mask]` is the rows one after the other; `mask.sum(1)` is their lengths; the answer doesn't depend on what
    holds the rows; nothing is cut.

    Args:
        token_ids: rows of any lengths, also empty: sequences of ints, integer arrays or one-dimensional integer
            tensors, also mixed.
        padding_value: what stands behind the end of a row.
        padding_len: width of the block, in tokens; by default the longest row's length.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        dtype: integer type of the ids; by default the widest of the rows that aren't empty (int64 for sequences of ints
            and where there is no token; unsigned types above 8 bits become the signed type that holds them).
        device: where both results go; the CPU by default.

    Returns:
        `ids` and `mask` (bool, True = real token), both of shape (rows, width); without rows of shape (0, padding_len
        or 0).

    Raises:
        ValueError: if a row isn't one-dimensional, a row is longer than `padding_len`, a size isn't positive, or a
            token or the padding value doesn't fit the dtype.
        TypeError: if a row holds anything but integers, a number is no integer, or `dtype` is no integer type.

    Example:
        >>> ids, mask = pad_token_ids([[5, 6, 7], [8]], padding_value=1)
        >>> ids
        tensor([[5, 6, 7],
                [8, 1, 1]])
        >>> mask
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    padding_value = check_int(padding_value, name="padding_value", low=-MAX_INT - 1)
    pad_size_divisible_by = check_int(pad_size_divisible_by, name="pad_size_divisible_by", low=1)
    if padding_len is not None:
        padding_len = check_int(padding_len, name="padding_len", low=1)
    if dtype is not None and (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool):
        message = f"dtype must be an integer type, got dtype={dtype}. Token ids are integers."
        raise TypeError(message)
    rows = [_tokens(row, number) for number, row in enumerate(token_ids)]
    lengths = np.array([row.size for row in rows], dtype=np.int64)
    width = _padded_length(lengths, padding_len, pad_size_divisible_by)
    filled = [row for row in rows if row.size]
    natural = np.result_type(*filled) if filled else np.dtype(np.int64)
    target = natural if dtype is None else torch.empty(0, dtype=dtype).numpy().dtype
    _check_fits(padding_value, target, "padding_value")
    if target != natural:
        for number, row in enumerate(rows):
            for bound in (row.min(), row.max()) if row.size else ():
                _check_fits(int(bound), target, f"row {number} of token_ids")
    mask = np.arange(width) < lengths[:, None]
    ids = np.full(mask.shape, padding_value, dtype=target)
    if filled:
        ids[mask] = np.concatenate(filled)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
