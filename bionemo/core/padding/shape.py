"""Width, masks and shapes of padded blocks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from bionemo.core.arrays import check_memory
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, as_int, check_int
from bionemo.core.int64 import as_int64, check_signed
from bionemo.core.padding.rows import Side

__all__ = ["check_blocks", "length_mask", "mask_kernel", "padded_length", "row_mask", "width_kernel"]


@checked
def length_mask(lengths: Integer[Tensor, " batch"], /, length: AnyInt) -> Bool[Tensor, "batch length"]:
    """Return the mask of a right-padded block as a tensor.

    Law: row `i` begins with `min(lengths[i], length)` times True; the rest is False.

    Args:
        lengths: number of real tokens in each row.
        length: width of the block.

    Returns:
        The mask, True = real token, on the device of `lengths`.

    Raises:
        ValueError: if the mask doesn't fit the memory.

    Example:
        >>> length_mask(torch.tensor([2, 0]), 3)
        tensor([[ True,  True, False],
                [False, False, False]])
    """
    length = check_int(length, name="length")
    check_signed(lengths, name="lengths")
    if lengths.ndim != 1:
        message = f"lengths must be integers in one axis, got shape {tuple(lengths.shape)}."
        raise TypeError(message)
    if lengths.device.type == "cpu":
        check_memory((lengths.numel() + 8) * length, name="length", value=length)  # and int64 columns
    return torch.arange(length, device=lengths.device) < lengths[:, None]


@checked
def row_mask(lengths: Iterable[AnyInt], width: AnyInt, /, *, padding_side: Side = "right") -> npt.NDArray[np.bool_]:
    """Return the mask of a padded block as a NumPy array.

    Law: row `i` has `min(lengths[i], width)` times True, at the end that isn't padded.

    Args:
        lengths: number of real tokens in each row.
        width: width of the block.
        padding_side: end of the rows that is padded.

    Returns:
        The mask, True = real token, of shape `(len(lengths), width)`.

    Raises:
        ValueError: if the mask doesn't fit the memory.

    Example:
        >>> row_mask([2, 0], 3, padding_side="left")
        array([[False,  True,  True],
               [False, False, False]])
    """
    lengths, width = _as_list(lengths), check_int(width, name="width")
    check_memory((len(lengths) + 2) * width, name="width", value=width)  # and int16 columns, or wider ones
    return mask_kernel(lengths, width, padding_side)


def mask_kernel(lengths: list[int], width: int, padding_side: Side, /) -> npt.NDArray[np.bool_]:
    """Return what `row_mask` returns, unchecked.

    Example:
        >>> mask_kernel([2, 0], 3, "right").sum(1)
        array([2, 0])
    """
    # Comparing int16 is four times as fast as comparing int64.
    dtype = np.int16 if max(width, *lengths, 0) <= np.iinfo(np.int16).max else np.int64
    columns: npt.NDArray[Any] = np.arange(width, dtype=dtype)
    counts: npt.NDArray[Any] = np.array(lengths, dtype=dtype)[:, None]
    mask: npt.NDArray[np.bool_] = columns < counts if padding_side == "right" else columns >= width - counts
    return mask


@checked
def padded_length(
    lengths: Iterable[AnyInt],
    padding_len: AnyInt | None = None,
    pad_size_divisible_by: AnyInt = 1,
    *,
    name: str = "token_ids",
    token_bytes: AnyInt = 1,
) -> int:
    """Return the width of the block that rows of given lengths are padded to.

    Args:
        lengths: lengths of the rows.
        padding_len: wanted width; by default the length of the longest row.
        pad_size_divisible_by: the width is rounded up to a multiple of this.
        name: name of the rows in errors.
        token_bytes: number of bytes that the block and its mask take per token.

    Raises:
        ValueError: if a row is longer than `padding_len`, a size isn't positive, or the block doesn't fit the memory.

    Example:
        >>> padded_length([5, 3], None, 4)
        8
    """
    return width_kernel(_as_list(lengths), padding_len, pad_size_divisible_by, name=name, token_bytes=token_bytes)


def width_kernel(
    lengths: list[int],
    padding_len: AnyInt | None,
    pad_size_divisible_by: AnyInt,
    /,
    *,
    name: str,
    token_bytes: AnyInt,
) -> int:
    """Return what `padded_length` returns; the lengths are unchecked.

    Example:
        >>> width_kernel([5, 3], None, 4, name="token_ids", token_bytes=1)
        8
    """
    divisor = check_int(pad_size_divisible_by, name="pad_size_divisible_by", low=1)
    longest = max(lengths, default=0)
    width = longest if padding_len is None else check_int(padding_len, name="padding_len", low=1)
    if width < longest:
        message = (
            f"padding_len must be at least the longest row, got padding_len={width} "
            f"and {longest} tokens in row {lengths.index(longest)} of {name}. "
            "Raise padding_len, or cut the rows with truncate_token_ids."
        )
        raise ValueError(message)
    padded = -(-width // divisor) * divisor  # rounds up
    option, value = ("padding_len", width) if padding_len is not None else (f"the longest row of {name}", longest)
    if divisor > width:
        option, value = "pad_size_divisible_by", divisor
    # One row more, for the columns' indices that the mask is made from.
    check_memory((len(lengths) + 1) * padded * as_int(token_bytes), name=option, value=value)
    return padded


def _as_list(lengths: Iterable[AnyInt]) -> list[int]:
    """Return the lengths of rows as Python ints."""
    found = as_int64(lengths, name="lengths")
    if found.ndim != 1:
        message = f"lengths must be integers in one axis, got shape {found.shape}."
        raise TypeError(message)
    if found.size and found.min() < 0:
        message = f"lengths must not be negative, got {found.min()}."
        raise ValueError(message)
    numbers: list[int] = found.tolist()
    return numbers


def check_blocks(ids: Tensor, mask: Tensor, /, *, seeds: Tensor | None = None, **others: object) -> None:
    """Check that a mask, and other tensors beside a block of tokens, belong to it.

    Raises:
        ValueError: if one has another shape, or there is not one seed per row.
        TypeError: if the mask is none of bools.

    Example:
        >>> import torch
        >>> ids = torch.arange(6).reshape(2, 3)
        >>> check_blocks(ids, ids > 0, seeds=torch.arange(2))
    """
    if mask.dtype != torch.bool:
        message = f"mask must be of bools, True = real token, got dtype={mask.dtype}. Convert it by .bool()."
        raise TypeError(message)
    blocks = {"ids": ids, "mask": mask} | {name: other for name, other in others.items() if isinstance(other, Tensor)}
    is_apart = ids.ndim != 2 or any(block.shape != ids.shape for block in blocks.values())  # noqa: PLR2004 - a block
    if is_apart or (seeds is not None and seeds.shape != ids.shape[:1]):
        blocks |= {} if seeds is None else {"seeds": seeds}
        rule = "" if seeds is None else ", and seeds one per row"
        found = ", ".join(f"{name} {tuple(block.shape)}" for name, block in blocks.items())
        message = f"ids and mask must have one shape of rows and columns{rule}, got {found}."
        raise ValueError(message)
