"""The second floor: datapipes on `torchdata.nodes`, to compose by hand, and the loader of a whole pipeline."""

from bionemo.data.pipes.loader import PipelineLoader as PipelineLoader
from bionemo.data.pipes.loader import loader as loader
from bionemo.data.pipes.nodes import PlacedSample as PlacedSample
from bionemo.data.pipes.nodes import batch as batch
from bionemo.data.pipes.nodes import collate as collate
from bionemo.data.pipes.nodes import pin_memory as pin_memory
from bionemo.data.pipes.nodes import prefetch as prefetch
from bionemo.data.pipes.nodes import read as read
from bionemo.data.pipes.nodes import sample_indices as sample_indices
from bionemo.data.pipes.nodes import transform as transform
from bionemo.data.pipes.sampler import batch_sampler as batch_sampler

__all__ = [
    "PipelineLoader",
    "PlacedSample",
    "batch",
    "batch_sampler",
    "collate",
    "loader",
    "pin_memory",
    "prefetch",
    "read",
    "sample_indices",
    "transform",
]
