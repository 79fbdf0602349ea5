"""The rank of a process among those that share each batch."""

import sys
from typing import Any

import torch.distributed

__all__ = ["rank_and_world_size"]


def rank_and_world_size(trainer: Any, /) -> tuple[int, int]:
    """Return the data-parallel rank of this process under a trainer, and the number of ranks.

    Args:
        trainer: Lightning's; None for a single process.

    Raises:
        RuntimeError: if torch runs another number of processes than the trainer, or several processes share a model, as
            under Megatron: Lightning would give each of them other batches and the weights of the first.

    Example:
        >>> rank_and_world_size(None)
        (0, 1)
    """
    if trainer is None:
        return 0, 1
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        started = distributed.get_world_size()
        if started != trainer.world_size:
            message = (
                f"torch's processes must be those of the trainer, got {started} and {trainer.world_size}. "
                "If something other than Lightning starts torch's processes, start the program by torchrun."
            )
            raise RuntimeError(message)
    state = sys.modules.get("megatron.core.parallel_state")
    if state is not None and state.model_parallel_is_initialized():
        replicas = state.get_data_parallel_world_size()
        if replicas != trainer.world_size:
            message = (
                f"each process must have a model of its own, got {trainer.world_size} processes and {replicas} model "
                "replicas. Train models that processes share by megatron-core's schedules: see "
                "bionemo.adapters.megatron.forward_step."
            )
            raise RuntimeError(message)
    return trainer.global_rank, trainer.world_size
