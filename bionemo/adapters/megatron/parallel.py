"""Process groups: which processes share a model, and which share a batch."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch.distributed

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.checks import check_int

__all__ = [
    "context_rank_and_size",
    "data_parallel_size",
    "model_parallel",
    "parallel_state",
    "pipeline_stage",
    "rank_and_world_size",
]


@contextmanager
def model_parallel(*, backend: str = "gloo", **sizes: Any) -> Iterator[None]:
    """Run a block within megatron-core's process groups, and destroy them after it, also if it raises.

    If `torch.distributed` isn't initialized, it is initialized for the block: as torchrun describes it, or for this
    process alone. Under torchrun this works once per program. To enter more than once, call
    `torch.distributed.init_process_group` first; torch then keeps the groups of each entry until the program ends.

    Args:
        backend: backend of `torch.distributed`, if it is initialized here. With "nccl" the process uses the GPU that
            torchrun assigns to it.
        **sizes: arguments of megatron-core's `initialize_model_parallel`: `tensor_model_parallel_size`,
            `pipeline_model_parallel_size`, ...

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the groups exist already, or the sizes don't divide the number of processes.
        TypeError, ValueError: if a size is no positive integer.

    Example:
        >>> with model_parallel():
        ...     rank_and_world_size()
        (0, 1)
    """
    state = import_megatron("megatron.core.parallel_state")
    if state.model_parallel_is_initialized():
        message = "megatron-core's process groups must not exist yet. Leave the other model_parallel() block first."
        raise RuntimeError(message)
    is_started = torch.distributed.is_initialized()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if not is_started and processes > 1 and "RANK" not in os.environ:
        message = f"RANK must be set if WORLD_SIZE={processes} is. Start the program with torchrun."
        raise RuntimeError(message)
    device = torch.cuda.device(int(os.environ.get("LOCAL_RANK", "0"))) if backend == "nccl" else nullcontext()
    if not is_started and {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        torch.distributed.init_process_group(backend)
    elif not is_started:
        store = torch.distributed.HashStore()  # type: ignore[attr-defined] # torch's types lack it
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        _check_divides_processes(**sizes)
        with device:
            state.initialize_model_parallel(**sizes)
            yield
    finally:
        state.destroy_model_parallel()
        if not is_started:
            torch.distributed.destroy_process_group()


def _check_divides_processes(**sizes: Any) -> None:
    names = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
    given = {name: check_int(sizes[name], name=name, low=1) for name in names if name in sizes}
    product, processes = math.prod(given.values()), torch.distributed.get_world_size()
    if processes % product:
        listed = ", ".join(f"{name}={size}" for name, size in given.items())
        message = (
            f"the number of processes must be a multiple of the product of the sizes, got {processes} and {listed}. "
            f"Start the program with torchrun --nproc-per-node={product}."
        )
        raise RuntimeError(message)


def parallel_state() -> Any:
    """Return megatron-core's module `parallel_state`, which knows the process groups.

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the process groups don't exist.

    Example:
        >>> with model_parallel():
        ...     parallel_state().get_tensor_model_parallel_world_size()
        1
    """
    state = import_megatron("megatron.core.parallel_state")
    if not state.model_parallel_is_initialized():
        message = "megatron-core's process groups must exist. Call this inside a model_parallel() block."
        raise RuntimeError(message)
    return state


def rank_and_world_size() -> tuple[int, int]:
    """Return this process's data-parallel rank and world size, for `loader(pipeline, *rank_and_world_size())`.

    Processes that share a model have the same rank: each of them reads the same data.

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the process groups don't exist.

    Example:
        >>> rank_and_world_size()
        Traceback (most recent call last):
        RuntimeError: megatron-core's process groups must exist. Call this inside a model_parallel() block.
    """
    state = parallel_state()
    return state.get_data_parallel_rank(), state.get_data_parallel_world_size()


def _state_if_initialized() -> Any:
    """Return megatron-core's module `parallel_state`; None if there are no process groups."""
    state = sys.modules.get("megatron.core.parallel_state")
    return None if state is None or not state.model_parallel_is_initialized() else state


def data_parallel_size() -> int:
    """Return the number of data-parallel ranks; 1 if there are no process groups.

    Example:
        >>> data_parallel_size()
        1
    """
    state = _state_if_initialized()
    return 1 if state is None else int(state.get_data_parallel_world_size())


def pipeline_stage() -> int:
    """Return this process's pipeline-parallel stage; 0 if there are no process groups.

    Example:
        >>> pipeline_stage()
        0
    """
    state = _state_if_initialized()
    return 0 if state is None else int(state.get_pipeline_model_parallel_rank())


def context_rank_and_size() -> tuple[int, int]:
    """Return this process's context-parallel rank, and the number of them; (0, 1) if there are no process groups.

    Example:
        >>> context_rank_and_size()
        (0, 1)
    """
    state = _state_if_initialized()
    if state is None:
        return 0, 1
    return int(state.get_context_parallel_rank()), int(state.get_context_parallel_world_size())
