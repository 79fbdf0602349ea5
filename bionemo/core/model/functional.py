"""Models as pure functions of their parameters."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from bionemo.core.checked import checked
from bionemo.core.checks import shown
from bionemo.core.model.config import BionemoModelConfig, build_model
from bionemo.core.random import make_generator

__all__ = ["apply", "init_params"]


@checked
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


@checked
def apply(
    config: BionemoModelConfig[Any], params: Mapping[str, Tensor], /, *args: Any, training: bool = False, **kwargs: Any
) -> Any:
    """Return the output of a configuration's model with given parameters.

    This is a pure function, which `torch.func` can differentiate and map, over the parameters as well. Random draws of
    the model (dropout with `training=True`) come from torch's global state: call `apply` inside `random_torch_context`.
    `torch.vmap` needs `randomness="different"` to draw separately for each element, or "same". Torch draws in memory
    order, which a transform may change, so that dropout may hit other elements than in the module.

    Law: equal to calling a module with these parameters, which was moved to their device and dtype by its method `to`.
    Parameters and buffers don't change: updates that a forward pass makes to buffers, e.g. to running means, are
    dropped. Buffers have the values of a newly built module. The law doesn't cover buffers that are initialized at
    random, nor forward passes that write to other attributes.

    Args:
        config: hashable configuration, e.g. a frozen record. Its module is built once, or once for each thread that
            runs it at the same time; the modules of the 16 most recently used configurations are cached, without
            weights.
        params: the model's parameters by name, as `init_params` returns them, on any device and in any floating-point
            dtype. Buffers are moved to their device (that of the inputs if there are no parameters), and floating-point
            buffers are converted to their dtype, if all parameters have the same one.
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
    for name, param in params.items():
        if not isinstance(param, Tensor):
            message = f"params must map names to tensors, got params[{shown(name)}]={shown(param)}."  # type: ignore[unreachable]
            raise TypeError(message)
    device = _shared(part.device for part in (params or _tensors(args, kwargs)).values())
    dtype = _shared(part.dtype for part in params.values() if part.is_floating_point())
    # The configuration's repr is part of the key because 1 == True: equal configurations may build other models.
    idle = _idle_modules(config, repr(config), bool(training), device, dtype)
    try:
        model = idle.pop()
    except IndexError:
        model = _build(config, training=bool(training), device=device, dtype=dtype)
    try:
        expected = [name for name, _ in model.named_parameters()]
        if set(expected) != set(params):
            names = ", ".join(expected)
            message = f"params must be those of the model, {names}, got {', '.join(params)}. Use init_params."
            raise RuntimeError(message)
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return torch.func.functional_call(model, (dict(params), buffers), args, kwargs)
    finally:
        idle.append(model)


def _shared(values: Iterable[Any]) -> Any:
    """Return the value that all values equal, or None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors among a model's inputs."""
    leaves = _pytree.tree_leaves((args, kwargs))
    return {str(number): leaf for number, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}


@lru_cache(maxsize=16)
def _idle_modules(*_key: object) -> list[nn.Module]:
    """Return the cached list of the modules that run nowhere at present.

    A module that runs holds the caller's parameters, so it is taken from the list meanwhile. Then neither another
    thread runs it, nor a process forked in the meantime, and no lock is needed.
    """
    return []


def _build(
    config: BionemoModelConfig[Any], *, training: bool, device: torch.device | None, dtype: torch.dtype | None
) -> nn.Module:
    """Return a configuration's module to run with other parameters; its own are empty."""

    def build() -> nn.Module:
        model = _checked(build_model(config, generator=make_generator(0, "skeleton")))
        is_same = all(part.dtype == dtype for part in model.parameters() if part.is_floating_point())
        model.to(device=device, dtype=None if is_same else dtype)
        for parameter in model.parameters():
            parameter.data = parameter.data.new_empty(0)
        return model.requires_grad_(requires_grad=False).train(training)

    # Build in another thread: torch.func's transforms are active in the calling thread, and would transform the build.
    # It runs in this thread's context, which may own the global random states.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(copy_context().run, build).result()


def _checked(model: object) -> nn.Module:
    """Return a model if it is a module."""
    if not isinstance(model, nn.Module):
        message = f"configure_model must return a torch.nn.Module to be a function of parameters, got {model!r}."
        raise TypeError(message)
    return model
