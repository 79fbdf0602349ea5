"""Results in a file: JSON lines, the first the run, then one measurement each."""

from collections.abc import Iterable
from pathlib import Path

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
