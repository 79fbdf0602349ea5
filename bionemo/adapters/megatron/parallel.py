"""The processes that share a model and a batch."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch.distributed

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.core.utils.checks import check_int

__all__ = ["data_parallel_place", "model_parallel", "parallel_state", "pipeline_stage"]


@contextmanager
def model_parallel(*, backend: str = "gloo", **sizes: Any) -> Iterator[None]:
    """Run a block with megatron-core's groups of processes, and take them apart behind it, also when it raises.

    Where torch's processes were not started yet, it starts them as torchrun describes them, or this one alone, and ends
    them as well. That works once in a program that torchrun starts: for more, start them before, by
    `torch.distributed.init_process_group`; torch then keeps each time's groups until the processes end.

    Args:
        backend: of torch's processes, where they are to be started: "nccl" for GPUs, of which this process then takes
            the one that torchrun says.
        **sizes: for megatron-core's `initialize_model_parallel`: `tensor_model_parallel_size`,
            `pipeline_model_parallel_size`, ...

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if the groups are there already, or the sizes don't divide the number of processes.
        TypeError, ValueError: if a size is no positive integer.

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
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if not is_started and processes > 1 and "RANK" not in os.environ:
        message = f"RANK must be there beside WORLD_SIZE={processes}. Start the program by torchrun."
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
    shared = {name: check_int(sizes[name], name=name, low=1) for name in names if name in sizes}
    product, processes = math.prod(shared.values()), torch.distributed.get_world_size()
    if processes % product:
        given = ", ".join(f"{name}={size}" for name, size in shared.items())
        message = (
            f"the number of processes must be a multiple of the product of the sizes, got {processes} and {given}. "
            f"Start the program by torchrun --nproc-per-node={product}."
        )
        raise RuntimeError(message)


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


def pipeline_stage() -> int:
    """Return which stage of a pipeline of processes this one is; 0 where there are no groups of processes.

    Example:
        >>> pipeline_stage()
        0
    """
    state = sys.modules.get("megatron.core.parallel_state")
    if state is None or not state.model_parallel_is_initialized():
        return 0
    stage: int = state.get_pipeline_model_parallel_rank()
    return stage
