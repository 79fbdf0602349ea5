"""Data-parallel rank and world size from a device mesh or a process group."""

import os

import torch.distributed
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from bionemo.core.checked import checked
from bionemo.core.checks import shown

__all__ = ["rank_and_world_size"]


@checked
def rank_and_world_size(ranks: DeviceMesh | ProcessGroup | None = None, /) -> tuple[int, int]:
    """Return this process's data-parallel rank and world size, for `loader(pipeline, *rank_and_world_size(mesh))`.

    Pass the part of the mesh whose ranks read different data: all of it for `fully_shard`, also of a mesh that
    replicates in one dimension and shards in the other; `mesh["data"]` if another dimension splits the layers.

    Law: processes that differ only in the other dimensions of a mesh have the same rank, and so read the same data.

    Args:
        ranks: a device mesh of any number of dimensions, or a process group; None for all processes, or for this one
            alone if torch.distributed is not initialized and torchrun started no others.

    Raises:
        ValueError: if this process is not in it.
        RuntimeError: if torchrun started several processes and torch.distributed is not initialized.

    Example:
        >>> rank_and_world_size()
        (0, 1)
    """
    if isinstance(ranks, DeviceMesh):
        coordinate = ranks.get_coordinate()
        rank = -1
        if coordinate is not None:
            rank = 0
            for index, size in zip(coordinate, ranks.shape, strict=True):  # row-major, the last dimension the fastest
                rank = rank * size + index
        world_size = ranks.size()
    elif ranks is None and not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        rank, world_size = 0, 1
        if (launched := os.environ.get("WORLD_SIZE", "1")) != "1":
            message = (
                f"torch.distributed must be initialized, got WORLD_SIZE={shown(launched)} in the environment. "
                "Call torch.distributed.init_process_group() first, or give rank and world_size to the loader yourself."
            )
            raise RuntimeError(message)
    else:
        rank, world_size = torch.distributed.get_rank(ranks), torch.distributed.get_world_size(ranks)
    if rank < 0:
        message = "ranks must hold this process, but it is in none of them. Pass the mesh or group that it is in."
        raise ValueError(message)
    return rank, world_size
