"""The first floor: which sample stands at a position, and the batch at a step. No torchdata, no Lightning."""

from bionemo.data.batches import batch_at as batch_at
from bionemo.data.batches import batch_from as batch_from
from bionemo.data.batches import num_batches as num_batches
from bionemo.data.batches import sample_at as sample_at
from bionemo.data.block_order import BlockOrder as BlockOrder
from bionemo.data.collate import Ragged as Ragged
from bionemo.data.collate import Scalar as Scalar
from bionemo.data.collate import collate_fields as collate_fields
from bionemo.data.epoch_order import EpochOrder as EpochOrder
from bionemo.data.length_order import LengthOrder as LengthOrder
from bionemo.data.length_order import padding_share as padding_share
from bionemo.data.lookup import explain as explain
from bionemo.data.lookup import first_difference as first_difference
from bionemo.data.lookup import where as where
from bionemo.data.masking import MaskedTokens as MaskedTokens
from bionemo.data.masking import mask_tokens as mask_tokens
from bionemo.data.mixture import MixtureOrder as MixtureOrder
from bionemo.data.multi_epoch_dataset import EpochIndex as EpochIndex
from bionemo.data.multi_epoch_dataset import IdentityMultiEpochDatasetWrapper as IdentityMultiEpochDatasetWrapper
from bionemo.data.multi_epoch_dataset import MultiEpochDataset as MultiEpochDataset
from bionemo.data.multi_epoch_dataset import MultiEpochDatasetResampler as MultiEpochDatasetResampler
from bionemo.data.multi_epoch_dataset import MultiEpochDatasetWrapper as MultiEpochDatasetWrapper
from bionemo.data.multi_epoch_dataset import SizedDataset as SizedDataset
from bionemo.data.order import Order as Order
from bionemo.data.order import SampleIndex as SampleIndex
from bionemo.data.order import index_at as index_at
from bionemo.data.order import indices_at as indices_at
from bionemo.data.order import order_id as order_id
from bionemo.data.order import position_of as position_of
from bionemo.data.order import to_json as to_json
from bionemo.data.pipeline import Pipeline as Pipeline
from bionemo.data.pipeline import Source as Source
from bionemo.data.pipeline import pipeline_record as pipeline_record
from bionemo.data.proportions import IntegerWeights as IntegerWeights
from bionemo.data.proportions import integer_weights as integer_weights
from bionemo.data.record import record_differences as record_differences
from bionemo.data.resamplers import PRNGResampleDataset as PRNGResampleDataset
from bionemo.data.resamplers import ResampleOrder as ResampleOrder
from bionemo.data.resamplers import WeightedOrder as WeightedOrder
from bionemo.data.restore import from_json as from_json
from bionemo.data.restore import large_arrays as large_arrays
from bionemo.data.speed import Throughput as Throughput
from bionemo.data.speed import throughput as throughput
from bionemo.data.targets import CorruptedSpans as CorruptedSpans
from bionemo.data.targets import causal_labels as causal_labels
from bionemo.data.targets import corrupt_spans as corrupt_spans
from bionemo.data.transforms import random_crop as random_crop
from bionemo.data.transforms import random_reverse_complement as random_reverse_complement
from bionemo.data.transforms import reverse_complement as reverse_complement

__all__ = [
    "BlockOrder",
    "CorruptedSpans",
    "EpochIndex",
    "EpochOrder",
    "IdentityMultiEpochDatasetWrapper",
    "IntegerWeights",
    "LengthOrder",
    "MaskedTokens",
    "MixtureOrder",
    "MultiEpochDataset",
    "MultiEpochDatasetResampler",
    "MultiEpochDatasetWrapper",
    "Order",
    "PRNGResampleDataset",
    "Pipeline",
    "Ragged",
    "ResampleOrder",
    "SampleIndex",
    "Scalar",
    "SizedDataset",
    "Source",
    "Throughput",
    "WeightedOrder",
    "batch_at",
    "batch_from",
    "causal_labels",
    "collate_fields",
    "corrupt_spans",
    "explain",
    "first_difference",
    "from_json",
    "index_at",
    "indices_at",
    "integer_weights",
    "large_arrays",
    "mask_tokens",
    "num_batches",
    "order_id",
    "padding_share",
    "pipeline_record",
    "position_of",
    "random_crop",
    "random_reverse_complement",
    "record_differences",
    "reverse_complement",
    "sample_at",
    "throughput",
    "to_json",
    "where",
]
