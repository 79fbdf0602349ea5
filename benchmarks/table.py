"""Rows of a benchmark: what was measured, against what, and what was wanted. Ratios count, not nanoseconds."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from benchmarks.peers import Peer


@attrs.frozen
class Row:
    """One comparison: what, our cost, the other's, and which ratio is wanted."""

    what: str
    ours: str
    other: str
    ratio: str
    target: str
    is_met: bool | None


def seconds(function: Callable[[], Any], repeats: int = 7) -> float:
    """Return the shortest time of some runs, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def faster(what: str, ours: float, other: float, target: float, of: str) -> Row:
    """Return a row for a peer that we are to be faster than, by a factor."""
    ratio = other / ours
    return Row(
        what, f"{ours:,.1f} ns", f"{other:,.1f} ns ({of})", f"{ratio:,.1f}x", f"at least {target:g}x", ratio >= target
    )


def at_most(what: str, ours: float, other: float, target: float, of: str) -> Row:
    """Return a row for a cost that may be at most a multiple of another."""
    ratio = ours / other
    return Row(
        what, f"{ours:,.1f} ns", f"{other:,.1f} ns ({of})", f"{ratio:.2f}", f"at most {target:g}", ratio <= target
    )


def below(what: str, value: float, limit: float, unit: str, of: str = "") -> Row:
    """Return a row for a cost with a limit of its own."""
    return Row(what, f"{value:,.1f} {unit}", of, "", f"below {limit:,g} {unit}", value < limit)


def missing(what: str, peer: Peer) -> Row:
    """Return a row for a peer that can't be measured."""
    return Row(what, "", f"{peer.name}: {peer.reason}", "", "", None)


def show(rows: Iterable[Row]) -> None:
    """Print rows as a table."""
    rows = [Row("what", "ours", "other", "ratio", "wanted", is_met=None), *rows]
    columns = [(row.what, row.ours, row.other, row.ratio, row.target) for row in rows]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for row, cells in zip(rows, columns, strict=True):
        mark = "" if row.is_met is None else "met" if row.is_met else "MISSED"
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), mark)
