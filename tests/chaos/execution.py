"""One history: starts, faults, restarts, and the check at the end."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from bionemo.data import read_run_log
from tests.chaos import disk
from tests.chaos.plan import Fault, History, Start
from tests.chaos.processes import LIMIT, Running
from tests.chaos.training import BATCH_SIZE, LIGHTNING_EPOCH, Failure, Settings, make_pipeline
from tests.chaos.verdict import Verdict, judge

MUST_SAY = {
    "exception in a step": ["FailedStepError"],
    "data set raises": ["Input/output error of sample", "position"],
    "worker killed": ["DataLoader worker"],
    "full disk": ["No space left on device", "File too large"],
    "two processes in one folder": ["must be written by one process at a time"],
}
"""What the error of a fault must say."""

REFUSED_DAMAGE = ("must be a whole checkpoint", "must be a complete checkpoint")
"""What the error of a damaged checkpoint says."""

ALL_OF = {"data set raises"}


class ChaosError(Exception):
    """What must not happen."""


@attrs.define(eq=False)
class Injected:
    """A fault that was injected, and whether the run ended with an error that says what it was."""

    loop: str
    kind: str
    is_detected: bool = False


@attrs.define
class Outcome:
    """What a history has come to."""

    history: History
    injected: list[Injected] = attrs.field(factory=list)
    num_starts: int = 0
    verdict: Verdict | None = None
    error: str = ""
    disks: set[str] = attrs.field(factory=set)

    @property
    def problems(self) -> list[str]:
        return [*([self.error] if self.error else []), *(self.verdict.problems if self.verdict else [])]


class Execution:
    """The state of one history that is under way."""

    def __init__(self, history: History, folder: Path) -> None:
        self.folder, self.run, self.history = folder, folder / "run", history
        self.outcome = Outcome(history)
        folder.mkdir(parents=True)
        self.is_mounted = disk.mount(self.run)
        self.batch_sizes = {BATCH_SIZE}
        self.batch_size = BATCH_SIZE

    def settings(self, start: Start) -> Settings:
        """Return the settings of a start, with another batch size if it may change where the run resumes."""
        if start.is_other_batch_size and self._may_change_batch_size():
            self.batch_size = {6: 4, 4: 8, 8: 12, 12: 6}[self.batch_size]
            self.batch_sizes.add(self.batch_size)
        failure = None
        fault = start.ending
        if fault is not None and fault.kind in {"exception in a step", "data set raises"}:
            kind = "data" if fault.kind == "data set raises" else "step"
            ranks, hooks = (int(draw * number) for draw, number in zip(fault.draws, (start.ranks, 3), strict=False))
            failure = Failure(kind=kind, position=fault.position or 0, rank=ranks, hook=hooks)
        return Settings(
            folder=str(self.run),
            progress=str(self.folder / "progress"),
            seed=self.history.seed,
            batch_size=self.batch_size,
            num_workers=start.num_workers,
            num_threads=start.num_threads,
            dropout=dropout(self.history),
            pause=0.005,
            failure=failure,
        )

    def _may_change_batch_size(self) -> bool:
        if self.history.loop == "plain loop":
            return True
        found = disk.checkpoints(self.run)
        if not found or any(self._is_damaged(path) for path in found):
            return not found
        position = torch.load(found[0], weights_only=False)["loops"]["fit_loop"]["state_dict"]["combined_loader"]
        return bool(position) and position[0]["consumed_samples"] % LIGHTNING_EPOCH == 0

    @staticmethod
    def _is_damaged(path: Path) -> bool:
        try:
            torch.load(path, weights_only=False)
        except Exception:  # noqa: BLE001 - whatever torch raises
            return True
        return False

    def launch(self, start: Start, settings: Settings) -> Running:
        self.outcome.num_starts += 1
        output = self.folder / f"output-{self.outcome.num_starts}.txt"
        Path(settings.progress).write_text("")
        return Running(self.history.loop, settings, ranks=start.ranks, folder=self.folder, output=output)

    def is_finished(self) -> bool:
        return (self.run / "weights.pt").exists()

    def start(self, start: Start, damaged: list[tuple[Path, Injected]]) -> None:
        """Make one start, with its faults; start again if a damaged checkpoint is refused, as the error says."""
        settings = self.settings(start)
        while True:
            running = self.launch(start, settings)
            try:
                for fault, inject in ((start.joining, self._join), (start.ending, self._end)):
                    if fault is not None and self._wait_for(running, fault):
                        inject(running, fault, start, settings)
                if start.ending is None:
                    running.wait(running.has_ended)
                hangs = running.end()
            finally:
                running.kill()
                disk.free(self.run)
            said = running.said()
            if hangs:
                raise ChaosError(f"start {self.outcome.num_starts} hangs")
            refused = [one for one in damaged if one[0].exists() and any(words in said for words in REFUSED_DAMAGE)]
            if not refused:
                return
            for path, injected in refused:
                injected.is_detected = True
                path.rename(path.with_name(f"damaged-{path.name}"))
                damaged.remove((path, injected))

    def _wait_for(self, running: Running, fault: Fault) -> bool:
        """Wait for the moment of a fault, and return whether the run still lives."""
        if fault.kind in {"exception in a step", "data set raises"}:
            return True  # the run raises it by itself
        if fault.position is not None:
            came = running.wait(lambda: self._position(running) >= (fault.position or 0))
            if not came and not running.has_ended():
                running.end()
                raise ChaosError(f"start {self.outcome.num_starts} makes no progress")
        time.sleep(fault.seconds)
        return not running.has_ended()

    def _position(self, running: Running) -> int:
        lines = (self.folder / "progress").read_text().splitlines()
        return int(lines[-1]) if lines and lines[-1].isdigit() else -1

    def _join(self, running: Running, fault: Fault, start: Start, settings: Settings) -> None:
        """Start the same run once more while the first is suspended, so that both are there for sure."""
        tree = running.tree()
        running.send(signal.SIGSTOP, tree)
        try:
            second = self.launch(start, attrs.evolve(settings, progress=str(self.folder / "progress-2")))
            try:
                hangs = second.end()
            finally:
                second.kill()
        finally:
            running.send(signal.SIGCONT, tree)
        injected = self._inject(fault)
        self._check_said(second, injected)
        if hangs or self.is_finished():
            raise ChaosError("the second process in a folder must be refused")

    def _end(self, running: Running, fault: Fault, start: Start, settings: Settings) -> None:
        """Inject the fault that ends a start, and wait for the end."""
        ranks = running.ranks()
        if not ranks:  # torchrun's agent has not started any yet
            ranks = running.tree()
        one = ranks[int(fault.draws[0] * len(ranks))]
        injected = self._inject(fault)
        match fault.kind:
            case "SIGKILL":
                running.send(signal.SIGKILL, [one] if fault.draws[1] < 0.5 else running.tree())
            case "SIGTERM":  # an agent passes it on
                running.send(signal.SIGTERM, running.tree()[:1] and self._leaders(running))
            case "SIGINT":  # as Ctrl-C
                running.send(signal.SIGINT, [*self._leaders(running), *ranks])
            case "SIGUSR1":
                self._requeue(running, ranks, fault)
            case "worker killed":
                self._kill_worker(running, fault)
            case "full disk":
                self.outcome.disks.add(disk.fill(self.run, fault, ranks, is_mounted=self.is_mounted))
        if running.end():
            raise ChaosError(f"start {self.outcome.num_starts} hangs after {fault.kind}")
        if self.is_finished():
            self.outcome.injected.remove(injected)  # it came too late
        else:
            self._check_said(running, injected)

    def _leaders(self, running: Running) -> list[Any]:
        pids = {process.pid for process in running.processes}
        return [process for process in running.tree() if process.pid in pids]

    def _requeue(self, running: Running, ranks: list[Any], fault: Fault) -> None:
        """Send SIGUSR1 to the ranks; a Lightning run saves, asks for its requeue, and is ended by the scheduler."""
        log = self.folder / "scontrol.log"
        before = log.read_text() if log.exists() else ""
        running.send(signal.SIGUSR1, ranks)
        if self.history.loop == "Lightning":
            running.wait(lambda: (log.read_text() if log.exists() else "") != before, seconds=LIMIT)
            running.send(signal.SIGTERM if fault.draws[1] < 0.5 else signal.SIGKILL, running.tree())

    def _kill_worker(self, running: Running, fault: Fault) -> None:
        if running.wait(lambda: bool(running.workers()), seconds=30):
            workers = running.workers()
            running.send(signal.SIGKILL, [workers[int(fault.draws[1] * len(workers))]])

    def _inject(self, fault: Fault) -> Injected:
        injected = Injected(self.history.loop, fault.kind)
        self.outcome.injected.append(injected)
        return injected

    def _check_said(self, running: Running, injected: Injected) -> None:
        """Check that the error of a fault says what it was."""
        words = MUST_SAY.get(injected.kind)
        if words is None:
            return
        has = all if injected.kind in ALL_OF else any
        injected.is_detected = has(word in running.said() for word in words)
        if not injected.is_detected:
            raise ChaosError(f"the output of start {self.outcome.num_starts} must name the fault: {injected.kind}")

    def between(self, start: Start) -> list[tuple[Path, Injected]]:
        """Inject the faults between two starts, and return the damaged checkpoints."""
        damaged = []
        for fault in start.between:
            if fault.kind == "clock jumps":
                if disk.move_clock(self.run, fault):
                    self._inject(fault)
            elif (path := disk.damage(self.run, fault)) is not None:
                damaged.append((path, self._inject(fault)))
        return damaged

    def train(self) -> None:
        damaged: list[tuple[Path, Injected]] = []
        for start in self.history.starts:
            if self.is_finished():
                break
            self.start(start, damaged)
            damaged = self.between(start)
        if not self.is_finished():
            self.start(Start(ranks=1), damaged)
        if not self.is_finished():
            raise ChaosError(f"start {self.outcome.num_starts}, which nothing disturbed, must train to the end")


def dropout(history: History) -> float:
    """Return the model's dropout: each rank draws for itself, so that runs on other ranks are equal without it only."""
    return 0.3 if history.varies == "workers" else 0.0


def execute(history: History, folder: Path, reference: Callable[[History], dict[str, Tensor]]) -> Outcome:
    """Make a history in a new folder, and judge it; what goes wrong is in the outcome."""
    execution = Execution(history, folder)
    outcome = execution.outcome
    try:
        execution.train()
        has_one_batch_size = execution.batch_sizes == {BATCH_SIZE}
        outcome.verdict = judge(
            read_run_log(execution.run / "log.jsonl"),
            make_pipeline(execution.settings(Start(ranks=1))),
            torch.load(execution.run / "weights.pt"),
            expected=reference(history) if has_one_batch_size else None,
            is_exact=history.varies == "workers",
            any_batch_size=not has_one_batch_size,
        )
    except Exception as error:  # noqa: BLE001 - reported with the history's folder
        outcome.error = f"{type(error).__name__}: {error}"
    return outcome


def train_uninterrupted(history: History, folder: Path) -> dict[str, Tensor]:
    """Return the weights of a history's run in one process, without a fault."""
    whole = attrs.evolve(history, starts=(Start(ranks=1),))
    execution = Execution(whole, folder)
    execution.train()
    return torch.load(execution.run / "weights.pt")
