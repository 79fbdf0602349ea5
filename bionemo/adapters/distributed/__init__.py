"""PyTorch's own parallelism: checkpoints of sharded models and of a loader's position, and the ranks of a mesh."""

from bionemo.adapters.distributed.loading import find_checkpoint, load_checkpoint
from bionemo.adapters.distributed.ranks import rank_and_world_size
from bionemo.adapters.distributed.writing import CheckpointWriter

__all__ = ["CheckpointWriter", "find_checkpoint", "load_checkpoint", "rank_and_world_size"]
