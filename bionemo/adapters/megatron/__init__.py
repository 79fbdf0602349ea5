"""Megatron-core as a model library and trainer: its GPT and BERT from frozen records, fed by pipelines.

More than glue: besides configurations, process groups and micro-batches, this package brings the parts of megatron-core
that would need a GPU, so that the same models also run on the CPU: attention (with dropout that doesn't depend on the
number of tensor-parallel ranks), rotary positions, and the gathering of logits.

Importing this package doesn't import megatron-core; the functions that need it import it when called.
"""

from bionemo.adapters.megatron.attention import PortableDotProductAttention
from bionemo.adapters.megatron.config import TransformerSizes, transformer_config
from bionemo.adapters.megatron.model_config import MegatronBertConfig, MegatronGPTConfig
from bionemo.adapters.megatron.packing import packed_seq_params
from bionemo.adapters.megatron.parallel import model_parallel, rank_and_world_size
from bionemo.adapters.megatron.training import (
    MicroBatch,
    forward_step,
    iter_micro_batches,
    mean_reports,
    split_into_micro_batches,
)
from bionemo.adapters.megatron.wrapper import MegatronWrapper
from bionemo.data.testing import check_pure_reads, check_same_on_ranks

__all__ = [
    "MegatronBertConfig",
    "MegatronGPTConfig",
    "MegatronWrapper",
    "MicroBatch",
    "PortableDotProductAttention",
    "TransformerSizes",
    "check_pure_reads",
    "check_same_on_ranks",
    "forward_step",
    "iter_micro_batches",
    "mean_reports",
    "model_parallel",
    "packed_seq_params",
    "rank_and_world_size",
    "split_into_micro_batches",
    "transformer_config",
]
