"""Padding: from ragged rows to one padded block and its mask, and back."""

from bionemo.core.padding.batching import pad_token_ids as pad_token_ids
from bionemo.core.padding.batching import pad_token_ids_into as pad_token_ids_into
from bionemo.core.padding.batching import truncate_token_ids as truncate_token_ids
from bionemo.core.padding.batching import unpad_token_ids as unpad_token_ids
from bionemo.core.padding.shape import length_mask as length_mask
from bionemo.core.padding.shape import padded_length as padded_length
from bionemo.core.padding.shape import row_mask as row_mask

__all__ = [
    "length_mask",
    "pad_token_ids",
    "pad_token_ids_into",
    "padded_length",
    "row_mask",
    "truncate_token_ids",
    "unpad_token_ids",
]
