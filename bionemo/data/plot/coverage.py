"""Coverage: which rank read which sample when, from the log of a run."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import IntArray, check_int, shown
from bionemo.core.int64 import as_integers
from bionemo.data.plot.axes import MOST_POINTS, PALETTE, Axes, add_legend, axes_or_new, blend, draw_bands

__all__ = ["plot_coverage"]

_NAMES: Final = ("step", "rank", "ids")


@checked
def plot_coverage(history: Iterable[Any], *, ax: Axes | None = None) -> Axes:
    """Plot which rank read which samples at each step of a run, and mark samples that were read more than once.

    Args:
        history: records with `step`, `rank` and `ids`: mappings, e.g. lines of a JSON log, or objects with these
            attributes, e.g. what `read_run_log` returns. `ids` are the indices of the samples that were read, or a row
            `source, epoch, idx` for each. Samples of different epochs are different ones; without epochs, pass the
            records of one. Of more than 20,000 reads that many are drawn, and as many of those that are repeated.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: step on x, index of the sample on y, in bands if there are several sources, colored by rank.

    Raises:
        ValueError: if a number is negative, the history has no record, or `ids` has another shape.
        TypeError: if a record lacks a field, or a field has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> history = [{"step": 0, "rank": 0, "ids": [3, 1]}, {"step": 0, "rank": 1, "ids": [2]}]
        >>> history += [{"step": 1, "rank": 0, "ids": [3]}]  # read again
        >>> ax = plot_coverage(history, ax=Figure().subplots())
        >>> ax.collections[-1].get_offsets().tolist()
        [[0.0, 3.0], [1.0, 3.0]]
    """
    records = [_read(record, number) for number, record in enumerate(history)]
    if not records:
        message = "history must hold a record, got none."
        raise ValueError(message)
    sizes = [len(rows) for _, _, rows in records]
    step = np.repeat([step for step, _, _ in records], sizes)
    rank = np.repeat([rank for _, rank, _ in records], sizes)
    rows = np.concatenate([rows for _, _, rows in records])
    _, sample, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    source, _, idx = rows.T
    ax = axes_or_new(ax)
    num_sources = int(source.max(initial=0)) + 1
    height = idx if num_sources == 1 else draw_bands(ax, source, idx, [None] * num_sources)
    every = -(-len(idx) // MOST_POINTS) or 1
    _scatter_by_rank(ax, step[::every], rank[::every], height[::every])
    again = np.flatnonzero(counts[sample.reshape(-1)] > 1)
    again = again[:: -(-len(again) // MOST_POINTS) or 1]
    if len(again):
        label = f"{int((counts > 1).sum()):,} samples read again"
        ax.scatter(
            step[again], height[again], s=26, facecolors="none", edgecolors=PALETTE[4], linewidths=1.1, label=label
        )
    ax.set(xlabel="step", ylabel="idx" if every == 1 else f"idx (one of every {every} reads)")
    ax.set_title(f"{len(idx):,} reads of {len(counts):,} samples")
    add_legend(ax)
    return ax


def _read(record: Any, number: int) -> tuple[int, int, IntArray]:
    """Return the step, the rank, and a row `source, epoch, idx` per sample of a record."""
    is_mapping = isinstance(record, Mapping)
    missing = [name for name in _NAMES if not (name in record if is_mapping else hasattr(record, name))]
    if missing:
        found = f"no {missing[0]} in record {number}: {shown(record)}"
        message = f"history must hold records with step, rank and ids, got {found}."
        raise TypeError(message)
    step, rank, ids = (record[name] if is_mapping else getattr(record, name) for name in _NAMES)
    rows = as_integers(ids, name=f"ids of history[{number}]")
    if rows.ndim == 1:
        rows = np.stack([np.zeros_like(rows), np.zeros_like(rows), rows], axis=1)
    if rows.ndim != 2 or rows.shape[1] != 3:  # noqa: PLR2004 - rows of source, epoch, idx
        message = f"ids of history[{number}] must be indices or rows of source, epoch and idx, got shape {rows.shape}."
        raise ValueError(message)
    for bound in (rows.min(), rows.max()) if rows.size else ():
        check_int(bound, name=f"ids of history[{number}]")
    step, rank = (
        check_int(value, name=f"{name} of history[{number}]") for name, value in zip(_NAMES, (step, rank), strict=False)
    )
    return step, rank, rows.astype(np.int64)


def _scatter_by_rank(ax: Axes, step: Any, rank: Any, idx: Any) -> None:
    options: Any = {"s": float(np.clip(12_000 / max(len(step), 1), 2, 24)), "linewidths": 0}
    ranks = np.unique(rank)
    shades = [PALETTE[number] for number in range(len(ranks))] if len(ranks) <= len(PALETTE) else None
    for number, one in enumerate(ranks):
        members = rank == one
        color = shades[number] if shades else blend()(number / (len(ranks) - 1))
        is_named = shades is not None or number in {0, len(ranks) - 1}
        label = f"rank {one}" if is_named else None
        ax.scatter(step[members], idx[members], color=color, label=label, **options)
