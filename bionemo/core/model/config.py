"""What a model configuration is: a frozen record that builds its model and names its loss."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from bionemo.core.utils.random_utils import (
    random_numpy_context,
    random_python_context,
    random_torch_context,
    seed_from_generator,
)

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
"""What a model's forward pass answers with: a tensor, or a list, tuple or dict of tensors."""

LossType = TypeVar("LossType")
"""A class that makes a loss of a batch and a model's output, and reduces losses: see `bionemo.core.model.loss`."""


@runtime_checkable
class Model(Protocol[ModelOutput]):
    """Anything with a forward pass; every `torch.nn.Module` is one."""

    def forward(self, *args: Any, **kwargs: Any) -> ModelOutput:
        """Return the model's output for a batch."""
        ...


ModelType = TypeVar("ModelType", bound=Model)  # type: ignore[type-arg]
"""A kind of model."""


class BionemoModelConfig(ABC, Generic[ModelType]):
    """A record that holds all that is needed to build a model.

    Subclass it by an `attrs.frozen` record, the hyperparameters as its fields.
    """

    __slots__ = ()

    @abstractmethod
    def configure_model(self, *args: Any, **kwargs: Any) -> ModelType:
        """Return a new model, its weights drawn from torch's global state: call it through `build_model`."""


class BionemoTrainableModelConfig(BionemoModelConfig[ModelType], Generic[ModelType, LossType]):
    """A record that holds all that is needed to build a model and to train it.

    Example:
        >>> import attrs
        >>> from bionemo.core.model.loss import TokenCrossEntropy
        >>> from bionemo.core.utils.random_utils import make_generator
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
        """Return the class of the model's loss, which is constructed as `cls()` or `cls(validation_step=True)`."""


def build_model(config: BionemoModelConfig[ModelType], *, generator: torch.Generator, **runtime: Any) -> ModelType:
    """Return the model of a configuration, its weights drawn from a generator.

    Law: one configuration and one state of the generator give one set of weights, and the global random states
    (torch's, NumPy's, Python's) stay as they were.

    Args:
        config: what to build.
        generator: moves on by two draws.
        **runtime: what isn't part of the model, such as the dtype or the device to run in, for a `configure_model` that
            takes it.

    Returns:
        A new model, as `config.configure_model(**runtime)` makes it.

    Raises:
        TypeError: if `configure_model` returns None.

    Example:
        >>> from bionemo.core.utils.random_utils import make_generator
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
