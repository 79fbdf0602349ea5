"""What `make chaos` prints: a table of faults by kind and loop, and what went wrong."""

import platform
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.chaos.execution import Outcome
from tests.chaos.injection import MUST_SAY
from tests.chaos.plan import BETWEEN, KINDS, LOOPS

BEGIN, END = "<!-- table -->", "<!-- end of table -->"
"""The lines of a page between which the table is replaced."""


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table: what was injected, survived and detected, and samples lost and repeated, in Markdown."""
    lines = [
        "| fault | loop | injected | survived | detected | samples lost | repeated |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        _row(kind, loop, [one for one in outcomes if one.history.loop == loop]) for kind in KINDS for loop in LOOPS
    ]
    total = [_counts(kind, loop, outcomes) for kind in KINDS for loop in LOOPS]
    injected, survived, detected = (sum(counts[column] for counts in total) for column in range(3))
    lost, repeated = _samples(outcomes)
    lines.append(f"| **all** | | {injected} | {survived} | {detected} | {lost} | {repeated} |")
    return "\n".join(lines)


def _counts(kind: str, loop: str, outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    found = [
        (injected, outcome)
        for outcome in outcomes
        for injected in outcome.injected
        if (injected.kind, injected.loop) == (kind, loop)
    ]
    survived = sum(not outcome.problems for _, outcome in found)
    return len(found), survived, sum(injected.is_detected for injected, _ in found)


def _samples(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict is not None]
    return sum(one.lost for one in verdicts), sum(one.repeated for one in verdicts)


def _row(kind: str, loop: str, outcomes: Sequence[Outcome]) -> str:
    injected, survived, detected = _counts(kind, loop, outcomes)
    hit = [outcome for outcome in outcomes if any(one.kind == kind for one in outcome.injected)]
    lost, repeated = _samples(hit)
    shown = detected if kind in MUST_SAY or kind in BETWEEN[:3] else "–"  # noqa: RUF001 - nothing to say
    return f"| {kind} | {loop} | {injected} | {survived} | {shown} | {lost} | {repeated} |"


def problems_of(outcomes: Sequence[Outcome], *, seed: int, count: int, folder: Path) -> list[str]:
    """Return a line per problem, and how to repeat the history."""
    return [
        f"history {outcome.history.number}: {'; '.join(outcome.problems)}\n  kept in {folder}/failed-"
        f"{outcome.history.number}; again: make chaos SEED={seed} COUNT={count} ARGS='--only {outcome.history.number}'"
        for outcome in outcomes
        if outcome.problems
    ]


def document(page: Path, outcomes: Sequence[Outcome], *, seed: int, count: int, minutes: float) -> None:
    """Replace the table of a page."""
    starts = sum(outcome.num_starts for outcome in outcomes)
    disks = " and ".join(sorted({disk for outcome in outcomes for disk in outcome.disks})) or "none"
    wrong = sum(bool(outcome.problems) for outcome in outcomes)
    text = (
        f"`make chaos SEED={seed} COUNT={count}`: {len(outcomes)} histories with {starts} starts in {minutes:.0f} "
        f"minutes, of which {wrong} went wrong; Python {platform.python_version()}, torch {torch.__version__}; full "
        f"disk: {disks}."
    )
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    page.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text}\n\n{table(outcomes)}\n{END}", page.read_text()))
