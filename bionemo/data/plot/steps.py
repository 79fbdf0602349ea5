"""Steps: rows and padding of padded ones, bins of planned ones."""

from itertools import pairwise
from typing import Any, Final

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, as_int, check_int, shown
from bionemo.data.orders.by_length.lengths import check_lengths, frozen_lengths, lengths_of
from bionemo.data.orders.by_length.packed import TokenBudgetOrder
from bionemo.data.orders.order import Order, PlannedOrder, check_is_order, index_at
from bionemo.data.orders.planned_skip import PlannedSkipOrder
from bionemo.data.plot.axes import GREY, PALETTE, Axes, add_boxes, axes_or_new

__all__ = ["plot_packing", "plot_padding"]

_MOST_BOXES: Final = 2**16
"""Samples that are drawn."""
_GAP: Final = 1
"""Rows between two steps."""
_MOST_TICKS: Final = 12
_COLORS: Final = (PALETTE[0], PALETTE[1], PALETTE[2])
"""Of the samples of a bin, in turns."""


@checked
def plot_padding(
    order: Order, lengths: Any, *, batch_size: AnyInt, num_steps: AnyInt = 12, ax: Axes | None = None
) -> Axes:
    """Plot the first steps of an order as blocks of rows, each as wide as its longest sample.

    Args:
        order: any order.
        lengths: length of each sample, as in a `LengthGroupedOrder`: no sample is read.
        batch_size: samples per step.
        num_steps: number of steps, fewer if the order ends; together they may hold at most 2**16 samples.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: token on x, the rows of one step after the other on y. The title has the fraction of real tokens.

    Raises:
        ValueError: if a number is out of range, or there isn't one length per sample.
        TypeError: if an argument has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=4, seed=7, shuffle=False, num_samples=4)
        >>> ax = plot_padding(order, [3, 1, 2, 2], batch_size=2, ax=Figure().subplots())
        >>> ax.get_title()
        '80.0% real tokens'
    """
    check_is_order(order, name="order")
    size = check_int(batch_size, name="batch_size", low=1, high=_MOST_BOXES)
    steps = check_int(num_steps, name="num_steps", low=1, high=_MOST_BOXES // size)
    frozen = frozen_lengths(lengths)
    check_lengths(order, frozen)
    stop = size * steps if order.num_samples is None else min(size * steps, as_int(order.num_samples))
    found = lengths_of(frozen, index_at(order, range(stop)))
    step = np.arange(stop) // size
    starts = np.arange(0, stop, size)
    widths = np.maximum.reduceat(found, starts)[step] if stop else found
    top = np.arange(stop) + _GAP * step
    ax = axes_or_new(ax)
    add_boxes(ax, found, top, widths - found, GREY, alpha=0.35, label="padding")
    add_boxes(ax, 0 * found, top, found, PALETTE[0], label="real tokens")
    total = max(int(widths.sum()), 1)
    _finish(ax, step, top, int(widths.max(initial=1)), found.sum() / total)
    return ax


@checked
def plot_packing(order: Order, *, num_steps: AnyInt = 12, ax: Axes | None = None) -> Axes:
    """Plot the bins of the first steps of an order that makes the steps itself, with their samples end to end.

    Args:
        order: a planned order, e.g. a `PackedOrder` or a `TokenBudgetOrder`. In bins of the latter, each sample is
            followed by its padding to the longest.
        num_steps: number of steps, fewer if the order ends.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: token on x, the bins of one step after the other on y. The title has the fraction of real tokens.

    Raises:
        ValueError: if `num_steps` is out of range, or there are more than 2**16 samples in so many steps.
        TypeError: if an argument has the wrong type, or the order doesn't make the steps.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder, PackedOrder
        >>> base = EpochOrder(length=4, seed=7, num_samples=4)
        >>> order = PackedOrder(order=base, lengths=[5, 4, 3, 2], max_tokens=8, bins_per_step=1, window_size=4, seed=1)
        >>> ax = plot_packing(order, ax=Figure().subplots())
        >>> ax.get_title()
        '87.5% real tokens'
    """
    check_is_order(order, name="order")
    if not isinstance(order, PlannedOrder):
        message = (
            f"order must make the steps itself, as a PackedOrder does, got order={shown(order)}. "
            "For steps of a fixed batch size, use plot_padding."
        )
        raise TypeError(message)
    bins = _bins_of(order, check_int(num_steps, name="num_steps", low=1, high=_MOST_BOXES))
    plan: Any = order
    while isinstance(plan, PlannedSkipOrder):
        plan = plan.order
    spaces = [_spaces(tokens, plan) for _, tokens in bins]
    step = np.array([number for number, _ in bins], dtype=np.int64)
    top = np.arange(len(bins)) + _GAP * step
    most = as_int(getattr(plan, "max_tokens", 0)) or max((int(space.sum()) for space in spaces), default=1)
    ax = axes_or_new(ax)
    add_boxes(ax, 0 * top, top, 0 * top + most, GREY, alpha=0.35, label="padding")
    tokens = np.concatenate([np.empty(0, dtype=np.int64), *(tokens for _, tokens in bins)])
    left = np.concatenate([np.empty(0, dtype=np.int64), *(np.cumsum(space) - space for space in spaces)])
    row = np.repeat(top, [len(space) for space in spaces])
    turn = np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(len(space)) % len(_COLORS) for space in spaces)])
    for number, color in enumerate(_COLORS):
        members = turn == number
        add_boxes(ax, left[members], row[members], tokens[members], color, label="sample")
    _finish(ax, step, top, most, tokens.sum() / max(len(bins) * most, 1), row_name="bin")
    return ax


def _bins_of(order: PlannedOrder, num_steps: int) -> list[tuple[int, IntArray]]:
    """Return the bins of the first steps: the number of the step, and the number of tokens of each sample."""
    found, start, count = list[tuple[int, IntArray]](), 0, 0
    end = 2**63 - 1 if order.num_samples is None else as_int(order.num_samples)
    for step in range(num_steps):
        if start >= end:
            break
        bounds = order.step_bounds(start).tolist()
        count += bounds[-1] - start
        if count > _MOST_BOXES:
            message = f"num_steps must be of at most {_MOST_BOXES} samples together, got {count} in {step + 1} steps."
            raise ValueError(message)
        tokens = order.tokens_of(index_at(order, np.arange(start, bounds[-1])))
        found += [(step, tokens[first - start : stop - start]) for first, stop in pairwise(bounds)]
        start = bounds[-1]
    return found


def _spaces(tokens: IntArray, plan: Any) -> IntArray:
    """Return the number of tokens that each sample of a bin takes, with its padding."""
    multiple = as_int(getattr(plan, "divisible_by", 1))
    rounded: IntArray = -(-tokens // multiple) * multiple
    return np.full_like(rounded, rounded.max(initial=0)) if isinstance(plan, TokenBudgetOrder) else rounded


def _finish(ax: Axes, step: IntArray, top: IntArray, width: int, fill: float, *, row_name: str = "row") -> None:
    """Number the steps, and set the limits and the title."""
    firsts = [int(top[step == number].min()) for number in np.unique(step)]
    every = -(-len(firsts) // _MOST_TICKS) or 1
    ax.set_yticks([first + 0.45 for first in firsts[::every]], [str(number) for number in np.unique(step)[::every]])
    height = int(top.max(initial=0)) + 1
    ax.set(xlim=(0, width), ylim=(height, -_GAP), xlabel="token", ylabel=f"step (one line per {row_name})")
    ax.set_title(f"{float(fill):.1%} real tokens")
