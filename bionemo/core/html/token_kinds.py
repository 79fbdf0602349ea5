"""What each token of a batch is: padding, a real token, or a target of the loss."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from bionemo.core.checks import check_dense, shown

__all__ = ["PADDING", "REAL", "TARGET", "BatchParts", "batch_parts", "named_values", "token_kinds"]

PADDING: Final = 0
REAL: Final = 1
TARGET: Final = 2
"""The kinds of tokens."""
_IGNORED: Final = -100
"""Label of a token that is no target."""
_NAMES: Final = {
    "ids": ("ids", "input_ids"),
    "mask": ("mask", "attention_mask"),
    "labels": ("labels",),
    "segment_ids": ("segment_ids",),
}
"""The names that the parts of a batch have in our batches and in those of the transformers library."""


class BatchParts(NamedTuple):
    """The tensors of a batch that say what each token is, all of one shape: (rows, length), or packed (tokens,)."""

    ids: Tensor
    mask: Tensor | None
    labels: Tensor | None
    segment_ids: Tensor | None


def named_values(batch: object, /) -> dict[str, Any]:
    """Return the values of a batch by name: those of a mapping, of a named tuple, or of a pair (ids, mask).

    Raises:
        TypeError: if it is none of these.

    Example:
        >>> list(named_values((torch.zeros(2, 3), torch.ones(2, 3))))
        ['ids', 'mask']
    """
    if isinstance(batch, Mapping) and all(isinstance(name, str) for name in batch):
        return dict(batch)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return dict(zip(batch._fields, batch, strict=True))
    if isinstance(batch, tuple | list) and len(batch) == len(("ids", "mask")):
        return dict(zip(("ids", "mask"), batch, strict=True))
    message = f"batch must be a mapping, a named tuple or a pair (ids, mask), got batch={shown(batch)}."
    raise TypeError(message)


def batch_parts(batch: object, /) -> BatchParts:
    """Return the tensors of a batch that say what each token is.

    Args:
        batch: a mapping or named tuple with tensors `ids` or `input_ids`, and if it has them `mask` or
            `attention_mask`, `labels` and `segment_ids`; or a pair (ids, mask).

    Raises:
        TypeError: if it is something else.
        ValueError: if it has no ids, or the tensors differ in shape.

    Example:
        >>> batch_parts((torch.zeros(2, 3), torch.ones(2, 3))).mask.shape
        torch.Size([2, 3])
    """
    values = named_values(batch)
    found = {part: next((values[name] for name in names if name in values), None) for part, names in _NAMES.items()}
    tensors: dict[str, Any] = {part: value for part, value in found.items() if value is not None}
    for part, value in tensors.items():
        if not isinstance(value, Tensor):
            message = f"batch must hold tensors, got {part}={shown(value)} of type {type(value).__name__}."
            raise TypeError(message)
        check_dense(value, name=part)
    if "ids" not in tensors or tensors["ids"].ndim not in {1, 2}:
        shape = tuple(tensors["ids"].shape) if "ids" in tensors else None
        message = f"batch must hold ids of shape (rows, length) or (tokens,), got shape={shape} in {shown(values)}."
        raise ValueError(message)
    shapes = {tuple(tensor.shape) for tensor in tensors.values()}
    if len(shapes) > 1:
        message = f"batch must hold ids, mask and labels of one shape, got shapes {shown(sorted(shapes))}."
        raise ValueError(message)
    return BatchParts(tensors["ids"], tensors.get("mask"), tensors.get("labels"), tensors.get("segment_ids"))


def token_kinds(parts: BatchParts, /) -> UInt8[Tensor, "..."]:
    """Return the kind of each token: 0 for padding, 1 for a real token, 2 for a target.

    A batch without a mask has no padding; a target is a token with a label other than -100.

    Example:
        >>> ids = torch.tensor([[5, 6, 1]])
        >>> token_kinds(BatchParts(ids, mask=ids > 1, labels=torch.tensor([[-100, 6, -100]]), segment_ids=None))
        tensor([[1, 2, 0]], dtype=torch.uint8)
    """
    kinds = torch.full_like(parts.ids, REAL, dtype=torch.uint8)
    if parts.mask is not None:
        kinds = torch.where(parts.mask.bool(), kinds, PADDING)
    if parts.labels is not None:
        kinds = torch.where(parts.labels != _IGNORED, TARGET, kinds)
    return kinds.to(torch.uint8)
