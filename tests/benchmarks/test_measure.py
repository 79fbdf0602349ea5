"""Measuring: what is counted, and that a peer that fails is a row that says so. No test is decided by a timing."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.measure import QUICK, ROOT, Call, Effort, call_of, limited, printed, race, timed
from benchmarks.programs import OTHERS, OURS
from benchmarks.record import is_met
from benchmarks.results import from_lines
from benchmarks.subjects import growth

ONCE = Effort(1, 0.0, is_quick=True)


def test_rounds_alternate() -> None:
    calls: list[str] = []
    run = {name: lambda name=name: [*range(3000), calls.append(name)] for name in ("ours", "theirs")}
    ours, theirs = (Call(name, function, per=2) for name, function in run.items())
    (found,) = race("time", ours, theirs, effort=Effort(4, 60.0, is_quick=True), axis="size", size=3)
    assert len(found.ours.rounds) == len(found.peer.rounds) == 4
    changes = sum(before != after for before, after in pairwise(calls))
    assert changes == 1 + 1 + 2 * 3 + 1  # the calls that warm up, then four rounds of both
    assert found.ours.is_ours
    assert not found.peer.is_ours
    assert (found.axis, found.size) == ("size", 3)


def test_a_comparison_without_time_has_three_rounds() -> None:
    (found,) = race("time", Call("ours", int), Call("theirs", int), effort=Effort(9, 0.0, is_quick=True))
    assert len(found.ours.rounds) == len(found.peer.rounds) == 3


def test_a_peer_that_fails_is_a_row_with_the_reason() -> None:
    def fail() -> None:
        raise OSError(f"no shared memory{'!' * 500}\nsecond line")

    absent = call_of(peers.Peer("absent", None, "not installed: no wheel"), lambda module: module.load)
    unprepared = call_of(peers.Peer("unprepared", re), lambda module: module.no_such_function, "by name")
    others = (absent, unprepared, Call("failing", fail), Call("running", int))
    found = race("time", Call("ours", int), *others, effort=ONCE)
    reasons = {one.peer.name: one.peer.reason for one in found}
    assert reasons["absent"] == "not installed: no wheel"
    assert reasons["unprepared by name"].startswith("AttributeError: module 're' has no attribute")
    assert reasons["failing"].startswith("OSError: no shared memory!")
    assert len(reasons["failing"]) == 150
    assert [len(one.peer.rounds) for one in found] == [0, 0, 0, 1]


def test_ours_may_not_fail() -> None:
    with pytest.raises(ZeroDivisionError, match="division"):
        race("time", Call("ours", lambda: 1 / 0), Call("theirs", int), effort=ONCE)


def test_a_limit() -> None:
    assert is_met(limited("files", "loader", 0, unit="files", limit=1))
    assert is_met(limited("files", "loader", 1, unit="files", limit=1)) is False
    found = timed("time", "int", int, effort=Effort(5, 60.0, is_quick=True), limit=1e9)
    assert len(found.ours.rounds) == 5
    assert is_met(found)


def test_a_program_runs_in_a_process_of_its_own_with_one_thread() -> None:
    text = "import json, os, bionemo.core; print('noise'); print(json.dumps([os.environ['OMP_NUM_THREADS'], "
    found = printed(["-c", text + "bionemo.core.__path__[0], os.getpid()]))"])
    assert found[:2] == ["1", str(ROOT / "bionemo" / "core")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ValueError('too many samples')", "ValueError: too many samples"),
        ("import time; time.sleep(60)", "stopped after 1 s"),
        ("held = bytearray(2**30)", "MemoryError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit status -9"),
    ],
    ids=["error", "time", "memory", "killed"],
)
def test_a_program_that_fails_says_why(text: str, reason: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(reason)):
        printed(["-c", text], timeout=1, gigabytes=0.5)


def test_a_library_that_failed_is_not_tried_with_more_samples(monkeypatch) -> None:
    tried = []

    def run(program, size, folder):
        tried.append((program.name, size))
        if program is OTHERS[0] and size == 100:
            raise RuntimeError("MemoryError")
        return {"start": 2.0, "first": 9.0 if program is OTHERS[1] else 1.0, "each": 1e-6, "memory": 1e6 + size}

    monkeypatch.setattr(growth, "run", run)
    found = [*growth.grow("numbers", OURS, OTHERS[:2], [10, 100, 1000], QUICK)]
    assert [size for name, size in tried if name == OTHERS[0].name] == [10, 100]
    assert [size for name, size in tried if name == OTHERS[1].name] == [10]
    reasons = {(one.peer.name, one.size): one.peer.reason for one in found if one.peer}
    assert reasons[OTHERS[0].name, 1000] == "with 100: MemoryError"
    assert reasons[OTHERS[1].name, 1000] == "not tried: 10 samples took over 8 s"
    assert found[-1].ours.rounds == (990.0,)


@pytest.mark.slow
@pytest.mark.parametrize("program", [OURS, *OTHERS[:2]], ids=["ours", "DataLoader", "StatefulDataLoader"])
def test_a_program_of_a_user_runs(program) -> None:
    found = growth.run(program, 10_000, None)
    assert set(found) == set(growth.UNITS)
    assert min(found.values()) > 0


@pytest.mark.slow
def test_the_quick_benchmarks_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "batches", "packing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run, found = from_lines((ROOT / ".cache" / "benchmarks" / "quick.jsonl").read_text())
    assert run.is_quick
    assert {one.subject for one in found} == {"batches", "packing"}
    assert all(one.ours.rounds for one in found)
    assert "Where we are slower" in done.stdout
