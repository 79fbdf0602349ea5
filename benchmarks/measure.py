"""Measuring: rounds of ours and theirs in turn, numbers with a limit, and programs in processes of their own."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs

from benchmarks.peers import Peer
from benchmarks.record import Measurement, Side

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
SHORTEST = 0.02
"""Seconds: what takes less is called several times per round, so that the clock and a context switch don't matter."""

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}
"""The environment of every process that measures: one thread, no network; freed memory is kept as glibc does in a
process that has freed 32 MB at once. Otherwise a large batch's time would depend on what was measured before it."""


@attrs.frozen
class Effort:
    """How much a run measures.

    Args:
        rounds: the most rounds of a comparison.
        seconds: after this time a comparison has no further round, once it has three.
        is_quick: whether sizes are small, and only the most important rows are measured.
    """

    rounds: int
    seconds: float
    is_quick: bool

    def pick(self, full: T, quick: T) -> T:
        """Return one of two values: of a full run or of a quick one."""
        return quick if self.is_quick else full


FULL, QUICK = Effort(9, 5, is_quick=False), Effort(3, 1.0, is_quick=True)


@attrs.frozen
class Call:
    """A function to be timed, of this library or of another one.

    Args:
        name: the library, its version, and what the function does.
        run: the function, or None if it can't be run.
        per: the number of items that a call deals with: the time is divided by it.
        least_ratio: how many times as fast as this one ours shall be.
        reason: why it can't be run.
        is_ours: whether it is this library.
    """

    name: str
    run: Callable[[], Any] | None
    per: float = 1
    least_ratio: float | None = None
    reason: str = ""
    is_ours: bool = False


def call_of(peer: Peer, make: Callable[[Any], Callable[[], Any]], what: str = "", **fields: Any) -> Call:
    """Return a call of a peer; a peer that is not installed, or whose preparation fails, becomes one with a reason."""
    name = f"{peer.name} {what}".strip()
    if peer.function is None:
        return Call(name, None, reason=peer.reason, **fields)
    try:
        return Call(name, make(peer.function), **fields)
    except Exception as error:  # noqa: BLE001 - whatever fails in a peer is a row that says so
        return Call(name, None, reason=said(error), **fields)


def said(error: BaseException) -> str:
    """Return the first line of an error, cut short."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"[:150]


def race(what: str, ours: Call, *peers: Call, effort: Effort, **fields: Any) -> list[Measurement]:
    """Return a measurement per peer, of rounds in which all are called one after the other.

    Args:
        what: what is measured.
        ours: this library.
        peers: what it is compared with.
        effort: how many rounds.
        fields: other fields of the measurements.
    """
    reasons = {peer.name: peer.reason for peer in peers if peer.run is None}
    repeats: dict[str, int] = {}
    for call in (ours, *peers):
        if call.run is not None:
            try:
                repeats[call.name] = _repeats(call.run)
            except Exception as error:
                if call is ours:
                    raise
                reasons[call.name] = said(error)
    runs = [call for call in (ours, *peers) if call.name in repeats]
    rounds: dict[str, list[float]] = {call.name: [] for call in runs}
    start = time.perf_counter()
    for number in range(effort.rounds):
        if number >= 3 and time.perf_counter() - start > effort.seconds:  # noqa: PLR2004
            break
        for call in runs:
            rounds[call.name].append(_seconds(call.run, repeats[call.name]) / call.per)
    mine = Side(name=ours.name, rounds=tuple(rounds[ours.name]), is_ours=True)
    return [
        Measurement(
            what=what,
            unit="s",
            ours=mine,
            peer=Side(
                name=peer.name,
                rounds=tuple(rounds.get(peer.name, ())),
                reason=reasons.get(peer.name, ""),
                is_ours=peer.is_ours,
            ),
            least_ratio=peer.least_ratio,
            **fields,
        )
        for peer in peers
    ]


def _repeats(run: Callable[[], Any]) -> int:
    """Return how often a function is called in a round, after two calls that warm it up."""
    if _seconds(run, 1) > 1:
        return 1
    return max(1, int(SHORTEST / max(_seconds(run, 1), 1e-7)))


def _seconds(run: Any, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def timed(what: str, name: str, run: Callable[[], Any], *, effort: Effort, limit: float, per: float = 1) -> Measurement:
    """Return the time of our function, with a limit in seconds."""
    repeats = _repeats(run)
    rounds, start = [], time.perf_counter()
    while len(rounds) < effort.rounds and (len(rounds) < 3 or time.perf_counter() - start < effort.seconds):  # noqa: PLR2004
        rounds.append(_seconds(run, repeats) / per)
    return limited(what, name, *rounds, unit="s", limit=limit)


def limited(what: str, name: str, *rounds: float, unit: str, limit: float, **fields: Any) -> Measurement:
    """Return a measurement of our numbers, with a limit."""
    ours = Side(name=name, rounds=tuple(map(float, rounds)), is_ours=True)
    return Measurement(what=what, unit=unit, ours=ours, limit=limit, **fields)


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> None:
    """Call a function with each item."""
    for item in items:
        function(item)


def drain(make: Callable[[], Iterable[Any]]) -> None:
    """Read all batches of what a function makes."""
    for _ in make():
        pass


def each_of(function: Callable[[Any], Any], items: Iterable[Any]) -> Callable[[], None]:
    """Return a function that calls another one with each item."""
    return partial(each, function, items)


def printed(command: list[str], *, folders: Iterable[Path] = (), timeout: float = 60, gigabytes: float = 8) -> Any:
    """Return the JSON that a Python program prints last, run in a process of its own.

    Args:
        command: the arguments of the interpreter.
        folders: where the libraries are that it imports, beside the installed ones.
        timeout: seconds after which it is ended.
        gigabytes: the most memory that it may allocate.

    Raises:
        RuntimeError: with what it said last, if it fails or takes too long or too much.
    """
    paths = os.pathsep.join(map(str, [ROOT, *folders]))
    limit = int(gigabytes * 2**30)
    try:
        done = subprocess.run(  # noqa: S603 - our own programs
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | SETTINGS | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
    except subprocess.TimeoutExpired as error:
        message = f"stopped after {timeout:.0f} s"
        raise RuntimeError(message) from error
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeError(message[:150])
    return json.loads(done.stdout.strip().splitlines()[-1])


def resident(kind: str = "VmRSS") -> int:
    """Return the resident memory of this process in bytes; of `RssAnon`, without what is mapped from files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[kind].split()[0]) * 1024
