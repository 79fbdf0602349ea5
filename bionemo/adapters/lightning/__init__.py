"""Lightning: a data module for pipelines, a module for a model configuration, and atomic checkpoints."""

from bionemo.adapters.lightning.checkpoint import AtomicCheckpointIO as AtomicCheckpointIO
from bionemo.adapters.lightning.checkpoint import check_checkpoint as check_checkpoint
from bionemo.adapters.lightning.checkpoint import find_checkpoint as find_checkpoint
from bionemo.adapters.lightning.data import PipelineDataModule as PipelineDataModule
from bionemo.adapters.lightning.module import TrainableModule as TrainableModule

__all__ = ["AtomicCheckpointIO", "PipelineDataModule", "TrainableModule", "check_checkpoint", "find_checkpoint"]
