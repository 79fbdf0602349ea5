"""Checks of a loader's options."""

import sys
from typing import Any

import numpy as np

from bionemo.core.checks import AnyFloat, AnyInt, check_int, shown

__all__ = ["check_batches_per_epoch", "check_options", "check_threads", "check_timeout", "check_transform_on"]


def check_options(options: Any, /) -> None:
    """Check those options of a loader that depend on one another.

    Args:
        options: the loader, or another object with its attributes.

    Raises:
        ValueError: if two of them contradict each other, or a number is out of range.
        TypeError: if one has the wrong type.

    Example:
        >>> from types import SimpleNamespace
        >>> options = {"num_workers": 2, "timeout": 9, "num_threads": 0, "pin_memory": False}
        >>> check_options(SimpleNamespace(**options, transform_on="worker", device=None, compile_transform=False))
    """
    check_timeout(options.timeout, check_int(options.num_workers, name="num_workers"))
    check_threads(options.num_threads, num_workers=options.num_workers, pin_memory=options.pin_memory)
    check_transform_on(options.transform_on, device=options.device, compile_transform=options.compile_transform)


def check_batches_per_epoch(batches_per_epoch: AnyInt | None, /) -> int | None:
    """Return the number of batches from pause to pause, or None.

    Raises:
        ValueError: if it is not positive.

    Example:
        >>> check_batches_per_epoch(3)
        3
    """
    return None if batches_per_epoch is None else check_int(batches_per_epoch, name="batches_per_epoch", low=1)


def check_timeout(timeout: AnyFloat, num_workers: AnyInt, /) -> None:
    """Check the number of seconds that a loader waits for a batch of its worker processes.

    Raises:
        TypeError: if it is not a number.
        ValueError: if it is negative or infinite, or there are no worker processes to wait for.

    Example:
        >>> check_timeout(2.5, 1)
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | np.integer | np.floating):
        message = f"timeout must be a number of seconds, got timeout={shown(timeout)}."
        raise TypeError(message)
    seconds = timeout.item() if isinstance(timeout, np.generic) else timeout
    if not 0 <= seconds <= sys.float_info.max or (seconds and not num_workers):
        message = (
            "timeout must be 0 or more seconds, and 0 without worker processes, got "
            f"timeout={shown(seconds)} and "
            f"num_workers={num_workers}."
        )
        raise ValueError(message)


def check_threads(num_threads: AnyInt, /, *, num_workers: AnyInt, pin_memory: bool) -> None:
    """Check the number of threads that read batches.

    Raises:
        ValueError: if it is negative, or given with worker processes or pinned memory.

    Example:
        >>> check_threads(4, num_workers=0, pin_memory=False)
    """
    if check_int(num_threads, name="num_threads") and (num_workers or pin_memory):
        message = (
            f"num_threads must be 0 with worker processes or pin_memory, got num_threads={num_threads}, "
            f"num_workers={num_workers} and pin_memory={pin_memory}."
        )
        raise ValueError(message)


def check_transform_on(transform_on: str, /, *, device: Any, compile_transform: bool) -> None:
    """Check where the transform of the batch runs.

    Raises:
        ValueError: if it is to run on a device that isn't given, or to be compiled elsewhere.

    Example:
        >>> check_transform_on("device", device="cpu", compile_transform=True)
    """
    if device is None and transform_on == "device":
        message = 'device must be given with transform_on="device", got device=None. "cpu" is one.'
        raise ValueError(message)
    if compile_transform and transform_on != "device":
        message = 'compile_transform must be False unless transform_on="device", got compile_transform=True.'
        raise ValueError(message)
