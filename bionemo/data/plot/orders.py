"""Orders: which sample comes when, and how two epochs are related."""

from typing import Any, Final

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, as_int, check_int, shown
from bionemo.core.extras import require
from bionemo.data.orders.html import lookup_cost
from bionemo.data.orders.order import Order, SampleIndex, check_is_order, index_at, position_of
from bionemo.data.plot.axes import (
    MOST_POINTS,
    PALETTE,
    Axes,
    add_legend,
    axes_or_new,
    blend,
    draw_bands,
    spread_positions,
)

__all__ = ["plot_epochs", "plot_order"]

_MOST_MATCHED: Final = 2**18
"""Longest epoch of which all positions are compared."""


@checked
def plot_order(order: Order, *, num_positions: AnyInt | None = None, ax: Axes | None = None) -> Axes:
    """Plot which sample an order has at each position, colored by epoch.

    Several sources are drawn in bands of equal height, one above the other, each from index 0 to its last one.

    Args:
        order: any order.
        num_positions: positions to look at, from 0; by default two epochs. Of more than 20,000, that many are drawn,
            and the label of the axis says which.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: position on x, `idx` on y.

    Raises:
        ValueError: if `num_positions` isn't between 1 and the number of positions.
        TypeError: if an argument has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder
        >>> ax = plot_order(EpochOrder(length=10, seed=7), ax=Figure().subplots())
        >>> [len(points.get_offsets()) for points in ax.collections]  # one per epoch
        [10, 10]
    """
    check_is_order(order, name="order")
    lengths = getattr(order, "source_lengths", None) or (None,) * as_int(order.num_sources)
    default = 2 * as_int(getattr(order, "epoch_length", None) or sum(as_int(length or 1000) for length in lengths))
    positions, label = spread_positions(order, num_positions, default=default)
    index = SampleIndex(*map(np.asarray, index_at(order, positions)))
    ax = axes_or_new(ax)
    several = as_int(order.num_sources) > 1
    height = draw_bands(ax, index.source, index.idx, lengths) if several else index.idx
    _scatter_by_epoch(ax, positions, height, index.epoch)
    ax.set(xlabel=label, ylabel="source and its idx" if several else "idx")
    return ax


def _scatter_by_epoch(ax: Axes, positions: IntArray, height: Any, epoch: IntArray) -> None:
    options: Any = {"s": float(np.clip(12_000 / max(len(positions), 1), 2, 24)), "linewidths": 0}
    epochs = np.unique(epoch)
    if len(epochs) <= len(PALETTE):
        for number, color in zip(epochs, PALETTE, strict=False):
            members = epoch == number
            ax.scatter(positions[members], height[members], color=color, label=f"epoch {number:,}", **options)
        if len(epochs) > 1:
            add_legend(ax, markerscale=(30 / options["s"]) ** 0.5)
        return
    points = ax.scatter(positions, height, c=epoch, cmap=blend(), **options)
    bar: Any = ax.figure.colorbar(points, ax=ax, label="epoch")
    bar.locator = require("matplotlib.ticker", extra="plot").MaxNLocator(integer=True)


@checked
def plot_epochs(order: Order, *, epochs: tuple[AnyInt, AnyInt] = (0, 1), ax: Axes | None = None) -> Axes:
    """Plot where each sample is in one epoch against where it is in another.

    Unrelated shuffles fill the square evenly; equal ones give its diagonal.

    Args:
        order: an order with epochs of equal length (`epoch_length`). Of epochs of more than 2**18 samples, 20,000
            samples are looked up by `position_of`, which the order must have then.
        epochs: two epochs.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: position in the first epoch on x, in the second one on y, both counted from its start.

    Raises:
        ValueError: if the order has no such epochs, or they take too long to look up.
        TypeError: if an argument has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder
        >>> ax = plot_epochs(EpochOrder(length=4, seed=7, shuffle=False), ax=Figure().subplots())
        >>> ax.collections[0].get_offsets().tolist()
        [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """
    check_is_order(order, name="order")
    length = getattr(order, "epoch_length", None)
    if length is None:
        message = f"order must have epochs of equal length, got epoch_length=None of a {type(order).__name__}."
        raise ValueError(message)
    if len(epochs) != 2:  # noqa: PLR2004 - a pair
        message = f"epochs must be two epochs, got epochs={shown(epochs)}."  # type: ignore[unreachable]
        raise ValueError(message)
    length = as_int(length)
    numbers = [check_int(epoch, name="epochs", high=2**62 // length) for epoch in epochs]
    one, other = _positions_in(order, numbers, length)
    ax = axes_or_new(ax, width=4.4, height=4.2)
    size = float(np.clip(12_000 / max(len(one), 1), 2, 24))
    ax.scatter(one, other, s=size, color=PALETTE[0], linewidths=0)
    ax.set(xlabel=f"position in epoch {numbers[0]:,}", ylabel=f"position in epoch {numbers[1]:,}", aspect="equal")
    return ax


def _positions_in(order: Order, epochs: list[int], length: int) -> tuple[IntArray, IntArray]:
    """Return the positions of samples in two epochs, counted from the start of each."""
    end = 2**63 - 1 if order.num_samples is None else as_int(order.num_samples)
    starts = [epoch * length for epoch in epochs]
    if max(starts) >= end:
        message = f"epochs must be below {-(-end // length)}, the end of the order, got epochs={tuple(epochs)}."
        raise ValueError(message)
    if length <= _MOST_MATCHED:
        found = [index_at(order, range(start, min(start + length, end))) for start in starts]
        _, codes = np.unique(np.concatenate([part.idx for part in found]), return_inverse=True)
        keys = np.concatenate([part.source for part in found]) * (codes.max() + 1) + codes
        first = len(found[0].idx)
        _, one, other = np.intersect1d(keys[:first], keys[first:], return_indices=True)
        kept = np.argsort(one)[:: -(-len(one) // MOST_POINTS) or 1]
        return one[kept], other[kept]
    if lookup_cost(order) or not hasattr(order, "position_of") or max(starts) + length > end:
        message = (
            f"order must have whole epochs of at most {_MOST_MATCHED} samples, or a fast position_of, got "
            f"epoch_length={length} of a {type(order).__name__}. Plot a shorter one with the same parameters."
        )
        raise ValueError(message)
    positions = np.arange(MOST_POINTS) * (length // MOST_POINTS)
    index = index_at(order, positions + starts[0])
    return positions, position_of(order, index._replace(epoch=np.full(len(positions), epochs[1]))) - starts[1]
