"""The processes that share a model and a batch."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed

from bionemo.adapters.megatron.imports import import_megatron

__all__ = ["data_parallel_place", "model_parallel", "parallel_state"]


@contextmanager
def model_parallel(*, backend: str = "gloo", **sizes: Any) -> Iterator[None]:
    """Run a block with megatron-core's groups of processes, and take them apart behind it, also when it raises.

    Where torch's processes were not started yet, it starts them as torchrun describes them, or this one alone, and ends
    them as well.

    Args:
        backend: of torch's processes, where they are to be started: "nccl" for GPUs.
        **sizes: for megatron-core's `initialize_model_parallel`: `tensor_model_parallel_size`,
            `pipeline_model_parallel_size`, ...

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the groups are there already, or the sizes don't divide the number of processes.

    Example:
        >>> with model_parallel():
        ...     data_parallel_place()
        (0, 1)
    """
    state = import_megatron("megatron.core.parallel_state")
    if state.model_parallel_is_initialized():
        message = "megatron-core's groups of processes must not be there yet. Leave the other model_parallel() first."
        raise RuntimeError(message)
    is_started = torch.distributed.is_initialized()
    if not is_started and "RANK" in os.environ:
        torch.distributed.init_process_group(backend)
    elif not is_started:
        store = torch.distributed.HashStore()  # type: ignore[attr-defined] # torch's types lack it
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        state.initialize_model_parallel(**sizes)
        with warnings.catch_warnings():
            if backend == "gloo":
                warnings.filterwarnings("ignore", ".*CUDA_DEVICE_MAX_CONNECTIONS")  # megatron-core's advice for GPUs
            yield
    finally:
        state.destroy_model_parallel()
        if not is_started:
            torch.distributed.destroy_process_group()


def parallel_state() -> Any:
    """Return megatron-core's module of that name, which knows the groups of processes.

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the groups are not there yet.

    Example:
        >>> with model_parallel():
        ...     parallel_state().get_tensor_model_parallel_world_size()
        1
    """
    state = import_megatron("megatron.core.parallel_state")
    if not state.model_parallel_is_initialized():
        message = "megatron-core's groups of processes must be there. Do this within model_parallel()."
        raise RuntimeError(message)
    return state


def data_parallel_place() -> tuple[int, int]:
    """Return this process's data-parallel rank, and how many there are: `loader(pipeline, *data_parallel_place())`.

    Processes that share a model have the same place: they read the same data, each for itself.

    Raises:
        RuntimeError: if the groups of processes are not there yet.

    Example:
        >>> data_parallel_place()
        Traceback (most recent call last):
        RuntimeError: megatron-core's groups of processes must be there. Do this within model_parallel().
    """
    state = parallel_state()
    return state.get_data_parallel_rank(), state.get_data_parallel_world_size()
