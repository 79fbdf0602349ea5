"""Pictures of what grows with its size: one file per quantity, a line per library."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.record import Measurement, Side, spread
from benchmarks.table import PREFIXES

COLOURS = ("#0b6e4f", "#c1121f", "#1d5fa8", "#e08e00", "#7b4397", "#5c6770")
MARKERS = "osDv^P"


class Figure(NamedTuple):
    """A picture: its file's name, what it shows, and of which measurements it is made: by the start of `what`."""

    name: str
    title: str
    what: tuple[str, ...]


FIGURES = [
    Figure(
        "benchmark_loaders",
        "Shuffled loaders of numbers in memory",
        (
            "numbers: time from",
            "numbers: time to the first",
            "numbers: time per sample",
            "numbers: peak memory",
        ),
    ),
    Figure(
        "benchmark_files",
        "Shuffled loaders of rows on disk",
        (
            "rows on disk: time from",
            "rows on disk: time to the first",
            "rows on disk: time per sample",
            "rows on disk: peak memory",
        ),
    ),
    Figure("benchmark_mixtures", "Mixtures", ("mixture, time per sample",)),
    Figure("benchmark_packing", "Packing", ("packing, time per sample", "packing, fill")),
]


def curves(measurements: Iterable[Measurement], what: str) -> dict[str, list[tuple[int, float, float, float]]]:
    """Return for each library the points of its curve: size, median and quartiles.

    Args:
        measurements: all of them.
        what: the start of what the curve shows.
    """
    found: dict[str, dict[int, tuple[int, float, float, float]]] = {}
    for one in measurements:
        if one.size is not None and one.what.startswith(what):
            for side in filter(None, (one.ours, one.peer)):
                if side.rounds:
                    found.setdefault(_label(side), {})[one.size] = (one.size, *spread(side.rounds))
    return {name: [points[size] for size in sorted(points)] for name, points in found.items()}


def _label(side: Side) -> str:
    return f"bionemo-core {side.name}" if side.is_ours else side.name


def draw(measurements: Sequence[Measurement], folder: Path) -> list[tuple[Path, str]]:
    """Write the pictures of which there are measurements; return their paths and titles."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in FIGURES:
        panels = [what for what in figure.what if curves(measurements, what)]
        if panels:
            path = folder / f"{figure.name}.png"
            _draw(measurements, panels, path)
            written.append((path, figure.title))
    return written


def _draw(measurements: Sequence[Measurement], panels: Sequence[str], path: Path) -> None:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.1 * rows + 0.7), squeeze=False)
        for panel, axis in zip(panels, axes.flat, strict=True):
            _panel(measurements, panel, axis)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=columns, frameon=False)
        lines = -(-len(labels) // columns)
        figure.tight_layout(rect=(0, 0.07 * lines * 3.1 / (3.1 * rows + 0.7), 1, 1))
        figure.savefig(path, dpi=100, metadata={"Software": None})
        plt.close(figure)


def _panel(measurements: Sequence[Measurement], panel: str, axis: plt.Axes) -> None:
    unit = next(one.unit for one in measurements if one.size is not None and one.what.startswith(panel))
    for number, (name, points) in enumerate(curves(measurements, panel).items()):
        sizes, medians, lows, highs = zip(*points, strict=True)
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4}
        axis.plot(sizes, medians, label=name, linewidth=2.2 if number == 0 else 1.2, **style)
        axis.fill_between(sizes, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
    first = next(one for one in measurements if one.size is not None and one.what.startswith(panel))
    axis.set_title((first.what.partition(": ")[2] or first.what).replace("`", ""), fontsize=9)
    axis.set_xlabel(first.axis)
    axis.set_xscale("log")
    if unit in PREFIXES:
        axis.set_yscale("log")
        shown = mpl.ticker.FuncFormatter(lambda value, _: _short(value, unit))
        axis.yaxis.set_major_formatter(shown)
        low, high = axis.get_ylim()
        axis.yaxis.set_minor_locator(mpl.ticker.LogLocator(subs=(2, 3, 5)))
        axis.yaxis.set_minor_formatter(shown if high < 30 * low else mpl.ticker.NullFormatter())
    axis.grid(visible=True, alpha=0.25)


def _short(value: float, unit: str) -> str:
    scale, name = next((pair for pair in PREFIXES[unit] if value >= pair[0] * 0.999), PREFIXES[unit][-1])
    return f"{value / scale:g} {name}"
