"""Mixtures: the fraction of each source along the run, and the weights that it keeps to."""

from bisect import bisect_right
from typing import Any, Final

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, as_int, check_int
from bionemo.data.orders.by_weight.mixture import MixtureOrder
from bionemo.data.orders.html import lookup_cost
from bionemo.data.orders.order import Order, check_is_order, index_at
from bionemo.data.plot.axes import GREY, PALETTE, Axes, add_legend, axes_or_new

__all__ = ["exact_fractions", "plot_mixture"]

_INTERVALS: Final = 120
"""Number of intervals of positions in which sources are counted."""
_FEWEST: Final = 50
"""Positions that an interval has at least, if there are as many."""
_PER_INTERVAL: Final = 200
"""Positions that are looked up in each, at most."""
_MOST_PLANNED: Final = 2**16
"""Positions that are looked at by default of an order that plans windows."""
_UNCHANGED: Final = 6_000
"""Positions that are looked at by default of an order whose weights don't change."""
_STYLES: Final = ("-", "--", "-.", ":")
"""Lines of sources, one after all colors were used."""


@checked
def plot_mixture(order: Order, *, num_positions: AnyInt | None = None, ax: Axes | None = None) -> Axes:
    """Plot the fraction of each source along a run, beside the exact weights.

    The thin lines are what a `MixtureOrder`, also one within other orders, keeps to; dotted lines mark where its
    weights change or a source ends. Samples are counted in up to 120 intervals of 50 positions or more, in each among
    its first 200.

    Args:
        order: any order of at most 28 sources.
        num_positions: positions to look at, from 0; by default half more than up to the last change of weights, or
            6,000 if there is none.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes: position on x, the fraction of each source on y.

    Raises:
        ValueError: if `num_positions` isn't between 1 and the number of positions, or there are too many sources.
        TypeError: if an argument has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder
        >>> orders = [EpochOrder(length=100, seed=seed) for seed in range(2)]
        >>> ax = plot_mixture(MixtureOrder(orders=orders, weights=(3, 1), num_samples=8), ax=Figure().subplots())
        >>> [steps.get_data().values.tolist() for steps in ax.patches]
        [[0.75], [0.25]]
    """
    check_is_order(order, name="order")
    count = as_int(order.num_sources)
    if count > len(PALETTE) * len(_STYLES):
        message = f"order must have at most {len(PALETTE) * len(_STYLES)} sources, got num_sources={count}."
        raise ValueError(message)
    exact = exact_fractions(order)
    total = _num_positions(order, num_positions, last_change=exact[-1][0] if exact else 0)
    intervals = max(min(_INTERVALS, total // _FEWEST), 1)
    edges = np.array([number * total // intervals for number in range(intervals + 1)])
    sizes = np.minimum(np.diff(edges), _PER_INTERVAL)
    positions = np.concatenate([start + np.arange(size) for start, size in zip(edges[:-1], sizes, strict=True)])
    source = np.asarray(index_at(order, positions).source)
    interval = np.repeat(np.arange(intervals), sizes)
    ax = axes_or_new(ax)
    for number in range(count):
        values = np.bincount(interval[source == number], minlength=intervals) / sizes
        style: Any = {"color": PALETTE[number % len(PALETTE)], "linestyle": _STYLES[number // len(PALETTE)]}
        ax.stairs(values, edges, baseline=None, linewidth=2.6, alpha=0.75, label=_label(number, exact), **style)
    _draw_exact(ax, exact, total)
    among = f"{sizes.max():,} positions" if (sizes == np.diff(edges)).all() else f"{_PER_INTERVAL} of an interval"
    ax.set(xlabel="position", ylabel=f"fraction among {among}", xlim=(0, total), ylim=(-0.03, 1.03))
    add_legend(ax)
    return ax


def exact_fractions(order: Any, /) -> list[tuple[int, tuple[float, ...]]]:
    """Return the exact fraction of each source from some positions on; empty if the order doesn't determine it.

    For an order that rearranges a mixture, these are the fractions of the mixture.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> orders = [EpochOrder(length=100, seed=seed) for seed in range(2)]
        >>> exact_fractions(MixtureOrder(orders=orders, weights=(3, 1), changes=[(50, (1, 1))]))
        [(0, (0.75, 0.25)), (50, (0.5, 0.5))]
    """
    if isinstance(order, MixtureOrder):
        return _fractions_of_mixture(order)
    inner = getattr(order, "order", None)
    if inner is not None:
        move = getattr(order, "position_after", as_int)
        return [(move(position), fractions) for position, fractions in exact_fractions(inner)]
    return [(0, (1.0,))] if order.num_sources == 1 else []


def _fractions_of_mixture(order: MixtureOrder) -> list[tuple[int, tuple[float, ...]]]:
    parts = [exact_fractions(child) for child in order.orders]
    if not all(parts):
        return []
    draws = [[order.position_of_draw(child, count) for count, _ in part] for child, part in enumerate(parts)]
    starts = [[0, *(draw for draw in found[1:] if draw is not None)] for found in draws]
    of_weights = [position for position, _ in order.stretches]
    result = []
    for position in sorted({*of_weights, *(start for found in starts for start in found)}):
        weights = order.stretches[bisect_right(of_weights, position) - 1][1]
        inner = [part[bisect_right(found, position) - 1][1] for part, found in zip(parts, starts, strict=True)]
        fractions = [weight / sum(weights) * part for weight, of in zip(weights, inner, strict=True) for part in of]
        result.append((position, tuple(fractions)))
    return result


def _num_positions(order: Order, given: AnyInt | None, *, last_change: int) -> int:
    end = 2**62 if order.num_samples is None else as_int(order.num_samples)
    if given is not None or end == 0:
        return check_int(given or 0, name="num_positions", low=1, high=max(end, 1))
    total = min(last_change * 3 // 2 or _UNCHANGED, end)
    return min(total, _MOST_PLANNED) if lookup_cost(order) else total


def _label(source: int, exact: list[tuple[int, tuple[float, ...]]]) -> str:
    if not exact:
        return f"source {source}"
    changing = list(dict.fromkeys(f"{fractions[source]:.3g}" for _, fractions in exact))
    return f"source {source}: {' → '.join(changing[:4])}{' ...' * (len(changing) > 4)}"  # noqa: PLR2004 - a legend's width


def _draw_exact(ax: Axes, exact: list[tuple[int, tuple[float, ...]]], total: int) -> None:
    """Draw the exact fractions, and where they change."""
    starts = [position for position, _ in exact if position < total]
    stops = [*starts[1:], total]
    for number in range(len(exact[0][1]) if exact else 0):
        values = [fractions[number] for _, fractions in exact[: len(starts)]]
        label = "exact" if number == 0 else "_nolegend_"
        color = ax.xaxis.label.get_color()  # readable on this background
        ax.hlines(values, starts, stops, color=color, linewidth=0.7, label=label, zorder=3)
    for number, start in enumerate(starts[1:]):
        ax.axvline(
            start, color=GREY, linestyle=":", linewidth=1.2, label="change of weights" if number == 0 else "_nolegend_"
        )
