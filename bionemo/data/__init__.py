"""The first floor: which sample comes at a position, and the batch at a step. No torchdata, no Lightning."""

from bionemo.core.record import external_arrays as external_arrays
from bionemo.data.batches.collate import RaggedField as RaggedField
from bionemo.data.batches.collate import ScalarField as ScalarField
from bionemo.data.batches.collate import collate_fields as collate_fields
from bionemo.data.batches.masking import MaskedTokens as MaskedTokens
from bionemo.data.batches.masking import mask_tokens as mask_tokens
from bionemo.data.batches.targets import CorruptedSpans as CorruptedSpans
from bionemo.data.batches.targets import corrupt_spans as corrupt_spans
from bionemo.data.batches.targets import next_token_labels as next_token_labels
from bionemo.data.batches.throughput import Throughput as Throughput
from bionemo.data.batches.throughput import throughput as throughput
from bionemo.data.batches.transforms import random_crop as random_crop
from bionemo.data.batches.transforms import random_reverse_complement as random_reverse_complement
from bionemo.data.batches.transforms import reverse_complement as reverse_complement
from bionemo.data.multi_epoch_dataset import IdentityMultiEpochDatasetWrapper as IdentityMultiEpochDatasetWrapper
from bionemo.data.multi_epoch_dataset import MultiEpochDataset as MultiEpochDataset
from bionemo.data.multi_epoch_dataset import MultiEpochDatasetResampler as MultiEpochDatasetResampler
from bionemo.data.multi_epoch_dataset import MultiEpochDatasetWrapper as MultiEpochDatasetWrapper
from bionemo.data.orders.block import BlockShuffleOrder as BlockShuffleOrder
from bionemo.data.orders.epoch import EpochOrder as EpochOrder
from bionemo.data.orders.length_grouped import LengthGroupedOrder as LengthGroupedOrder
from bionemo.data.orders.lengths import padding_fraction as padding_fraction
from bionemo.data.orders.mixture import MixtureOrder as MixtureOrder
from bionemo.data.orders.order import Order as Order
from bionemo.data.orders.order import SampleIndex as SampleIndex
from bionemo.data.orders.order import index_at as index_at
from bionemo.data.orders.order import position_of as position_of
from bionemo.data.orders.resample import ResampleOrder as ResampleOrder
from bionemo.data.orders.weighted import WeightedOrder as WeightedOrder
from bionemo.data.orders.weights import IntegerWeights as IntegerWeights
from bionemo.data.orders.weights import integer_weights as integer_weights
from bionemo.data.pipeline.batch import batch_at as batch_at
from bionemo.data.pipeline.batch import batch_from as batch_from
from bionemo.data.pipeline.batch import num_batches as num_batches
from bionemo.data.pipeline.batch import sample_at as sample_at
from bionemo.data.pipeline.dataset import EpochIndex as EpochIndex
from bionemo.data.pipeline.dataset import SizedDataset as SizedDataset
from bionemo.data.pipeline.dataset import Source as Source
from bionemo.data.pipeline.lookup import describe_batch as describe_batch
from bionemo.data.pipeline.lookup import find_sample as find_sample
from bionemo.data.pipeline.lookup import first_divergence as first_divergence
from bionemo.data.pipeline.pipeline import Pipeline as Pipeline
from bionemo.data.pipeline.record import fingerprint as fingerprint
from bionemo.data.pipeline.record import from_json as from_json
from bionemo.data.pipeline.record import pipeline_spec as pipeline_spec
from bionemo.data.pipeline.record import record_differences as record_differences
from bionemo.data.pipeline.record import to_json as to_json
from bionemo.data.resamplers import PRNGResampleDataset as PRNGResampleDataset

__all__ = [
    "BlockShuffleOrder",
    "CorruptedSpans",
    "EpochIndex",
    "EpochOrder",
    "IdentityMultiEpochDatasetWrapper",
    "IntegerWeights",
    "LengthGroupedOrder",
    "MaskedTokens",
    "MixtureOrder",
    "MultiEpochDataset",
    "MultiEpochDatasetResampler",
    "MultiEpochDatasetWrapper",
    "Order",
    "PRNGResampleDataset",
    "Pipeline",
    "RaggedField",
    "ResampleOrder",
    "SampleIndex",
    "ScalarField",
    "SizedDataset",
    "Source",
    "Throughput",
    "WeightedOrder",
    "batch_at",
    "batch_from",
    "collate_fields",
    "corrupt_spans",
    "describe_batch",
    "external_arrays",
    "find_sample",
    "fingerprint",
    "first_divergence",
    "from_json",
    "index_at",
    "integer_weights",
    "mask_tokens",
    "next_token_labels",
    "num_batches",
    "padding_fraction",
    "pipeline_spec",
    "position_of",
    "random_crop",
    "random_reverse_complement",
    "record_differences",
    "reverse_complement",
    "sample_at",
    "throughput",
    "to_json",
]
