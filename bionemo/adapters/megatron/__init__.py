"""Megatron: records that build megatron-core's models, and pipelines that feed its schedules.

Importing this doesn't import megatron-core: what needs it does so when it is called.
"""

from bionemo.adapters.megatron.attention import CoreAttention as CoreAttention
from bionemo.adapters.megatron.config import TransformerRecord as TransformerRecord
from bionemo.adapters.megatron.config import to_megatron as to_megatron
from bionemo.adapters.megatron.model_config import BertConfig as BertConfig
from bionemo.adapters.megatron.model_config import GPTConfig as GPTConfig
from bionemo.adapters.megatron.model_config import as_megatron as as_megatron
from bionemo.adapters.megatron.parallel import data_parallel_place as data_parallel_place
from bionemo.adapters.megatron.parallel import model_parallel as model_parallel
from bionemo.adapters.megatron.training import MicroBatch as MicroBatch
from bionemo.adapters.megatron.training import cut_micro_batches as cut_micro_batches
from bionemo.adapters.megatron.training import forward_step as forward_step
from bionemo.adapters.megatron.training import mean_reports as mean_reports
from bionemo.adapters.megatron.training import micro_batches as micro_batches
from bionemo.data.testing import check_pure_reads as check_pure_reads
from bionemo.data.testing import check_same_on_ranks as check_same_on_ranks

__all__ = [
    "BertConfig",
    "CoreAttention",
    "GPTConfig",
    "MicroBatch",
    "TransformerRecord",
    "as_megatron",
    "check_pure_reads",
    "check_same_on_ranks",
    "cut_micro_batches",
    "data_parallel_place",
    "forward_step",
    "mean_reports",
    "micro_batches",
    "model_parallel",
    "to_megatron",
]
