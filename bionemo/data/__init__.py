"""The first floor: which sample stands at a position, and the batch at a step. No torchdata, no Lightning."""

from bionemo.data.batches import batch_at as batch_at
from bionemo.data.batches import batch_from as batch_from
from bionemo.data.batches import num_batches as num_batches
from bionemo.data.masking import MaskedTokens as MaskedTokens
from bionemo.data.masking import mask_tokens as mask_tokens
from bionemo.data.multi_epoch_dataset import EpochIndex as EpochIndex
from bionemo.data.multi_epoch_dataset import EpochOrder as EpochOrder
from bionemo.data.multi_epoch_dataset import MultiEpochDataset as MultiEpochDataset
from bionemo.data.multi_epoch_dataset import SizedDataset as SizedDataset
from bionemo.data.order import Order as Order
from bionemo.data.order import SampleIndex as SampleIndex
from bionemo.data.order import index_at as index_at
from bionemo.data.order import indices_at as indices_at
from bionemo.data.order import order_id as order_id
from bionemo.data.order import position_of as position_of
from bionemo.data.pipeline import Pipeline as Pipeline
from bionemo.data.pipeline import Source as Source
from bionemo.data.pipeline import pipeline_record as pipeline_record
from bionemo.data.record import record_differences as record_differences

__all__ = [
    "EpochIndex",
    "EpochOrder",
    "MaskedTokens",
    "MultiEpochDataset",
    "Order",
    "Pipeline",
    "SampleIndex",
    "SizedDataset",
    "Source",
    "batch_at",
    "batch_from",
    "index_at",
    "indices_at",
    "mask_tokens",
    "num_batches",
    "order_id",
    "pipeline_record",
    "position_of",
    "record_differences",
]
