"""Measurements as the page docs/benchmarks.md."""

from collections.abc import Sequence
from itertools import groupby

from benchmarks.machine import Run
from benchmarks.record import Measurement, is_met, ratios
from benchmarks.table import escaped, markdown_table, missed, slower, unmeasured

HEAD = """# Benchmarks

{command} wrote this page; anyone can run it again. Each row compares this library with what one would use instead.
One thread, and data in memory or in the page cache. Memory that is freed is kept for what follows, as glibc does in a
process that has freed 32 MB at once.

**How to read it.** The ratio says how many times as good as the other side's our number is: above 1x this library is
better, below 1x the other. Rounds of both sides alternate, so that a machine that slows down for a while slows both;
start-up, memory and growth are measured in new processes. Numbers are medians of the rounds, with the quartiles in
parentheses, and a ratio is the median of the rounds' ratios. A target is what this library set out to reach; a row
without a ratio has a limit instead. What each side does is part of its name. The profiles of what is missed are on
the page [where the time goes](where_the_time_goes.md).
"""

TITLES = {
    "permutations": "Shuffling",
    "orders": "Orders and draws",
    "mixtures": "Mixtures",
    "clusters": "Clusters",
    "loaders": "Loaders",
    "batches": "Padding and masks",
    "packing": "Packing",
    "end_to_end": "End to end",
    "cells": "Cells on disk",
    "files": "Rows on disk",
    "startup": "Import times",
    "growth": "Start-up, memory, and growth with size",
}


def page(run: Run, measurements: Sequence[Measurement], figures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page as Markdown.

    Args:
        run: what it was measured on.
        measurements: all of them, in the order of the page.
        figures: paths of pictures, relative to the page, and what they show.
    """
    command = "`make bench-quick`" if run.is_quick else "`make bench`"
    parts = [HEAD.format(command=command), machine(run), summary(measurements)]
    parts += section("Targets that are missed", missed(measurements), "Every target is met.")
    parts += section("Where we are slower", slower(measurements), "No row.")
    rows = unmeasured(measurements)
    parts += section("What could not be measured", rows, "Everything was measured.")
    if figures:
        parts += ["## Growth\n", *(f"![{text}]({path})\n" for path, text in figures)]
    for subject, group in groupby(measurements, _subject):
        parts += section(TITLES.get(subject, subject), list(group), "")
    return "\n".join(parts)


def section(title: str, rows: Sequence[Measurement], otherwise: str) -> list[str]:
    """Return the parts of a section: a table, or a sentence if it has no rows."""
    return [f"## {title}\n", f"{markdown_table(rows) if rows else otherwise}\n"]


def machine(run: Run) -> str:
    """Return what the run was measured on."""
    lines = {
        "processor": run.processor,
        "memory": f"{run.memory:g} GB",
        "kernel": run.kernel,
        "versions": ", ".join(run.versions),
        "date": run.date,
        "commit": run.commit,
        "load of other programs at the start": f"{run.load:g} running processes",
        "duration": f"{run.minutes:.1f} minutes",
    }
    if run.again:
        lines["measured again later"] = "; ".join(run.again)
    rows = "".join(f"| {name} | {escaped(text)} |\n" for name, text in lines.items())
    return f"| this run | |\n|---|---|\n{rows}"


def summary(measurements: Sequence[Measurement]) -> str:
    """Return a table with a row per subject: in how many comparisons we are better, how many targets are met."""
    names = ("comparisons", "better here", "better there", "targets met", "missed")
    lines = [f"| subject | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    groups = [(TITLES.get(subject, subject), list(group)) for subject, group in groupby(measurements, _subject)]
    for title, group in [*groups, ("**all**", list(measurements))]:
        compared = [one for one in group if ratios(one) and not (one.peer and one.peer.is_ours)]
        met = [is_met(one) for one in group]
        lost = len(slower(group))
        counts = (len(compared), len(compared) - lost, lost, met.count(True), met.count(False))
        lines.append(f"| {title} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"


def _subject(measurement: Measurement) -> str:
    return measurement.subject
