"""Results in a file: JSON lines, the first the run, then one measurement each."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from benchmarks.machine import Run
from benchmarks.record import Measurement
from bionemo.core.record import from_json, to_json

FOLDER = Path(__file__).parents[1] / ".cache" / "benchmarks"


def to_lines(run: Run, measurements: Iterable[Measurement]) -> str:
    """Return the text of a file.

    Law: `from_lines(to_lines(run, measurements)) == (run, measurements)`.
    """
    return "".join(f"{to_json(record)}\n" for record in (run, *measurements))


def from_lines(text: str) -> tuple[Run, list[Measurement]]:
    """Return the run and the measurements of a file's text."""
    first, *others = text.splitlines()
    return from_json(first, kinds=[Run]), [from_json(line, kinds=[Measurement]) for line in others]


def replaced(
    run: Run, measurements: Sequence[Measurement], by: Run, others: Sequence[Measurement]
) -> tuple[Run, list[Measurement]]:
    """Return a run and its measurements, in which those of some subjects are replaced by a later run's.

    Args:
        run: the run.
        measurements: its measurements.
        by: the later run.
        others: its measurements; each of their subjects is also in `measurements`.
    """
    later = dict.fromkeys(one.subject for one in others)
    found = [
        one
        for subject in dict.fromkeys(one.subject for one in measurements)
        for one in (others if subject in later else measurements)
        if one.subject == subject
    ]
    again = (*run.again, f"{', '.join(later)}: {by.date}, {by.commit}, load {by.load:g}")
    return attrs.evolve(run, again=again), found
