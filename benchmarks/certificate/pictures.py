"""Pictures of a certificate: a heat map of p-values, and what shuffles look like."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from benchmarks.certificate.groups import PREFIXES, group_of, length_name, length_of
from benchmarks.certificate.p_values import FALSE_ALARM, Array
from benchmarks.certificate.permutations.families import Shuffle
from benchmarks.certificate.verdicts import Verdict

DARKEST: Final = 30.0
"""From this `-log10` of the p-value on, cells have the darkest color."""
LEVEL: Final = -np.log10(FALSE_ALARM)
SHOWN: Final = ("permute", "NumPy", "2.4.5", "grain", "levanter, linear", "levanter, Feistel")
EPOCH, LONG, INDICES = 1024, 65537, (0, 256)
COLUMNS: Final = 3
COLORS: Final = LinearSegmentedColormap.from_list(
    "alarm",
    [
        (0, "#f1f7f1"),
        (LEVEL / DARKEST, "#c5e0ca"),
        (LEVEL / DARKEST + 1e-3, "#f6c667"),
        (0.5, "#e0662f"),
        (1, "#7a0c1e"),
    ],
)
"""Green without an alarm, yellow to red with one."""


def heat_map(verdicts: Sequence[Verdict], path: Path) -> None:
    """Draw the smallest p-value of each group of tests at each length, one panel per family."""
    lengths = sorted({int(length_of(test)) for verdict in verdicts for test in verdict.results})
    groups = list(PREFIXES.values())
    rows = -(-len(verdicts) // COLUMNS)
    figure = Figure(figsize=(15, 0.6 + 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    for number, axis in enumerate(axes.flat):
        if number >= len(verdicts):
            axis.set_axis_off()
            continue
        cells = cells_of(verdicts[number], groups, lengths)
        image = axis.imshow(cells, cmap=COLORS, vmin=0, vmax=DARKEST, aspect="auto", interpolation="nearest")
        axis.set_facecolor("#bbbbbb")
        axis.set_title(title_of(verdicts[number]), fontsize=11)
        axis.set_xticks(range(len(lengths)), map(length_name, lengths), rotation=90, fontsize=6)
        axis.set_yticks(range(len(groups)), groups, fontsize=7)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01)
    bar.set_label("-log10(smallest p-value x number of p-values): an alarm above 4")
    figure.savefig(path, dpi=80)


def title_of(verdict: Verdict) -> str:
    """Return a family's name and how often it fails."""
    return f"{verdict.name}: {len(verdict.alarms)} of {len(verdict.results)} tests fail"


def cells_of(verdict: Verdict, groups: Sequence[str], lengths: Sequence[int]) -> Array:
    """Return -log10 of each group's smallest p-value at each length, times the family's number of them; NaN: none."""
    found: dict[tuple[str, int], list[float]] = {}
    for test, p in verdict.results.items():
        found.setdefault((group_of(verdict.subject, test), int(length_of(test))), []).append(p)
    cells = np.full((len(groups), len(lengths)), np.nan)
    for (group, length), values in found.items():
        scaled = min(values) * len(verdict.results)
        cells[groups.index(group), lengths.index(length)] = -np.log10(np.clip(scaled, 10.0**-DARKEST, 1))
    return cells


def pairs_of_samples(shuffles: Sequence[Shuffle], path: Path) -> None:
    """Draw pairs of samples as points: those read one after another, and those at two indices under many seeds."""
    shown = [shuffle for shuffle in shuffles if shuffle.name in SHOWN]
    figure = Figure(figsize=(2.2 * len(shown), 4.9), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, shuffle in zip(axes.T, shown, strict=True):
        (epoch,) = shuffle.family(np.arange(EPOCH), EPOCH, np.array([1]))
        seeds = shuffle.family(np.array(INDICES), LONG, np.arange(2000))
        column[0].set_title(shuffle.name, fontsize=10)
        for axis, pairs in zip(column, ((epoch[:-1], epoch[1:]), seeds.T), strict=True):
            axis.scatter(*pairs, s=1.2, color="#22456b", linewidths=0)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_aspect("equal")
    axes[0, 0].set_ylabel(f"one epoch of {EPOCH:,}:\na sample, and the next", fontsize=8)
    axes[1, 0].set_ylabel(f"2,000 seeds, {LONG:,} samples:\nat index {INDICES[0]} and at {INDICES[1]}", fontsize=8)
    figure.savefig(path, dpi=90)


def false_alarm_plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw which fraction of the control's runs fails, for each level."""
    runs = np.sort([scaled for scaled, _, _ in report["results"]["False alarms"]["NumPy"].values()])
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.loglog(runs, np.arange(1, len(runs) + 1) / len(runs), drawstyle="steps-post", color="#22456b")
    axis.plot([1e-5, 1], [1e-5, 1], color="#999999", linewidth=1, linestyle="--")
    axis.set_xlim(1e-4, 1)
    axis.set_ylim(0.5 / len(runs), 1)
    axis.set_xlabel("level: largest fraction of good families that may fail")
    axis.set_ylabel("fraction of the control's runs that fails")
    figure.savefig(path, dpi=90)
