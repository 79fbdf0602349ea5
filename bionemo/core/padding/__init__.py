"""Padding: from ragged rows to one padded block and its mask, and back."""

from bionemo.core.padding.batching import pad_token_ids, pad_token_ids_into, truncate_token_ids, unpad_token_ids
from bionemo.core.padding.shape import length_mask, padded_length, row_mask

__all__ = [
    "length_mask",
    "pad_token_ids",
    "pad_token_ids_into",
    "padded_length",
    "row_mask",
    "truncate_token_ids",
    "unpad_token_ids",
]
