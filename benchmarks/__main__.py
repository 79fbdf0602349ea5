"""The benchmarks: `python -m benchmarks [--quick] [SUBJECT ...]`, and `python -m benchmarks report [FILE]`.

A run measures each subject in a process of its own, and writes the results to `.cache/benchmarks`. A full one of all
subjects also writes the page docs/benchmarks.md with its pictures. `report` writes the page again without measuring.
"""

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.machine import Run, this_run
from benchmarks.measure import FULL, QUICK, ROOT, SETTINGS
from benchmarks.page import TITLES, page
from benchmarks.record import Measurement, Side
from benchmarks.results import FOLDER, from_lines, replaced, to_lines
from benchmarks.table import missed, slower, text_table
from bionemo.core.record import from_json, to_json

DOCS = ROOT / "docs"
QUICK_SUBJECTS = (
    "permutations",
    "orders",
    "mixtures",
    "loaders",
    "batches",
    "packing",
    "end_to_end",
    "startup",
    "growth",
)
LONGEST = {True: 90, False: 900}
"""Seconds that a subject may take, in a quick run and in a full one: what it has measured by then is kept."""


def measure(subject: str, path: Path, *, is_quick: bool) -> None:
    """Measure a subject in this process: print each row, and add it to a file."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    module = importlib.import_module(f"benchmarks.subjects.{subject}")
    with path.open("a") as file:
        for one in module.measure(QUICK if is_quick else FULL):
            found = attrs.evolve(one, subject=subject)
            file.write(f"{to_json(found)}\n")
            file.flush()
            print(text_table([found]).splitlines()[1], flush=True)


def measured(subject: str, *, is_quick: bool) -> list[Measurement]:
    """Return the measurements of a subject, made in a process of its own; one that fails is a row that says so."""
    path = FOLDER / f"{subject}.part"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks", "measure", subject, str(path), *(["--quick"] if is_quick else [])]
    environment = os.environ | SETTINGS | {"PYTHONPATH": str(ROOT)}
    reason = ""
    try:
        limit = LONGEST[is_quick]
        done = subprocess.run(command, cwd=ROOT, env=environment, timeout=limit, check=False)  # noqa: S603
        reason = f"failed with status {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired as error:
        reason = f"stopped after {error.timeout:g} s"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    found = [from_json(line, kinds=[Measurement]) for line in lines]
    if reason:
        side = Side(name="this library", reason=reason, is_ours=True)
        found.append(Measurement(subject=subject, what="the rest of this subject", unit="s", ours=side))
    return found


def run(subjects: Sequence[str], *, is_quick: bool) -> Path:
    """Measure subjects, write the results to a file, print what misses or loses, and return the file's path.

    The file is written after each subject, so that a run that is stopped leaves what it has measured.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    is_all = not is_quick and list(subjects) == list(TITLES)
    path = FOLDER / ("full.jsonl" if is_all else "quick.jsonl" if is_quick else "part.jsonl")
    began, record = time.perf_counter(), this_run(is_quick=is_quick)
    found: list[Measurement] = []
    for subject in subjects:
        print(f"\n{TITLES[subject]}", flush=True)
        found += measured(subject, is_quick=is_quick)
        record = attrs.evolve(record, minutes=round((time.perf_counter() - began) / 60, 1))
        path.write_text(to_lines(record, found))
    for title, rows in (("Targets that are missed", missed(found)), ("Where we are slower", slower(found))):
        print(f"\n{title}\n{text_table(rows) if rows else 'No row.'}")
    print(f"\n{len(found)} rows in {record.minutes} minutes: {path.relative_to(ROOT)}")
    return path


def report(path: Path) -> None:
    """Write the page and its pictures from a file of results."""
    draw = importlib.import_module("benchmarks.figures").draw
    record, found = from_lines(path.read_text())
    pictures = draw(found, DOCS / "images")
    links = [(str(picture.relative_to(DOCS)), title) for picture, title in pictures]
    write_page(record, found, links)


def write_page(record: Run, found: Sequence[Measurement], links: Sequence[tuple[str, str]]) -> None:
    """Write the page."""
    (DOCS / "benchmarks.md").write_text(page(record, found, links))
    print("docs/benchmarks.md is written.")


def main(arguments: Sequence[str]) -> None:
    """Run what the arguments ask for."""
    if arguments[:1] == ["measure"]:
        measure(arguments[1], Path(arguments[2]), is_quick="--quick" in arguments)
        return
    if arguments[:1] == ["report"]:
        report(Path(arguments[1]) if arguments[1:] else FOLDER / "full.jsonl")
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"one or more of {', '.join(TITLES)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes, the most important rows")
    parser.add_argument("--again", action="store_true", help="replace the subjects in the results of the last full run")
    given = parser.parse_args(arguments)
    if unknown := set(given.subjects) - set(TITLES):
        parser.error(f"SUBJECT must be one of {', '.join(TITLES)}, got {', '.join(sorted(unknown))}.")
    chosen = given.subjects or (QUICK_SUBJECTS if given.quick else list(TITLES))
    path = run(chosen, is_quick=given.quick)
    if given.again and path.name == "part.jsonl":
        full = FOLDER / "full.jsonl"
        full.write_text(to_lines(*replaced(*from_lines(full.read_text()), *from_lines(path.read_text()))))
        path = full
    if path.name == "full.jsonl":
        report(path)


if __name__ == "__main__":
    main(sys.argv[1:])
