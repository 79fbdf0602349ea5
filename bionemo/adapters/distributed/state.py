"""What a distributed checkpoint holds: model, optimizer, the position of a loader, and other states."""

import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.stateful import Stateful

from bionemo.core.checks import shown

__all__ = ["capture", "restore"]


def capture(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Stateful, /, *, others: Mapping[str, Stateful]
) -> dict[str, Any]:
    """Return the state of a training run as `torch.distributed.checkpoint` saves it.

    Of nested dicts it makes one entry per leaf: empty dicts are lost, keys become strings, and what is read are the
    entries that the loading process has, too. So the loader's state is one text, and other states are one pickle each.

    Raises:
        TypeError: if the loader's state doesn't consist of plain values.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> model = nn.Linear(1, 1)
        >>> list(capture(model, torch.optim.SGD(model.parameters()), loader(pipeline), others={}))
        ['model', 'optimizer', 'batches', 'others']
    """
    is_new = not optimizer.state
    weights, moments = get_state_dict(model, optimizer)
    if is_new:  # torch has made a step with gradients of 0, which would count as a step of Adam
        optimizer.state.clear()
        moments["state"] = {}
    return {
        "model": weights,
        "optimizer": moments,
        "batches": _as_text(batches.state_dict()),
        "others": {name: _as_bytes(other.state_dict()) for name, other in others.items()},
    }


def restore(
    saved: Collection[str],
    read: Callable[[dict[str, Any]], object],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Stateful,
    /,
    *,
    others: Mapping[str, Stateful],
) -> None:
    """Load the state of a training run; the loader's comes first, so that another order is refused before any change.

    Args:
        saved: names of the checkpoint's entries.
        read: replaces the values of a dict by the checkpoint's, tensors in place.
        model: the model that the state is of, on this number of ranks.
        optimizer: its optimizer.
        batches: the loader.
        others: the other objects.

    Raises:
        ValueError: if the checkpoint holds another model's weights or other states, or the loader refuses its state.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters())
        >>> restore(["model.weight"], print, model, optimizer, optimizer, others={})
        Traceback (most recent call last):
        ValueError: model must have the weights of the checkpoint, but only one of both has bias.
    """
    weights = get_model_state_dict(model)
    _check_same_names("model must have the weights", weights, saved, prefix="model.")
    _check_same_names("others must have the states", others, saved, prefix="others.")
    plain: dict[str, Any] = {"batches": "", "others": dict.fromkeys(others, b"")}
    read(plain)
    batches.load_state_dict(json.loads(plain["batches"]))
    for name, other in others.items():
        other.load_state_dict(torch.load(io.BytesIO(plain["others"][name]), weights_only=False))
    moments: dict[str, Any] = {**get_optimizer_state_dict(model, optimizer)}
    moments["state"] = {  # a parameter that never had a gradient has no state
        name: parts
        for name, parts in moments["state"].items()
        if any(f"optimizer.state.{name}.{part}" in saved for part in parts)
    }
    read({"model": weights, "optimizer": moments})
    options = StateDictOptions(strict=False)  # allows parameters without a state; the weights' names are checked above
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments, options=options)


def _check_same_names(requirement: str, own: Iterable[str], saved: Iterable[str], *, prefix: str) -> None:
    before = {name.removeprefix(prefix) for name in saved if name.startswith(prefix)}
    differing = sorted(name for name in before ^ set(own) if "_extra_state" not in name)  # has parts of its own
    if differing:
        message = f"{requirement} of the checkpoint, but only one of both has {', '.join(differing[:4])}."
        raise ValueError(message)


def _as_text(state: Any) -> str:
    text = json.dumps(state)
    if json.loads(text) != state:
        message = f"batches must have a state of plain values, as JSON has them, got {shown(state)}."
        raise TypeError(message)
    return text


def _as_bytes(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()
