"""Measurements as rows of a table, for a terminal and for a page."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from benchmarks.record import Measurement, Side, is_met, is_slower, ratios, spread

PREFIXES: Final = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")),
}
"""Units that are shown with a prefix, from the largest."""


class Row(NamedTuple):
    """A line of a table: how many times as good as the peer's our number is, the target, and both numbers."""

    ratio: str
    target: str
    measurement: str
    ours: str
    peer: str


HEADINGS = Row("ratio", "target", "measurement", "ours", "compared with")


def number(value: float) -> str:
    """Return a number with three significant digits.

    Example:
        >>> number(1234.5), number(12.345), number(0.0012345)
        ('1,234', '12.3', '0.00123')
    """
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantity(rounds: Sequence[float], unit: str) -> str:
    """Return the median of some rounds with its unit, and the quartiles if there are several rounds.

    Example:
        >>> quantity([2.0e-6, 2.5e-6, 4e-6], "s"), quantity([3.0], "files")
        ('2.5 us (2.25 to 3.25)', '3 files')
    """
    found = spread(rounds)
    scale, name = next(
        (pair for pair in PREFIXES.get(unit, ()) if abs(found.median) >= pair[0]),
        PREFIXES.get(unit, ((1.0, unit),))[-1],
    )
    median, low, high = (number(value / scale) for value in found)
    return f"{median} {name}" if len(rounds) == 1 else f"{median} {name} ({low} to {high})"


def times(rounds: Sequence[float]) -> str:
    """Return a ratio with its quartiles.

    Example:
        >>> times([2.0, 4.0, 5.0]), times([3.0])
        ('4x (3 to 4.5)', '3x')
    """
    median, low, high = map(number, spread(rounds))
    return f"{median}x" if len(rounds) == 1 else f"{median}x ({low} to {high})"


def row_of(measurement: Measurement) -> Row:
    """Return the row of a measurement."""
    found = ratios(measurement)
    of = "" if measurement.size is None else f", {measurement.size:,} {measurement.axis.removeprefix('number of ')}"
    return Row(
        times(found) if found else "",
        target_of(measurement),
        measurement.what + of,
        _told(measurement.ours, measurement.unit),
        _told(measurement.peer, measurement.unit) if measurement.peer else "",
    )


def target_of(measurement: Measurement) -> str:
    """Return the target and whether it is met; empty if there is none."""
    if measurement.least_ratio is not None:
        text = f"at least {number(measurement.least_ratio)}x"
    elif measurement.limit is not None:
        bound = "at least" if measurement.is_more_better else "below"
        text = f"{bound} {quantity([measurement.limit], measurement.unit)}"
    else:
        return ""
    return {True: f"{text}: met", False: f"{text}: MISSED", None: f"{text}: not measured"}[is_met(measurement)]


def _told(side: Side, unit: str) -> str:
    return f"{side.name}: {quantity(side.rounds, unit) if side.rounds else side.reason}"


def missed(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Return the measurements that miss their target."""
    return [one for one in measurements if is_met(one) is False]


def slower(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Return the measurements in which a peer is better, the worst first."""
    return sorted(filter(is_slower, measurements), key=lambda one: spread(ratios(one)).median)


def unmeasured(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Return the measurements in which a side has no number."""
    return [one for one in measurements if not one.ours.rounds or (one.peer and not one.peer.rounds)]


def text_table(measurements: Iterable[Measurement]) -> str:
    """Return a table for a terminal."""
    rows = [HEADINGS, *map(row_of, measurements)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def markdown_table(measurements: Iterable[Measurement]) -> str:
    """Return a table for a page."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join(map(escaped, row_of(one))) + " |" for one in measurements]
    return "\n".join(lines)


def escaped(text: str) -> str:
    r"""Return a text that Markdown shows as it is.

    Example:
        >>> print(escaped("10**6 of a_b"))
        10\*\*6 of a\_b
    """
    for character in "\\*_|<>[]`":
        text = text.replace(character, f"\\{character}")
    return text
