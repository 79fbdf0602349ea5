"""Faults as they reach the processes of a run, and what its output must say about them."""

import signal
from pathlib import Path
from typing import Any, Final

import attrs

from bionemo.adapters.distributed import digests
from bionemo.adapters.lightning import check_checkpoint
from tests.chaos import disk
from tests.chaos.plan import Fault
from tests.chaos.processes import LIMIT, Running

BY_THE_RUN: Final = {"exception in a step", "data set raises"}
"""Faults that the run itself makes, as its settings say."""

MUST_SAY: Final = {
    "exception in a step": ["FailedStepError"],
    "data set raises": ["Input/output error of sample", "position"],
    "worker killed": ["DataLoader worker"],
    "full disk": ["No space left on device", "File too large"],
    "two processes in one folder": ["must be written by one process at a time"],
}
"""What the output of a start must say about a fault: all of it about a data set, else any."""


@attrs.define(eq=False)
class Injected:
    """A fault that was injected, and whether it was named."""

    loop: str
    kind: str
    is_detected: bool = False


def is_named(kind: str, output: str) -> bool:
    """Return whether an output names a fault."""
    has = all if kind == "data set raises" else any
    return has(words in output for words in MUST_SAY[kind])


def is_refused(path: Path) -> bool:
    """Return whether the library finds a checkpoint damaged."""
    if path.suffix != ".ckpt":
        return digests.damage(path) is not None
    try:
        check_checkpoint(path)
    except (FileNotFoundError, ValueError):
        return True
    return False


def strike(running: Running, fault: Fault, *, folder: Path, run: Path, is_mounted: bool) -> str:
    """Inject a fault that ends a start, and return what it was injected with, if there is a choice."""
    ranks = running.ranks() or running.tree()  # torchrun's agent may not have started any yet
    match fault.kind:
        case "SIGKILL":
            one = ranks[int(fault.draws[0] * len(ranks))]
            running.send(signal.SIGKILL, [one] if fault.draws[1] < 0.5 else running.tree())
        case "SIGTERM":  # an agent passes it on
            running.send(signal.SIGTERM, _leaders(running))
        case "SIGINT":  # as Ctrl-C
            running.send(signal.SIGINT, [*_leaders(running), *ranks])
        case "SIGUSR1":
            _requeue(running, ranks, fault, folder / "scontrol.log")
        case "worker killed":
            _kill_worker(running, fault)
        case "full disk":
            return disk.fill(run, fault, ranks, is_mounted=is_mounted)
    return ""


def _leaders(running: Running) -> list[Any]:
    pids = {process.pid for process in running.processes}
    return [process for process in running.tree() if process.pid in pids]


def _requeue(running: Running, ranks: list[Any], fault: Fault, log: Path) -> None:
    """Send SIGUSR1 to the ranks; a Lightning run saves, asks for its requeue, and is ended by the scheduler."""
    before = log.read_text() if log.exists() else ""
    running.send(signal.SIGUSR1, ranks)
    if running.loop == "Lightning":
        running.wait(lambda: (log.read_text() if log.exists() else "") != before, seconds=LIMIT)
        running.send(signal.SIGTERM if fault.draws[1] < 0.5 else signal.SIGKILL, running.tree())


def _kill_worker(running: Running, fault: Fault) -> None:
    if running.wait(lambda: bool(running.workers()), seconds=30):
        workers = running.workers()
        running.send(signal.SIGKILL, [workers[int(fault.draws[1] * len(workers))]])
