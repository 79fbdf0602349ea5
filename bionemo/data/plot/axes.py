"""What all plots share: axes, colors that are readable on white and on dark, legends, and positions to look at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bionemo.core.checks import AnyInt, IntArray, as_int, check_int, shown
from bionemo.core.extras import require
from bionemo.data.orders.html import lookup_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Colormap
else:  # importing a plot must not load matplotlib, and @checked reads the annotations
    Axes = Colormap = PolyCollection = Any

__all__ = [
    "GREY",
    "MOST_POINTS",
    "PALETTE",
    "Axes",
    "add_boxes",
    "add_legend",
    "axes_or_new",
    "blend",
    "draw_bands",
    "spread_positions",
]

PALETTE: Final = ("#1a85c9", "#e08a00", "#12a07a", "#c964a6", "#d6541c", "#8c7ae6", "#96960f")
"""Colors of categories, of middling lightness; colour-blind readers can tell them apart."""
GREY: Final = "#808080"
"""For what is no data: padding, expectations, bounds."""
MOST_POINTS: Final = 20_000
"""Points of a scatter plot: more take long and can't be told apart."""
_PLANNED_POINTS: Final = 2**16
"""Positions that are looked up of an order that plans windows."""
_BAND: Final = 0.92
"""Height of the band of a source, of 1."""
_GOLDEN: Final = (5**0.5 - 1) / 2


def axes_or_new(ax: Any, /, *, width: float = 7.0, height: float = 3.6) -> "Axes":
    """Return the given axes, or those of a new pyplot figure if they are None.

    Raises:
        TypeError: if it is something else.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> axes_or_new(ax) is ax
        True
    """
    if ax is None:
        new: Axes = require("matplotlib.pyplot", extra="plot").subplots(figsize=(width, height), layout="constrained")[
            1
        ]
        return new
    if not isinstance(ax, require("matplotlib.axes", extra="plot").Axes):
        message = f"ax must be a matplotlib Axes or None, got ax={shown(ax)} of type {type(ax).__name__}."
        raise TypeError(message)
    return ax  # type: ignore[no-any-return]


def blend() -> "Colormap":
    """Return a colormap from blue by purple to orange, without colors that vanish on white or on black.

    Example:
        >>> blend().name
        'blend'
    """
    colors = require("matplotlib.colors", extra="plot")
    made: Colormap = colors.LinearSegmentedColormap.from_list("blend", [PALETTE[0], PALETTE[3], PALETTE[1]])
    return made


def add_legend(ax: "Axes", /, **options: Any) -> None:
    """Add a legend to the right of axes, where it covers no data, if anything has a label.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> _ = ax.plot([0, 1], label="a line")
        >>> add_legend(ax)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['a line']
    """
    if not options.get("handles", ax.get_legend_handles_labels()[0]):
        return
    given = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0, "frameon": False, **options}
    ax.legend(**given, fontsize="small")


def add_boxes(ax: "Axes", left: Any, top: Any, width: Any, color: str, **options: Any) -> "PolyCollection":
    """Add boxes of height 0.9 to axes: one for each element of `left`, `top` and `width`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> boxes = add_boxes(Figure().subplots(), [0, 2], [0, 0], [2, 3], GREY)
        >>> [float(path.get_extents().width) for path in boxes.get_paths()]
        [2.0, 3.0]
    """
    left, top, width = (np.asarray(part, dtype=float) for part in (left, top, width))
    right, bottom = left + width, top + 0.9
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    vertices = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=-2)
    collections = require("matplotlib.collections", extra="plot")
    boxes: PolyCollection = collections.PolyCollection(vertices, facecolor=color, linewidth=0, **options)
    ax.add_collection(boxes)
    return boxes


def draw_bands(ax: "Axes", source: IntArray, idx: IntArray, lengths: Sequence[AnyInt | None]) -> Any:
    """Label a band of axes per source, and return the height of each sample: `source` for its first, and up.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> draw_bands(ax, np.array([0, 0, 1]), np.array([0, 4, 0]), [5, 9]).tolist()
        [0.0, 0.92, 1.0]
        >>> [label.get_text().splitlines() for label in ax.get_yticklabels()]
        [['source 0', '0 to 4'], ['source 1', '0 to 8']]
    """
    height, labels = np.zeros(len(idx)), []
    for number, length in enumerate(lengths):
        members = source == number
        size = as_int(length) if length else int(idx[members].max(initial=0)) + 1
        height[members] = number + _BAND * idx[members] / max(size - 1, 1)
        labels.append(f"source {number}\n0 to {size - 1:,}")
        if number:
            ax.axhline(number - (1 - _BAND) / 2, color=GREY, linewidth=0.8)
    ax.set_yticks(np.arange(len(labels)) + _BAND / 2, labels)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(_BAND - 1, len(labels))
    return height


def spread_positions(order: Any, num_positions: AnyInt | None, /, *, default: AnyInt) -> tuple[IntArray, str]:
    """Return positions of an order that are fast to look up, and the label of their axis.

    They are all below `num_positions`, if these are few. If they are many, they are spread over them, one in each of
    equally long stretches, at an irregular offset so that no period of the order is hidden. Of an order that plans
    windows they are the first ones.

    Args:
        order: any order.
        num_positions: number of positions to look at; None for the default.
        default: cut to the end of the order.

    Raises:
        ValueError: if `num_positions` is not positive, or larger than the order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> spread_positions(EpochOrder(length=10, seed=7), None, default=4)
        (array([0, 1, 2, 3]), 'position')
        >>> spread_positions(EpochOrder(length=10**12, seed=7), None, default=10**12)[1]
        'position (one of every 50,000,000)'
    """
    end = 2**62 if order.num_samples is None else as_int(order.num_samples)
    if num_positions is None:
        total = min(as_int(default), end)
    else:
        total = check_int(num_positions, name="num_positions", low=1, high=max(end, 1))
    if total <= MOST_POINTS:
        return np.arange(total), "position"
    if lookup_cost(order) and total > _PLANNED_POINTS:
        return np.arange(MOST_POINTS), f"position (the first {MOST_POINTS:,} of {total:,})"
    stride = total // MOST_POINTS
    offset = (np.arange(MOST_POINTS) * _GOLDEN % 1 * stride).astype(np.int64)
    return np.arange(MOST_POINTS) * stride + offset, f"position (one of every {stride:,})"
