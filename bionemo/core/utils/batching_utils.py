"""Re-exports of `bionemo.core.padding` under the module path of bionemo-core 2.x."""

from bionemo.core.padding import (
    length_mask,
    pad_token_ids,
    pad_token_ids_into,
    padded_length,
    row_mask,
    truncate_token_ids,
    unpad_token_ids,
)

__all__ = [
    "length_mask",
    "pad_token_ids",
    "pad_token_ids_into",
    "padded_length",
    "row_mask",
    "truncate_token_ids",
    "unpad_token_ids",
]
