"""The number of steps before each window of a planned order, kept in files."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, check_int, shown
from bionemo.core.files import write_atomically
from bionemo.data.orders.by_length.planned import BinOrder
from bionemo.data.pipeline.record import fingerprint

__all__ = ["count_steps"]


@checked
def count_steps(order: BinOrder, folder: str | os.PathLike[str], /, *, stop: AnyInt | None = None) -> int:
    """Return the number of the step that a position is in, from counts that are kept in files.

    To find a step by its number, all windows before it are planned once per process. This function reads how many steps
    they have from a folder instead, plans the windows that no file there covers, and writes a file for them. Afterwards
    the order, and a pipeline of it, finds each step before `stop` without planning.

    Law: the result is `order.step_of(stop)`, whatever is in the folder.

    Args:
        order: a `PackedOrder` or `TokenBudgetOrder`.
        folder: an existing folder, which any number of orders and processes may share: the names of the files have the
            order's fingerprint. There is a file per epoch of the base order, with 8 bytes per window.
        stop: position, 0..num_samples; by default the end of a finite order, so that the result is the number of its
            steps.

    Raises:
        ValueError: if `stop` is out of range or must be given, or a file holds something else.
        OSError: if there is no such folder, or it can't be read or written.

    Example:
        >>> import tempfile
        >>> from bionemo.data import EpochOrder, PackedOrder
        >>> base = EpochOrder(length=4, seed=7, num_samples=8)
        >>> order = PackedOrder(order=base, lengths=[5, 4, 3, 2], max_tokens=8, bins_per_step=1, window_size=4, seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     count_steps(order, folder), len(list(Path(folder).iterdir()))
        (4, 2)
    """
    end = MAX_INT if order.num_samples is None else order.num_samples
    if stop is None and order.num_samples is None:
        message = "stop must be given for an order without end, got stop=None."
        raise ValueError(message)
    stop = check_int(end if stop is None else stop, name="stop", high=end)
    if not Path(folder).is_dir():
        message = f"folder must be an existing folder, got {os.fspath(folder)!r}."
        raise NotADirectoryError(message)
    name = fingerprint(order)[:16]
    for span in range(-(-stop // order.span_length)):
        path = Path(folder) / f"steps-{name}-{span}.npy"
        if path.exists():
            order.known_spans[span] = _read(path, order.span_starts(span))
        else:
            write_atomically(path, partial(np.save, arr=order.steps_of_span(span)[1]))
    return order.step_of(stop)


def _read(path: Path, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the starts of windows, and the number of steps before each and in all from a file."""
    try:
        steps: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        steps = error
    if (
        not isinstance(steps, np.ndarray)
        or (steps.dtype, steps.shape) != (np.int64, (len(starts) + 1,))
        or (steps[0] != 0 or (np.diff(steps) < 1).any())
    ):
        message = (
            f"{path} must hold the number of steps before each of {len(starts)} windows, got {shown(steps)}. Delete it."
        )
        raise ValueError(message)
    return starts, steps
