"""How a model runs in this process: parallel sizes from the process groups, and the options of schedules."""

from collections.abc import Mapping
from typing import Any

import torch

from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.parallel import parallel_state

__all__ = ["runtime_fields"]


def runtime_fields(given: Mapping[str, Any], extra: Mapping[str, Any], /) -> dict[str, Any]:
    """Return the fields of megatron-core's configuration that say how a model runs in this process.

    Args:
        given: the fields that a caller passed; they override the defaults.
        extra: fields of the model itself, of which `bf16` and `fp16` matter here.

    Raises:
        RuntimeError: if megatron-core's process groups don't exist: see `model_parallel`.
        ValueError: if `given` holds a parallel size, or the groups have virtual stages.

    Example:
        >>> from bionemo.adapters.megatron import model_parallel
        >>> with model_parallel():
        ...     runtime_fields({"bf16": True}, {})["pipeline_dtype"]
        torch.bfloat16
    """
    state = parallel_state()
    if sizes := [name for name in given if name.endswith("_parallel_size")]:
        message = f"parallel sizes must be those of model_parallel(), got {', '.join(sizes)}. Pass them there."
        raise ValueError(message)
    virtual = state.get_virtual_pipeline_model_parallel_world_size() or 1
    if virtual > 1:
        name = "virtual_pipeline_model_parallel_size"
        message = f"{name} must be 1 for the models of this library, got {name}={virtual}."
        raise ValueError(message)
    # Stages send activations in the dtype that they compute in.
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    sent = [dtype for name, dtype in halves.items() if given.get(name, extra.get(name))]
    return {
        "tensor_model_parallel_size": state.get_tensor_model_parallel_world_size(),
        "pipeline_model_parallel_size": state.get_pipeline_model_parallel_world_size(),
        "context_parallel_size": state.get_context_parallel_world_size(),
        "expert_model_parallel_size": state.get_expert_model_parallel_world_size(),
        "pipeline_dtype": sent[0] if sent else given.get("params_dtype", torch.float32),
        "use_cpu_initialization": True,
        "calculate_per_token_loss": True,
        "finalize_model_grads_func": import_megatron("megatron.core.distributed").finalize_model_grads,
        **given,
    }
