"""Lightning: a data module for pipelines, a module for a model configuration, and atomic checkpoints."""

from bionemo.adapters.lightning.checkpoint import AtomicCheckpointIO, check_checkpoint, find_checkpoint
from bionemo.adapters.lightning.data import PipelineDataModule
from bionemo.adapters.lightning.module import TrainableModule
from bionemo.adapters.lightning.stats import LogLoaderStats

__all__ = [
    "AtomicCheckpointIO",
    "LogLoaderStats",
    "PipelineDataModule",
    "TrainableModule",
    "check_checkpoint",
    "find_checkpoint",
]
