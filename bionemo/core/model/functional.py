"""Models as pure functions: parameters in, output out."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from bionemo.core.model.config import BionemoModelConfig, build_model
from bionemo.core.utils.random_utils import make_generator

__all__ = ["apply", "init_params"]

_RUNNING = RLock()
"""While a module's parameters are exchanged, no other thread may run it."""


def init_params(config: BionemoModelConfig[Any], /, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Return new parameters of a configuration's model, drawn from a generator.

    Law: they are the parameters of `build_model(config, generator=generator)`, and share no memory with any module.

    Args:
        config: what to build.
        generator: moves on as in `build_model`.

    Returns:
        Tensors by their name in the module, which don't ask for a gradient; also those that the module holds fixed.

    Raises:
        TypeError: if the configuration builds something else than a `torch.nn.Module`.

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

    A pure function: with `torch.func` it can be differentiated and mapped, over the parameters as well. What the model
    draws (dropout, with `training=True`) comes from torch's global state: call it inside `random_torch_context`, and
    under `torch.vmap` with `randomness="different"` for draws of its own for each element, or "same". (Torch draws in
    the sequence of the memory, which a transform may change: dropout may then fall on other elements than in the
    module.)

    Law: equal to calling the module that has these parameters. Neither they nor any buffer change: what a forward pass
    writes to buffers (running means) is dropped. The buffers are those that the configuration's module starts with; one
    that is drawn at random, and a forward pass that writes to other attributes, are outside of this law.

    Args:
        config: hashable, as a frozen record is; its module is built once and kept for the last 16 configurations.
        params: as `init_params` gives them.
        *args: for the model's forward pass.
        training: whether the module is in training mode.
        **kwargs: for the model's forward pass.

    Returns:
        What the model answers.

    Raises:
        RuntimeError: if `params` are not those of the model.
        TypeError: if the configuration isn't hashable or builds something else than a `torch.nn.Module`.

    Example:
        An ensemble of four models, and the gradient of each, at once:

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
        message = f"params must be those of the model, {', '.join(expected)}, got {', '.join(params)}. See init_params."
        raise RuntimeError(message)
    with _RUNNING:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return torch.func.functional_call(model, (dict(params), buffers), args, kwargs)


@lru_cache(maxsize=16)
def _skeleton(config: BionemoModelConfig[Any], _shown: str, training: bool) -> nn.Module:  # noqa: FBT001 - keys
    """Return a module whose parameters are exchanged at every call; 1 and True are equal, and shown apart."""

    def build() -> nn.Module:
        model = _checked(build_model(config, generator=make_generator(0, "skeleton")))
        return model.requires_grad_(requires_grad=False).train(training)

    # In a thread of its own: torch.func's transforms hold for the calling thread, and would transform the building too.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(build).result()


def _checked(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        message = f"configure_model must return a torch.nn.Module to be a function of parameters, got {model!r}."
        raise TypeError(message)
    return model
