"""Padding: from ragged rows of tokens to one block and its mask, and back."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Integer, Shaped
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, check_int
from bionemo.core.padding.elements import check_row
from bionemo.core.padding.rows import (
    Row,
    Rows,
    Side,
    check_fits,
    check_side,
    lay_out,
    list_rows,
    read_rows,
    torch_dtype,
)
from bionemo.core.padding.shape import check_blocks, mask_kernel, width_kernel

__all__ = ["pad_token_ids", "pad_token_ids_into", "truncate_token_ids", "unpad_token_ids"]


@checked
def pad_token_ids(
    token_ids: Iterable[Row],
    padding_value: AnyInt = 0,
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    padding_side: Side = "right",
    non_blocking: bool = False,
    copy: bool = False,  # noqa: ARG001 - of bionemo-core 2.x
) -> tuple[Integer[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Return rows of tokens as one padded block, and the mask of its real tokens.

    Laws: `unpad_token_ids(*pad_token_ids(rows))` gives the rows back; `mask.sum(1)` is their lengths; the result
    doesn't depend on the containers of the rows; no token is cut.

    Args:
        token_ids: rows of any length, including 0: sequences of ints, integer arrays and one-dimensional integer
            tensors, which may be mixed. Bools are no integers.
        padding_value: value of the padding.
        padding_len: width of the block, in tokens; by default the length of the longest row.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        dtype: integer dtype of the ids. The default is the widest dtype of the non-empty rows, where sequences of ints
            count as int64, and unsigned dtypes above 8 bits become a signed dtype that holds their values; int64 if
            there is no token.
        device: device of both results; by default the CPU.
        padding_side: end of the rows that is padded.
        non_blocking: don't wait for the copy to `device`, as in `torch.Tensor.to`.
        copy: no effect, since the results are always new tensors; bionemo-core 2.x has this option.

    Returns:
        `ids` and `mask` (bool, True = real token), both of shape (rows, width). Without rows the width is that of
        `padding_len`, or 0.

    Raises:
        ValueError: if a row isn't one-dimensional or is longer than `padding_len`, a size isn't positive, a token or
            the padding value doesn't fit the dtype, or the block doesn't fit the memory.
        TypeError: if a row holds anything but integers, a number is not an integer, or `dtype` is not an integer dtype.

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
    if dtype is None:
        dtype = torch_dtype(rows.dtype) if rows.dtype.kind in "iu" else torch.int64
    token_bytes = dtype.itemsize + 1
    width = width_kernel(rows.lengths, padding_len, pad_size_divisible_by, name="token_ids", token_bytes=token_bytes)
    ids = torch.empty((len(rows.parts), width), dtype=dtype, device="cpu")
    _fill(rows, ids, padding_value, padding_side)
    mask = torch.from_numpy(mask_kernel(rows.lengths, width, padding_side))
    if device is None:
        return ids, mask
    return ids.to(device, non_blocking=non_blocking), mask.to(device, non_blocking=non_blocking)


def _check_dtype(dtype: object, name: str) -> None:
    is_other = not isinstance(dtype, torch.dtype) or dtype.is_floating_point or dtype.is_complex
    if is_other or dtype == torch.bool:
        message = f"{name} must be an integer torch.dtype, got {name}={dtype}. Token ids are integers."
        raise TypeError(message)


def _fill(rows: Rows, ids: Tensor, padding_value: AnyInt, padding_side: Side) -> None:
    """Write rows and padding into a block of ids on the CPU."""
    check_side(padding_side, name="padding_side")
    value = check_int(padding_value, name="padding_value", low=-MAX_INT - 1)
    block = ids.numpy()
    check_fits(value, block.dtype, name="padding_value")
    ids.fill_(value)
    lay_out(rows, block, side=padding_side, name="token_ids")


@checked
def pad_token_ids_into(
    ids_buffer: Integer[Tensor, "..."],
    mask_buffer: Bool[Tensor, "..."],
    token_ids: Iterable[Row],
    padding_value: AnyInt = 0,
    *,
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    padding_side: Side = "right",
) -> tuple[Integer[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Write rows of tokens as one padded block into existing memory, e.g. into pinned memory reused for every batch.

    Law: the result equals that of `pad_token_ids` with the dtype of `ids_buffer`.

    Args:
        ids_buffer: contiguous CPU tensor of an integer dtype, of any shape with room for the block. It is overwritten
            from its start, also if an error is raised because of a token.
        mask_buffer: contiguous CPU tensor of bools, of any shape with room for the block.
        token_ids: as in `pad_token_ids`. The rows must not share memory with a buffer.
        padding_value: value of the padding.
        padding_len: as in `pad_token_ids`.
        pad_size_divisible_by: as in `pad_token_ids`.
        padding_side: end of the rows that is padded.

    Returns:
        `ids` and `mask` of shape (rows, width): contiguous views of the buffers, valid until these are overwritten.

    Raises:
        ValueError: if a buffer is too small, not contiguous or not on the CPU, and as `pad_token_ids`.
        TypeError: if a buffer has the wrong dtype, and as `pad_token_ids`.

    Example:
        >>> buffers = torch.empty(512, dtype=torch.int32), torch.empty(512, dtype=torch.bool)
        >>> ids, mask = pad_token_ids_into(*buffers, [[5, 6, 7], [8]], padding_value=1)
        >>> ids.tolist(), ids.data_ptr() == buffers[0].data_ptr()
        ([[5, 6, 7], [8, 1, 1]], True)
    """
    _check_dtype(ids_buffer.dtype, "ids_buffer's dtype")
    if mask_buffer.dtype != torch.bool:
        message = f"mask_buffer must be of bools, got dtype={mask_buffer.dtype}. Allocate it with dtype=torch.bool."
        raise TypeError(message)
    rows = read_rows(token_ids, name="token_ids")
    width = width_kernel(rows.lengths, padding_len, pad_size_divisible_by, name="token_ids", token_bytes=1)
    shape = len(rows.parts), width
    ids, mask = _room(ids_buffer, shape, "ids_buffer"), _room(mask_buffer, shape, "mask_buffer")
    _fill(rows, ids, padding_value, padding_side)
    np.copyto(mask.numpy(), mask_kernel(rows.lengths, width, padding_side))
    return ids, mask


def _room(buffer: Tensor, shape: tuple[int, int], name: str) -> Tensor:
    """Return the beginning of a buffer as a block of a shape."""
    size = shape[0] * shape[1]
    if buffer.is_inference() and not torch.is_inference_mode_enabled():
        message = (
            f"{name} must not be made in inference mode, which nothing outside of it may write to. Make it before."
        )
        raise ValueError(message)
    if not buffer.is_contiguous() or not buffer.is_cpu or buffer.numel() < size:
        message = (
            f"{name} must be contiguous, on the CPU and of at least {shape[0]} * {shape[1]} elements, got "
            f"{buffer.numel()} elements on {buffer.device}, {'' if buffer.is_contiguous() else 'not '}contiguous."
        )
        raise ValueError(message)
    return buffer.view(-1)[:size].view(shape)


@checked
def unpad_token_ids(
    ids: Shaped[Tensor, "batch length *shape"], mask: Bool[Tensor, "batch length"], /
) -> list[Shaped[Tensor, "_ *shape"]]:
    """Return the real tokens of each row of a padded block.

    Law: the inverse of `pad_token_ids`, for either padding side and any dtype.

    Args:
        ids: a padded block of tokens, or of labels or numbers, one per token, or one array of a fixed shape per token.
        mask: True = real token.

    Returns:
        One tensor per row, of shape (tokens, *shape) and of the dtype and device of `ids`. They don't share memory with
        `ids`.

    Raises:
        ValueError: if the shapes of `ids` and `mask` differ.
        TypeError: if `mask` is not of bools.

    Example:
        >>> unpad_token_ids(*pad_token_ids([[5, 6, 7], [], [8]]))
        [tensor([5, 6, 7]), tensor([], dtype=torch.int64), tensor([8])]
    """
    check_blocks(mask if ids.shape[:2] == mask.shape else ids, mask)
    return list(torch.split(ids[mask], mask.sum(1).tolist())) if len(ids) else []


@checked
def truncate_token_ids(
    token_ids: Iterable[Row | Shaped[Tensor, " _"]], length: AnyInt, /, *, side: Side = "right"
) -> list[Row]:
    """Return rows cut to at most `length` tokens; shorter rows are unchanged.

    Law: rows keep their containers and dtypes. Padding never cuts, so only this function drops tokens.

    Args:
        token_ids: rows as in `pad_token_ids`.
        length: largest number of tokens in a row, at least 1.
        side: end of the rows that is cut.

    Raises:
        ValueError: if `length` isn't positive, or `side` is neither "left" nor "right".
        TypeError: if a row can't be cut, e.g. an iterator.

    Example:
        >>> truncate_token_ids([[5, 6, 7], [8]], 2), truncate_token_ids([[5, 6, 7], [8]], 2, side="left")
        ([[5, 6], [8]], [[6, 7], [8]])
    """
    check_side(side, name="side")
    length = check_int(length, name="length", low=1)
    rows = list_rows(token_ids, name="token_ids")
    for number, row in enumerate(rows):
        check_row(row, name=f"row {number} of token_ids")
    return [row[:length] if side == "right" else row[max(len(row) - length, 0) :] for row in rows]
