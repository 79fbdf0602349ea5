"""Models as pure functions of their parameters."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from bionemo.core.model.config import BionemoModelConfig, build_model
from bionemo.core.random import make_generator

__all__ = ["apply", "init_params"]

_RUNNING = RLock()
"""Held while a module runs with other parameters than its own, so that no other thread runs it meanwhile."""


def init_params(config: BionemoModelConfig[Any], /, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Return new parameters for a configuration's model, drawn from a generator.

    Law: they equal the parameters of `build_model(config, generator=generator)`, and share no memory with any module.

    Args:
        config: configuration of the model.
        generator: gives the seeds of the weights, and advances as in `build_model`.

    Returns:
        Tensors by parameter name, with `requires_grad=False`. Parameters that the module freezes are included.

    Raises:
        TypeError: if the configuration builds anything but a `torch.nn.Module`.

    Example:
        >>> class LinearConfig(BionemoModelConfig[nn.Linear]):
        ...     def configure_model(self) -> nn.Linear:
        ...         return nn.Linear(2, 1)
        >>> list(init_params(LinearConfig(), generator=make_generator(42)))
        ['weight', 'bias']
    """
    model = _checked(build_model(config, generator=generator))
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def apply(
    config: BionemoModelConfig[Any], params: Mapping[str, Tensor], /, *args: Any, training: bool = False, **kwargs: Any
) -> Any:
    """Return the output of a configuration's model with given parameters.

    This is a pure function, which `torch.func` can differentiate and map, over the parameters as well. Random draws of
    the model (dropout with `training=True`) come from torch's global state: call `apply` inside `random_torch_context`.
    `torch.vmap` needs `randomness="different"` to draw separately for each element, or "same". Torch draws in memory
    order, which a transform may change, so that dropout may hit other elements than in the module.

    Law: equal to calling a module with these parameters. Parameters and buffers don't change: updates that a forward
    pass makes to buffers, e.g. to running means, are dropped. Buffers have the values of a newly built module. The law
    doesn't cover buffers that are initialized at random, nor forward passes that write to other attributes.

    Args:
        config: hashable configuration, e.g. a frozen record. Its module is built once; the modules of the 16 most
            recently used configurations are cached.
        params: the model's parameters by name, as `init_params` returns them.
        *args: positional arguments of the model's forward pass.
        training: whether the module is in training mode.
        **kwargs: keyword arguments of the model's forward pass.

    Returns:
        The output of the model's forward pass.

    Raises:
        RuntimeError: if the names in `params` are not those of the model's parameters.
        TypeError: if the configuration isn't hashable, or builds anything but a `torch.nn.Module`.

    Example:
        Compute the gradients of an ensemble of four models at once:

        >>> import attrs
        >>> @attrs.frozen
        ... class LinearConfig(BionemoModelConfig[nn.Linear]):
        ...     width: int = 3
        ...
        ...     def configure_model(self) -> nn.Linear:
        ...         return nn.Linear(self.width, 1)
        >>> config, inputs = LinearConfig(), torch.ones(5, 3)
        >>> def loss_fn(params, inputs):
        ...     return apply(config, params, inputs).square().mean()
        >>> members = [init_params(config, generator=make_generator(42, member)) for member in range(4)]
        >>> stacked = {name: torch.stack([member[name] for member in members]) for name in members[0]}
        >>> torch.vmap(torch.func.grad(loss_fn), in_dims=(0, None))(stacked, inputs)["weight"].shape
        torch.Size([4, 1, 3])
    """
    model = _skeleton(config, repr(config), training)
    expected = [name for name, _ in model.named_parameters()]
    if set(expected) != set(params):
        message = f"params must be those of the model, {', '.join(expected)}, got {', '.join(params)}. Use init_params."
        raise RuntimeError(message)
    with _RUNNING:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return torch.func.functional_call(model, (dict(params), buffers), args, kwargs)


@lru_cache(maxsize=16)
def _skeleton(config: BionemoModelConfig[Any], _shown: str, training: bool) -> nn.Module:  # noqa: FBT001 - keys
    """Return the cached module that runs with other parameters at every call.

    The configuration's repr is part of the cache key because 1 == True: equal configurations may build other models.
    """

    def build() -> nn.Module:
        model = _checked(build_model(config, generator=make_generator(0, "skeleton")))
        return model.requires_grad_(requires_grad=False).train(training)

    # Build in another thread: torch.func's transforms are active in the calling thread, and would transform the build.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(build).result()


def _checked(model: object) -> nn.Module:
    """Return a model if it is a module."""
    if not isinstance(model, nn.Module):
        message = f"configure_model must return a torch.nn.Module to be a function of parameters, got {model!r}."
        raise TypeError(message)
    return model
