"""The loader of a pipeline, samplers for a DataLoader, and nodes of torchdata to compose by hand.

`from bionemo.data.pipes import nodes` imports torchdata; nothing else does.
"""

from bionemo.data.pipes.loader import PipelineLoader as PipelineLoader
from bionemo.data.pipes.loader import loader as loader
from bionemo.data.pipes.sampler import batch_sampler as batch_sampler

__all__ = ["PipelineLoader", "batch_sampler", "loader"]
