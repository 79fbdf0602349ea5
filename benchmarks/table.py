"""Rows of a benchmark table: a measurement, its reference and its target. Compare ratios, not nanoseconds."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from benchmarks.peers import Peer


@attrs.frozen
class Row:
    """One comparison: its label, our cost, the reference's cost, their ratio, and the target."""

    label: str
    ours: str
    other: str
    ratio: str
    target: str
    is_met: bool | None


def seconds(function: Callable[[], Any], repeats: int = 7) -> float:
    """Return the shortest time of several runs, after one warm-up run."""
    return seconds_in_turn(function, repeats=repeats)[0]


def seconds_in_turn(*functions: Callable[[], Any], repeats: int = 7) -> list[float]:
    """Return the shortest time of each function over several runs in turn: a machine that slows down slows all."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(repeats + 1):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:  # the first run warms up
                found.append(time.perf_counter() - start)
    return list(map(min, times))


def faster(label: str, ours: float, other: float, target: float, of: str) -> Row:
    """Return a row whose target is to be faster than a peer by a factor."""
    ratio = other / ours
    return Row(
        label, f"{ours:,.1f} ns", f"{other:,.1f} ns ({of})", f"{ratio:,.1f}x", f"at least {target:g}x", ratio >= target
    )


def at_most(label: str, ours: float, other: float, target: float, of: str) -> Row:
    """Return a row whose target is at most a multiple of another cost."""
    ratio = ours / other
    return Row(
        label, f"{ours:,.1f} ns", f"{other:,.1f} ns ({of})", f"{ratio:.2f}", f"at most {target:g}", ratio <= target
    )


def below(label: str, value: float, limit: float, unit: str, of: str = "") -> Row:
    """Return a row whose target is a fixed limit."""
    return Row(label, f"{value:,.1f} {unit}", of, "", f"below {limit:,g} {unit}", value < limit)


def missing(label: str, peer: Peer) -> Row:
    """Return a row for a peer that can't be measured."""
    return Row(label, "", f"{peer.name}: {peer.reason}", "", "", None)


def show(rows: Iterable[Row]) -> None:
    """Print the rows as a table."""
    rows = [Row("measurement", "ours", "reference", "ratio", "target", is_met=None), *rows]
    columns = [(row.label, row.ours, row.other, row.ratio, row.target) for row in rows]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for row, cells in zip(rows, columns, strict=True):
        mark = "" if row.is_met is None else "met" if row.is_met else "MISSED"
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), mark)
