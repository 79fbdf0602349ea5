"""A valid call of each public function and record, whose arguments the fuzzer replaces."""

from bionemo import core as package
from bionemo import data
from bionemo.adapters import distributed, huggingface, megatron
from bionemo.adapters import lightning as lightning_adapter
from bionemo.core import padding, record, resources
from bionemo.core import random as randomness
from bionemo.core.model import config as model_config
from bionemo.core.model import config_yaml, cross_entropy, functional, loss
from bionemo.core.utils import dtype as dtypes
from bionemo.core.utils import subprocess_utils
from bionemo.data import permute as permutation
from bionemo.data import pipes, plot, sources, testing
from bionemo.data.pipes import nodes
from tests.fuzzing.calls.batches import batch_calls
from tests.fuzzing.calls.core import core_calls
from tests.fuzzing.calls.files import file_calls
from tests.fuzzing.calls.laws import law_calls
from tests.fuzzing.calls.models import model_calls
from tests.fuzzing.calls.orders import order_calls
from tests.fuzzing.calls.parts import Call as Call
from tests.fuzzing.calls.pipelines import pipeline_calls, source_calls
from tests.fuzzing.calls.plots import plot_calls

FAST_CALLS = (*order_calls(), *source_calls(), *pipeline_calls(), *batch_calls(), *core_calls(), *model_calls())
SLOW_CALLS = (*plot_calls(), *law_calls(), *file_calls())
"""They take milliseconds, so they are drawn less often."""

CALLS = FAST_CALLS + SLOW_CALLS
LAWS = {made.function for made in law_calls()}

MODULES = (package, data, pipes, nodes, plot, sources, testing, randomness, permutation, padding, record, dtypes)
MODULES += (resources, subprocess_utils, model_config, config_yaml, cross_entropy, functional, loss)
MODULES += (distributed, huggingface, lightning_adapter, megatron)
"""Modules whose functions and records users call."""

NOT_CALLED = {
    # Protocols, and classes to inherit from.
    *("BionemoModelConfig", "BionemoTrainableModelConfig", "Model", "MultiEpochDataset", "MultiEpochDatasetWrapper"),
    *("Order", "PlannedOrder", "Resumable", "SizedDataset"),
    # Tuples that functions return: like all tuples, they hold what they are given.
    *("CorruptedSpans", "EpochIndex", "IntegerWeights", "LossSum", "MaskedTokens", "MicroBatch", "PositionedSample"),
    *("LoggedBatch", "Pruned", "RunSummary", "SampleIndex", "ShuffleReport", "Throughput"),
    # Made by functions that are called: `adapt`, `replayed` and `accelerate_loader`.
    *("AcceleratedLoader", "AdaptedLoader", "ReplayedLoader"),
    # Starts processes.
    "assert_worker_safe",
    # Kernels, which check nothing.
    *("Geometry", "Plan", "divisor_of", "geometry", "make_keys", "num_rounds", "permute_kernel", "unpermute_kernel"),
    # Without arguments.
    *("AtomicCheckpointIO", "LogLoaderStats", "make_cache_dir", "rank_and_world_size"),
    # Of megatron-core's and transformers' classes, which check their arguments, or within megatron-core's groups.
    *("MegatronWrapper", "PipelineTrainer", "PortableDotProductAttention", "model_parallel"),
}
"""Public names that aren't fuzzed."""
