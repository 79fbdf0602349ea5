"""Checks of the arguments of transformers' Trainer: what a pipeline decides must not be said otherwise."""

from typing import Any, Final

from bionemo.core.checks import shown
from bionemo.data.pipeline.pipeline import Pipeline

__all__ = ["check_arguments", "check_batch_size", "num_batches_of"]

_ALLOWED: Final[dict[str, tuple[tuple[Any, ...], str]]] = {
    "auto_find_batch_size": ((False, None), "The batch size is that of the pipeline."),
    "data_seed": ((None,), "The order has its own seed."),
    "dataloader_drop_last": ((False, None), "Use Pipeline(drop_last=True)."),
    "dataloader_num_workers": ((0, None), "Use loader(pipeline, num_workers=...)."),
    "group_by_length": ((False, None), "Use a LengthGroupedOrder."),
    "ignore_data_skip": ((False, None), "The position is restored: no batch is read to be skipped."),
    "train_sampling_strategy": (("random", None), "Use another order, e.g. a LengthGroupedOrder."),
}
"""Values of arguments that leave the decision to the pipeline, and what to do instead of others."""


def check_arguments(arguments: Any, /) -> None:
    """Check that `TrainingArguments` leave to the pipeline what it decides.

    Raises:
        ValueError: if one doesn't.

    Example:
        >>> from transformers import TrainingArguments
        >>> check_arguments(TrainingArguments("runs", use_cpu=True, dataloader_num_workers=2))
        Traceback (most recent call last):
        ValueError: dataloader_num_workers must be 0, got dataloader_num_workers=2. Use loader(pipeline,
        num_workers=...).
    """
    for name, (allowed, instead) in _ALLOWED.items():
        value = getattr(arguments, name, None)
        if value not in allowed:
            message = f"{name} must be {allowed[0]!r}, got {name}={shown(value)}. {instead}"
            raise ValueError(message)


def check_batch_size(arguments: Any, pipeline: Pipeline[Any], /, *, world_size: int) -> None:
    """Check that the batch size of a device is the largest part of a batch of the pipeline.

    A planned order makes the steps itself; then the Trainer's batch size isn't used.

    Raises:
        ValueError: if it isn't.

    Example:
        >>> from transformers import TrainingArguments
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=5, seed=42)
        >>> arguments = TrainingArguments("runs", use_cpu=True, per_device_train_batch_size=4)
        >>> check_batch_size(arguments, pipeline, world_size=2)
        Traceback (most recent call last):
        ValueError: per_device_train_batch_size must be 3, got per_device_train_batch_size=4 with batch_size=5 for 2
        processes and 1 device in each: the pipeline's batch size counts all devices together.
    """
    if pipeline.batch_size is None:
        return
    num_devices = max(1, arguments.n_gpu)
    part = -(-pipeline.batch_size // (world_size * num_devices))
    if arguments.per_device_train_batch_size != part:
        message = (
            f"per_device_train_batch_size must be {part}, got "
            f"per_device_train_batch_size={arguments.per_device_train_batch_size} with "
            f"batch_size={pipeline.batch_size} for {world_size} process{'es' * (world_size > 1)} and {num_devices} "
            f"device{'s' * (num_devices > 1)} in each: the pipeline's batch size counts all devices together."
        )
        raise ValueError(message)


def num_batches_of(num_updates: int, /, *, length: int, accumulated: int) -> int:
    """Return the number of batches that the Trainer reads in its first optimizer steps.

    Args:
        num_updates: number of optimizer steps.
        length: number of batches of an epoch.
        accumulated: `gradient_accumulation_steps`; the last step of an epoch may have fewer batches.

    Example:
        >>> [num_batches_of(updates, length=5, accumulated=2) for updates in range(8)]
        [0, 2, 4, 5, 7, 9, 10, 12]
    """
    epochs, updates = divmod(num_updates, -(-length // accumulated))
    return epochs * length + updates * accumulated
