"""From ragged rows to one padded block and its mask, and back."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int, Integer, Shaped
from torch import Tensor

from bionemo.core.utils.checks import MAX_INT, AnyInt, as_int, check_blocks, check_int
from bionemo.core.utils.rows import Row, Rows, Side, check_fits, check_side, lay_out, read_rows, torch_dtype

__all__ = [
    "length_mask",
    "pad_token_ids",
    "pad_token_ids_into",
    "padded_length",
    "row_mask",
    "truncate_token_ids",
    "unpad_token_ids",
]


def length_mask(lengths: Int[Tensor, " batch"], /, length: AnyInt) -> Bool[Tensor, "batch length"]:
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
    return torch.arange(as_int(length), device=lengths.device) < lengths[:, None]


def row_mask(lengths: Collection[AnyInt], width: AnyInt, /, *, padding_side: Side = "right") -> npt.NDArray[np.bool_]:
    """Return which places of a block of rows of some lengths are real.

    Example:
        >>> row_mask([2, 0], 3, padding_side="left")
        array([[False,  True,  True],
               [False, False, False]])
    """
    width = as_int(width)
    narrow = np.int16 if width <= np.iinfo(np.int16).max else np.int64  # four times as fast
    places: npt.NDArray[Any] = np.arange(width, dtype=narrow)
    ends: npt.NDArray[Any] = np.array(lengths, dtype=narrow)[:, None]
    mask: npt.NDArray[np.bool_] = places < ends if padding_side == "right" else places >= width - ends
    return mask


def padded_length(
    lengths: Collection[AnyInt],
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    *,
    name: str = "token_ids",
) -> int:
    """Return the width of the block that rows of some lengths are padded to.

    Args:
        lengths: of the rows.
        padding_len: what is asked for; by default the longest row's.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        name: of the rows, for errors.

    Raises:
        ValueError: if a row is longer than `padding_len`, or a size isn't positive.

    Example:
        >>> padded_length([5, 3], None, 4)
        8
    """
    divisor = check_int(pad_size_divisible_by, name="pad_size_divisible_by", low=1)
    longest = as_int(max(lengths, default=0))
    if padding_len is None:
        return -(-longest // divisor) * divisor
    width = check_int(padding_len, name="padding_len", low=1)
    if width < longest:
        message = (
            f"padding_len must be at least the longest row, got padding_len={width} "
            f"and {longest} tokens in row {list(lengths).index(longest)} of {name}. "
            "Raise it, or cut the rows by truncate_token_ids."
        )
        raise ValueError(message)
    return -(-width // divisor) * divisor


def pad_token_ids(
    token_ids: Sequence[Row],
    padding_value: AnyInt = 0,
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    padding_side: Side = "right",
) -> tuple[Integer[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Return rows of tokens as one padded block, and the mask of its real tokens.

    Laws: `unpad_token_ids(*pad_token_ids(rows))` is the rows; `mask.sum(1)` is their lengths; the answer doesn't depend
    on what holds the rows; nothing is cut.

    Args:
        token_ids: rows of any lengths, also empty: sequences of ints, integer arrays or one-dimensional integer
            tensors, also mixed.
        padding_value: what stands where no token does.
        padding_len: width of the block, in tokens; by default the longest row's length.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        dtype: integer type of the ids; by default the widest of the rows that aren't empty (int64 for sequences of ints
            and where there is no token; unsigned types above 8 bits become the signed type that holds them).
        device: where both results go; the CPU by default.
        padding_side: the end of a row that is filled up.

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
    if dtype is not None:
        _check_dtype(dtype, "dtype")
    rows = read_rows(token_ids, name="token_ids")
    width = padded_length(rows.lengths, padding_len, pad_size_divisible_by)
    if dtype is None:
        dtype = torch_dtype(rows.dtype) if rows.dtype.kind in "iu" else torch.int64
    ids = torch.empty((len(rows.parts), width), dtype=dtype, device="cpu")
    _fill(rows, ids, padding_value, padding_side)
    mask = torch.from_numpy(row_mask(rows.lengths, width, padding_side=padding_side))
    return (ids, mask) if device is None else (ids.to(device), mask.to(device))


def _check_dtype(dtype: object, name: str) -> None:
    is_other = not isinstance(dtype, torch.dtype) or dtype.is_floating_point or dtype.is_complex
    if is_other or dtype == torch.bool:
        message = f"{name} must be an integer type of torch, got {name}={dtype}. Token ids are integers."
        raise TypeError(message)


def _fill(rows: Rows, ids: Tensor, padding_value: AnyInt, padding_side: Side) -> None:
    check_side(padding_side, name="padding_side")
    value = check_int(padding_value, name="padding_value", low=-MAX_INT - 1)
    block = ids.numpy()
    check_fits(value, block.dtype, name="padding_value")
    ids.fill_(value)
    lay_out(rows, block, side=padding_side, name="token_ids")


def pad_token_ids_into(
    ids_buffer: Integer[Tensor, "..."],
    mask_buffer: Bool[Tensor, "..."],
    token_ids: Sequence[Row],
    padding_value: AnyInt = 0,
    *,
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    padding_side: Side = "right",
) -> tuple[Integer[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Write rows of tokens, padded, into memory that is there already: pinned memory, from batch to batch.

    Law: the answer equals that of `pad_token_ids` with the buffer's dtype.

    Args:
        ids_buffer: contiguous, on the CPU, of an integer dtype, any shape with room for the block; written from its
            start. What it held there is lost, also if a token turns out not to fit.
        mask_buffer: likewise, of bools.
        token_ids: as in `pad_token_ids`, and so are the others; none of them in the memory of a buffer.
        padding_value: what stands where no token does.
        padding_len: width of the block.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        padding_side: the end of a row that is filled up.

    Returns:
        `ids` and `mask`, of shape (rows, width): contiguous views of the buffers, good until these are written again.

    Raises:
        ValueError: if a buffer is too small, not contiguous or not on the CPU, and as `pad_token_ids`.
        TypeError: if a buffer is of another kind, and as `pad_token_ids`.

    Example:
        >>> buffers = torch.empty(512, dtype=torch.int32), torch.empty(512, dtype=torch.bool)
        >>> ids, mask = pad_token_ids_into(*buffers, [[5, 6, 7], [8]], padding_value=1)
        >>> ids.tolist(), ids.data_ptr() == buffers[0].data_ptr()
        ([[5, 6, 7], [8, 1, 1]], True)
    """
    _check_dtype(ids_buffer.dtype, "ids_buffer's dtype")
    if mask_buffer.dtype != torch.bool:
        message = f"mask_buffer must be of bools, got dtype={mask_buffer.dtype}."
        raise TypeError(message)
    rows = read_rows(token_ids, name="token_ids")
    shape = len(rows.parts), padded_length(rows.lengths, padding_len, pad_size_divisible_by)
    ids, mask = _room(ids_buffer, shape, "ids_buffer"), _room(mask_buffer, shape, "mask_buffer")
    _fill(rows, ids, padding_value, padding_side)
    np.copyto(mask.numpy(), row_mask(rows.lengths, shape[1], padding_side=padding_side))
    return ids, mask


def _room(buffer: Tensor, shape: tuple[int, int], name: str) -> Tensor:
    size = shape[0] * shape[1]
    if not buffer.is_contiguous() or not buffer.is_cpu or buffer.numel() < size:
        message = (
            f"{name} must be contiguous, on the CPU and of at least {shape[0]} * {shape[1]} elements, got "
            f"{buffer.numel()} on {buffer.device}, {'' if buffer.is_contiguous() else 'not '}contiguous."
        )
        raise ValueError(message)
    return buffer.view(-1)[:size].view(shape)


def unpad_token_ids(
    ids: Shaped[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], /
) -> list[Shaped[Tensor, " _"]]:
    """Return the real tokens of each row of a padded block.

    Law: the inverse of `pad_token_ids`, on either side, and for tokens of any dtype.

    Args:
        ids: a padded block: tokens, or labels or numbers that stand beside them.
        mask: True = real token.

    Returns:
        A one-dimensional tensor a row, of the dtype and device of `ids`, in memory of their own.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the mask isn't of bools.

    Example:
        >>> unpad_token_ids(*pad_token_ids([[5, 6, 7], [], [8]]))
        [tensor([5, 6, 7]), tensor([], dtype=torch.int64), tensor([8])]
    """
    check_blocks(ids, mask)
    return list(torch.split(ids[mask], mask.sum(1).tolist())) if len(ids) else []


def truncate_token_ids(token_ids: Sequence[Row], length: AnyInt, /, *, side: Side = "right") -> list[Row]:
    """Return rows cut to a length; shorter ones stay as they are.

    Law: the rows' containers and dtypes stay; padding never cuts, so that this is the one way to lose tokens.

    Args:
        token_ids: rows, as for `pad_token_ids`.
        length: most tokens in a row, at least 1.
        side: the end that is cut off.

    Raises:
        ValueError: if `length` isn't positive, or `side` is another.

    Example:
        >>> truncate_token_ids([[5, 6, 7], [8]], 2), truncate_token_ids([[5, 6, 7], [8]], 2, side="left")
        ([[5, 6], [8]], [[6, 7], [8]])
    """
    check_side(side, name="side")
    length = check_int(length, name="length", low=1)
    return [row[:length] if side == "right" else row[max(len(row) - length, 0) :] for row in token_ids]
