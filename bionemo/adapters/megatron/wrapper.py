"""Torch modules for megatron-core's schedules."""

from typing import Any, Final

from torch import nn

from bionemo.adapters.megatron.config import TransformerSizes, transformer_config
from bionemo.adapters.megatron.imports import import_megatron
from bionemo.adapters.megatron.runtime import runtime_fields

__all__ = ["MegatronWrapper"]

_UNUSED_SIZES: Final = TransformerSizes(num_layers=1, hidden_size=1, num_attention_heads=1)
"""Sizes that megatron-core's configuration requires, and its schedules don't read."""


def MegatronWrapper(model: nn.Module, /, **runtime: Any) -> Any:  # noqa: N802 - imports the class whose instance it returns
    """Return a torch module wrapped so that megatron-core's schedules can train it, whole on every rank.

    Args:
        model: called with a batch.
        **runtime: fields of megatron-core's configuration that say how the model runs.

    Returns:
        A `MegatronModule` with the same parameters as `model`.

    Raises:
        ModuleNotFoundError: if megatron-core isn't installed.
        RuntimeError: if its process groups don't exist: see `model_parallel`.
        ValueError: if a field isn't one of megatron-core's configuration, or the process groups split models over
            ranks.

    Example:
        >>> import torch
        >>> from bionemo.adapters.megatron import model_parallel
        >>> with model_parallel():
        ...     MegatronWrapper(nn.Linear(2, 3))(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    runtime = runtime_fields(runtime, {})
    for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size"):
        if runtime[name] != 1:
            message = f"{name} must be 1 for a module that is whole on every rank, got {name}={runtime[name]}."
            raise ValueError(message)
    return import_megatron("bionemo.adapters.megatron.models").BatchModule(
        model, transformer_config(_UNUSED_SIZES, **runtime)
    )
