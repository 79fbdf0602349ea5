"""How far shuffles are from random permutations: ours beside any other map from index to index."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, IntArray, as_int, check_int, check_integer, shown
from bionemo.core.extras import require
from bionemo.data.orders.order import Order, index_at
from bionemo.data.plot.axes import GREY, PALETTE, add_legend, axes_or_new

__all__ = ["different_steps", "plot_shuffle_quality"]

_MOST: Final = 2**17
"""Indices that are looked up of each map."""
_BINS: Final = 41
"""Largest number of bars of the displacements: odd, so that one is around 0."""
_PER_BIN: Final = 20
"""Smallest number of samples per bar, on average: with fewer, chance alone makes bars unequal."""
_LEAST_RANGE: Final = 4
"""The axis of densities spans at least 1/4 to 4."""
_FLOOR: Final = 0.02
"""What is drawn for no displacements: the axis is logarithmic."""
_STYLES: Final = ("-", "--", ":", "-.")


@checked
def plot_shuffle_quality(maps: Mapping[str, Order | Callable[[int], Any]], *, length: AnyInt, ax: Any = None) -> Any:
    """Plot how far shuffles are from random permutations, in two ways, and count what they repeat.

    On the left is where samples go: the distribution of `(idx - index) % length`. A window or a buffer that shuffles
    only neighbours has a peak at 0. On the right is how samples follow one another: how many different values
    `(idx[i + lag] - idx[i]) % length` has, of the number for random permutations. Linear maps, such as a linear
    congruential generator with its regular low bits, have few at some lags. On a random permutation both are at 1. The
    legend has the number of samples that come again, which a shuffle doesn't have, in red.

    Args:
        maps: by label, orders of one source, whose first epoch is looked at, and functions from an index to `idx`.
        length: number of samples that are shuffled, at least 4. Of more than 2**17, so many first ones are looked at.
        ax: a sequence of two axes to draw on; None for those of a new figure.

    Returns:
        An array of the two axes.

    Raises:
        ValueError: if there is no map, an order has another length, or a map returns what is not in `range(length)`.
        TypeError: if an argument has the wrong type.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from bionemo.data import EpochOrder
        >>> maps = {"ours": EpochOrder(length=1000, seed=7), "repeats": lambda index: index // 2 * 2}
        >>> axes = plot_shuffle_quality(maps, length=1000, ax=Figure().subplots(1, 2))
        >>> [text.get_text() for text in axes[1].get_legend().get_texts()]
        ['random permutation', 'ours: none repeated', 'repeats: 500 repeated, 500 missing']
    """
    size = check_int(length, name="length", low=4, high=2**62)
    if not maps:
        message = "maps must hold an order or a function by label, got none."
        raise ValueError(message)
    found = {str(label): _looked_up(part, str(label), size) for label, part in maps.items()}
    left, right = axes = _two_axes(ax)
    left.axhline(1, color=GREY, linewidth=1)
    right.axhline(1, color=GREY, linewidth=1, label="random permutation")
    for number, (label, idx) in enumerate(found.items()):
        style = {"color": PALETTE[number % len(PALETTE)], "linestyle": _STYLES[number % len(_STYLES)]}
        edges, density = _displacements(idx, size)
        left.stairs(np.maximum(density, _FLOOR), edges, baseline=None, linewidth=1.5, **style)
        lags, fractions = different_steps(idx, length=size)
        right.plot(lags, fractions, marker=".", label=f"{label}: {_repeats(idx, size)}", linewidth=1.2, **style)
    of = "" if size <= _MOST else f", first {_MOST:,} of {size:,}"
    left.set(yscale="log", xlabel="displacement / length", ylabel="density (random: 1)", title="where samples go" + of)
    low, high = left.get_ylim()
    left.set_ylim(min(low, 1 / _LEAST_RANGE), max(high, _LEAST_RANGE))  # chance must not look like a pattern
    right.set(xscale="log", xlabel="lag", ylabel="different steps (random: 1)", title="how they follow one another")
    right.set_xscale("log", base=2)
    right.set_ylim(-0.05, 1.3)
    add_legend(right)
    for text, idx in zip(right.get_legend().get_texts()[1:], found.values(), strict=True):
        if len(np.unique(idx)) < len(idx):
            text.set_color(PALETTE[4])
    return axes


def different_steps(idx: IntArray, /, *, length: AnyInt) -> tuple[IntArray, Any]:
    """Return how many different values the steps of a shuffle have, relative to random ones, by lag.

    A step is `(idx[i + lag] - idx[i]) % length`. If fewer than `length` elements are given, indices are reduced to
    as many cells, once by their low bits and once by their high ones, and the smaller result counts.

    Args:
        idx: the first elements of the shuffle, at least 4.
        length: number of samples that are shuffled.

    Returns:
        The lags, powers of 2, and the number of different steps by its expectation for independent ones.

    Example:
        >>> lags, fractions = different_steps(np.arange(0, 300, 3) % 100, length=100)
        >>> lags.tolist(), fractions.round(2).tolist()
        ([1, 2, 4, 8, 16], [0.02, 0.02, 0.02, 0.02, 0.02])
    """
    total, size = as_int(length), len(idx)
    cells = min(total, size)
    reduced = [idx] if total == cells else [idx % cells, (idx / total * cells).astype(np.int64)]
    lags = 2 ** np.arange(max((size // 4).bit_length() - 1, 0) + 1)
    fractions = []
    for lag in lags.tolist():
        expected = cells * -np.expm1((size - lag) * np.log1p(-1 / cells))
        steps = [(part[lag:] - part[:-lag]) % cells for part in reduced]
        fractions.append(min(np.count_nonzero(np.bincount(step, minlength=cells)) for step in steps) / expected)
    return lags, np.array(fractions)


def _two_axes(ax: Any) -> Any:
    """Return the given pair of axes, or that of a new figure."""
    if ax is None:
        pyplot = require("matplotlib.pyplot", extra="plot")
        return pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")[1]
    given = list(ax) if isinstance(ax, np.ndarray | list | tuple) else [ax]
    if len(given) != 2 or any(part is None for part in given):  # noqa: PLR2004 - a pair
        message = f"ax must be two axes, as figure.subplots(1, 2) returns, or None, got ax={shown(ax)}."
        raise TypeError(message)
    pair = np.empty(2, dtype=object)
    pair[:] = [axes_or_new(part) for part in given]
    return pair


def _looked_up(part: Any, label: str, length: int) -> IntArray:
    """Return the first elements of a map."""
    count = min(length, _MOST)
    if isinstance(part, Order):
        lengths = tuple(getattr(part, "source_lengths", (None,) * as_int(part.num_sources)))
        is_short = part.num_samples is not None and part.num_samples < count
        if lengths not in {(None,), (length,)} or is_short:
            found = f"source_lengths={shown(lengths)} and num_samples={part.num_samples}"
            message = f"maps must hold orders of one source with length={length} samples, got {found} of {label!r:.80}."
            raise ValueError(message)
        idx = np.asarray(index_at(part, range(count)).idx)
    elif callable(part):
        name = f"the result of {label!r:.80}"
        values = [check_integer(part(index), name=name) for index in range(count)]
        outside = next((value for value in values if not 0 <= value < length), None)
        idx = np.array(values if outside is None else [outside], dtype=np.object_ if outside is not None else np.int64)
    else:
        message = f"maps must hold orders and functions, got {shown(part)} as {label!r:.80}."
        raise TypeError(message)
    if idx.min() < 0 or idx.max() >= length:
        message = f"maps must return indices below length={length}, got idx={idx.max()} of {label!r:.80}."
        raise ValueError(message)
    return idx


def _displacements(idx: IntArray, length: int) -> tuple[Any, Any]:
    """Return the edges and the density of the displacements, from minus a half to a half of the length."""
    moved = (idx - np.arange(len(idx))) % length
    moved = np.where(moved > length // 2, moved - length, moved)
    bins = max(min(_BINS, len(idx) // _PER_BIN // 2 * 2 + 1), 3)
    counts, edges = np.histogram(moved / length, bins=bins, range=(-0.5, 0.5))
    return edges, counts / len(idx) * bins


def _repeats(idx: IntArray, length: int) -> str:
    """Return how many elements repeat earlier ones, and how many samples are missing, if all were looked up."""
    again = len(idx) - len(np.unique(idx))
    if not again:
        return "none repeated"
    return f"{again:,} repeated" + (f", {again:,} missing" if len(idx) == length else "")
