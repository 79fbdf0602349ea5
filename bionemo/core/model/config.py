"""Model configurations: frozen records that build a model and name its loss."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.random import random_numpy_context, random_python_context, random_torch_context, seed_from_generator

__all__ = [
    "BionemoModelConfig",
    "BionemoTrainableModelConfig",
    "LossType",
    "Model",
    "ModelOutput",
    "ModelType",
    "build_model",
]

ModelOutput = TypeVar(  # noqa: PLC0105 - the public name
    "ModelOutput", Tensor, list[Tensor], tuple[Tensor, ...], dict[str, Tensor], covariant=True
)
"""Output of a model's forward pass: a tensor, or a list, tuple or dict of tensors."""

LossType = TypeVar("LossType")
"""A class that computes a loss from a batch and a model's output, and reduces losses: see `bionemo.core.model.loss`."""


@runtime_checkable
class Model(Protocol[ModelOutput]):
    """Anything with a forward pass; every `torch.nn.Module` is one."""

    def forward(self, *args: Any, **kwargs: Any) -> ModelOutput:
        """Return the model's output for a batch."""
        ...


ModelType = TypeVar("ModelType", bound=Model)  # type: ignore[type-arg]
"""Type of a model."""


class BionemoModelConfig(ABC, Generic[ModelType]):
    """A record that holds everything needed to build a model.

    Subclass it with an `attrs.frozen` record whose fields are the hyperparameters.
    """

    __slots__ = ()

    @abstractmethod
    def configure_model(self, *args: Any, **kwargs: Any) -> ModelType:
        """Return a new model with weights drawn from torch's global random state. Call it through `build_model`."""


class BionemoTrainableModelConfig(BionemoModelConfig[ModelType], Generic[ModelType, LossType]):
    """A record that holds everything needed to build and train a model.

    Example:
        >>> import attrs
        >>> from bionemo.core.model.cross_entropy import TokenCrossEntropy
        >>> from bionemo.core.random import make_generator
        >>> @attrs.frozen(kw_only=True)
        ... class LinearConfig(BionemoTrainableModelConfig[torch.nn.Linear, TokenCrossEntropy]):
        ...     size: int = 2
        ...
        ...     def configure_model(self) -> torch.nn.Linear:
        ...         return torch.nn.Linear(self.size, self.size)
        ...
        ...     def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        ...         return TokenCrossEntropy
        >>> build_model(LinearConfig(), generator=make_generator(42))
        Linear(in_features=2, out_features=2, bias=True)
    """

    __slots__ = ()

    @abstractmethod
    def get_loss_reduction_class(self) -> type[LossType]:
        """Return the class of the model's loss; it is instantiated by `cls()` or `cls(validation_step=True)`."""


@checked
def build_model(config: BionemoModelConfig[ModelType], *, generator: torch.Generator, **runtime: Any) -> ModelType:
    """Return the model of a configuration, with weights drawn from a generator.

    Law: the weights depend only on the configuration and the state of the generator, and the global random states of
    torch, NumPy and Python are unchanged.

    Args:
        config: configuration of the model.
        generator: gives the seeds of the weights, and advances by two draws.
        **runtime: options that are not part of the model, e.g. its dtype or device, for a `configure_model` that takes
            them.

    Returns:
        The new model that `config.configure_model(**runtime)` returns.

    Raises:
        TypeError: if `configure_model` returns None.

    Example:
        >>> from bionemo.core.random import make_generator
        >>> class LinearConfig(BionemoModelConfig[torch.nn.Linear]):
        ...     def configure_model(self) -> torch.nn.Linear:
        ...         return torch.nn.Linear(2, 1, bias=False)
        >>> build_model(LinearConfig(), generator=make_generator(42)).weight
        Parameter containing:
        tensor([[-0.3594,  0.3065]], requires_grad=True)
    """
    with ExitStack() as contexts:
        contexts.enter_context(random_torch_context(generator))
        seed = seed_from_generator(generator)
        contexts.enter_context(random_numpy_context(seed))
        contexts.enter_context(random_python_context(seed))
        model: ModelType | None = config.configure_model(**runtime)
    if model is None:
        message = (
            f"configure_model must return a model, got None from {type(config).__name__}. "
            "Return the module that it builds."
        )
        raise TypeError(message)
    return model
