"""Megatron: configurations of megatron-core's models from frozen records. It is imported when it is needed."""

from bionemo.adapters.megatron.config import TransformerRecord as TransformerRecord
from bionemo.adapters.megatron.config import to_megatron as to_megatron

__all__ = ["TransformerRecord", "to_megatron"]
