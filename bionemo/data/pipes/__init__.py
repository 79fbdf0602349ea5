"""The loader of a pipeline, a batch sampler for a DataLoader, and nodes of torchdata to compose by hand.

Only `from bionemo.data.pipes import nodes` imports torchdata.
"""

from bionemo.data.pipes.loader import PipelineLoader, loader
from bionemo.data.pipes.sampler import batch_sampler

__all__ = ["PipelineLoader", "batch_sampler", "loader"]
