"""`make chaos`: what it plans, that its check finds a lost and a repeated sample, and a short run of real faults."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from bionemo.data import LoggedBatch, index_at
from tests.chaos.execution import Outcome
from tests.chaos.injection import Injected
from tests.chaos.plan import BETWEEN, ENDING, KINDS, LOOPS, plan
from tests.chaos.report import BEGIN, END, document, problems_of, table
from tests.chaos.training import BATCH_SIZE, LENGTH, NUM_SAMPLES, Settings, make_pipeline
from tests.chaos.verdict import Verdict, judge
from tests.torchrun import ROOT

PIPELINE = make_pipeline(Settings(folder="", progress=""))
WEIGHTS = {"layers": torch.arange(3.0), "seen": torch.ones(NUM_SAMPLES, dtype=torch.int64)}


@pytest.fixture(scope="module")
def log() -> list[LoggedBatch]:
    """Return the log of a run on one rank."""
    rows = np.stack(index_at(PIPELINE.order, range(NUM_SAMPLES)), axis=1).tolist()
    return [
        LoggedBatch(step, 0, rows[step * BATCH_SIZE : (step + 1) * BATCH_SIZE], 1)
        for step in range(NUM_SAMPLES // BATCH_SIZE)
    ]


def verdict(log: list[LoggedBatch], weights=WEIGHTS, *, is_exact: bool = True) -> Verdict:
    return judge(log, PIPELINE, weights, expected=WEIGHTS, is_exact=is_exact, any_batch_size=False)


def test_a_right_history_is_found_right(log) -> None:
    assert verdict(log) == (0, 0, [])
    assert verdict([*log[:50], *log[40:]]) == (0, 0, [])  # killed after step 49, and resumed at 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log[:-1], "must begin at step 0 and hold all samples"),
        (lambda log: log[1:], "must begin at step 0"),
        (lambda log: [*log[:9], *log[10:]], "step 9 must be in the log"),
        (lambda log: [*log[:9], log[9]._replace(ids=log[9].ids[1:]), *log[10:]], "read all samples of its part of st"),
        (lambda log: [*log[:9], log[9]._replace(ids=log[8].ids), *log[10:]], "must have read sample"),
        (lambda log: [*log[:50], *log[51:], log[50]], "must begin at step 0 and hold all samples"),
    ],
    ids=["the last step lost", "the first", "one", "a sample lost", "samples repeated", "resumed, and not trained on"],
)
def test_a_log_that_is_not_right_is_found(log, change, message: str) -> None:
    (problem,) = verdict(change(log)).problems
    assert message in problem


def test_samples_that_the_weights_have_lost_or_seen_again_are_counted(log) -> None:
    seen = WEIGHTS["seen"].clone()
    seen[[3, 500]] = 0
    seen[7] = 4
    assert verdict(log, WEIGHTS | {"seen": seen}) == (
        2,
        3,
        ["the final weights lack 2 samples and have seen 3 again"],
    )


def test_weights_that_differ_are_found(log) -> None:
    close = WEIGHTS | {"layers": WEIGHTS["layers"].double() + 1e-12}
    assert not verdict(log, close, is_exact=False).problems
    assert "uninterrupted run to the bit, but differ by 1e-12" in verdict(log, close).problems[0]
    for wrong in (torch.tensor([0.0, 1.0, torch.nan]), torch.zeros(2)):
        assert "differ by" in verdict(log, WEIGHTS | {"layers": wrong}, is_exact=False).problems[0]


def test_a_plan_is_a_function_of_its_seed_with_all_kinds_equally_often() -> None:
    histories = plan(seed=1, count=200)
    assert histories == plan(seed=1, count=200) != plan(seed=2, count=200)
    found = Counter((history.loop, fault.kind) for history in histories for fault in history.faults)
    assert set(found) == {(loop, kind) for loop in LOOPS for kind in KINDS}
    assert sum(found.values()) == 200
    assert max(found.values()) - min(found.values()) <= 1
    for history in histories:
        *interrupted, last = history.starts
        assert last.ending is None
        assert all(start.ending is not None and start.ending.kind in ENDING for start in interrupted)
        assert all(fault.kind in BETWEEN for start in interrupted for fault in start.between)
        moments = [start.ending.position for start in interrupted if start.ending.position is not None]
        assert moments == sorted(moments)
        assert all(moment < NUM_SAMPLES for moment in moments)
        assert history.varies != "workers" or {start.ranks for start in history.starts} == {1}


def test_samples_of_a_run_have_numbers() -> None:
    assert PIPELINE.order.num_samples == NUM_SAMPLES
    assert NUM_SAMPLES % LENGTH == 0


def test_the_table_counts_faults_and_failures_name_their_command(tmp_path: Path) -> None:
    history = plan(seed=1, count=6)[0]
    right = Outcome(history, injected=[Injected(history.loop, "full disk", is_detected=True)], num_starts=2)
    right.verdict = Verdict(0, 0, [])
    wrong = Outcome(attrs.evolve(history, number=4), injected=[Injected(history.loop, "full disk")], error="it hangs")
    wrong.verdict = Verdict(3, 1, [])
    assert f"| full disk | {history.loop} | 2 | 1 | 1 | 3 | 1 |" in table([right, wrong])
    assert not problems_of([right], seed=1, count=6, folder=tmp_path)
    (problem,) = problems_of([right, wrong], seed=1, count=6, folder=tmp_path)
    assert "history 4: it hangs" in problem
    assert "make chaos SEED=1 COUNT=6 ARGS='--only 4'" in problem
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    document(page, [right], seed=1, count=6, minutes=1.0)
    assert re.fullmatch(rf"before\n{BEGIN}\n`make chaos SEED=1 COUNT=6`.*\n{END}\nafter\n", page.read_text(), re.DOTALL)


@pytest.mark.slow
def test_real_faults_are_survived(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seed", "7", "--count", "6", "--folder", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Nothing else was found" in run.stdout
    (total,) = re.findall(r"\*\*all\*\* \| \| (\d+) \| (\d+) \| \d+ \| 0 \| 0 \|", run.stdout)
    assert total[0] == total[1]
    assert int(total[0]) >= 5  # one may come too late, when the run has ended
