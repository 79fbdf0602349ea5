"""The place of a process among those that share the batches."""

import sys
from typing import Any

import torch.distributed

__all__ = ["trainer_place"]


def trainer_place(trainer: Any, /) -> tuple[int, int]:
    """Return the rank of a trainer's process, and how many there are.

    Args:
        trainer: Lightning's; None for one process alone.

    Raises:
        RuntimeError: if torch's processes are not those of the trainer, or several of them share a model, as they do
            under Megatron: Lightning would hand each of them other batches, and the weights of the first.

    Example:
        >>> trainer_place(None)
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
                "Start the program by torchrun where something else than Lightning starts torch's processes."
            )
            raise RuntimeError(message)
    state = sys.modules.get("megatron.core.parallel_state")
    if state is not None and state.model_parallel_is_initialized():
        shares = state.get_data_parallel_world_size()
        if shares != trainer.world_size:
            message = (
                f"each process must have a model of its own, got {trainer.world_size} processes that share {shares}. "
                "Train those by megatron-core's schedules: see bionemo.adapters.megatron.forward_step."
            )
            raise RuntimeError(message)
    return trainer.global_rank, trainer.world_size
