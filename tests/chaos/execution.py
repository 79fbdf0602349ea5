"""One history: starts, faults, restarts, and the check at the end."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import torch
from torch import Tensor

from bionemo.data import read_run_log
from tests.chaos import disk
from tests.chaos.injection import BY_THE_RUN, MUST_SAY, Injected, is_named, is_refused, strike
from tests.chaos.plan import Fault, History, Start
from tests.chaos.processes import Running
from tests.chaos.training import BATCH_SIZE, LIGHTNING_EPOCH, Failure, Settings, make_pipeline
from tests.chaos.verdict import Verdict, judge

OTHER_BATCH_SIZE = {6: 4, 4: 8, 8: 12, 12: 6}

REFUSALS = ("must be a whole checkpoint", "must be a complete checkpoint")
"""What a start says that refuses a damaged checkpoint."""


class ChaosError(Exception):
    """What must not happen."""


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
    """The state of one history that is under way, in a new folder."""

    def __init__(self, history: History, folder: Path) -> None:
        self.folder, self.run, self.history = folder, folder / "run", history
        self.outcome = Outcome(history)
        folder.mkdir(parents=True)
        self.is_mounted = disk.mount(self.run)
        self.batch_size, self.batch_sizes = BATCH_SIZE, {BATCH_SIZE}
        self.damaged: list[Path] = []

    def train(self) -> None:
        """Make all starts, and one more without a fault if the run has not ended then."""
        for start in self.history.starts:
            if not self.is_finished():
                self.start(start)
                self.between(start)
        if not self.is_finished():
            self.start(Start(ranks=1))
        if not self.is_finished():
            raise ChaosError(f"start {self.outcome.num_starts}, which nothing disturbed, must train to the end")

    def is_finished(self) -> bool:
        return (self.run / "weights.pt").exists()

    def start(self, start: Start) -> None:
        """Make one start, with its faults; move a damaged checkpoint away if it is refused, and start again."""
        settings = self.settings(start)
        while True:
            is_struck, said = self.once(start, settings)
            if not self.damaged or not any(words in said for words in REFUSALS):
                break
            for path in self.damaged:
                if path.exists():
                    path.rename(path.with_name(f"damaged-{path.name}"))
            self.damaged = []
        self.damaged = []
        if not is_struck and not self.is_finished():
            raise ChaosError(f"start {self.outcome.num_starts} must not end before a fault, or the run's end")

    def settings(self, start: Start) -> Settings:
        """Return the settings of a start, with another batch size if it may change where the run resumes."""
        if start.is_other_batch_size and self._may_change_batch_size():
            self.batch_size = OTHER_BATCH_SIZE[self.batch_size]
            self.batch_sizes.add(self.batch_size)
        failure, fault = None, start.ending
        if fault is not None and fault.kind in BY_THE_RUN:
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
            pause=0.02,
            failure=failure,
        )

    def _may_change_batch_size(self) -> bool:
        """Return whether the run resumes where the batch size may change: in Lightning where an epoch ends."""
        if self.history.loop == "plain loop":
            return True
        newest = next((path for path in disk.checkpoints(self.run) if not is_refused(path)), None)
        if newest is None:
            return True
        (loader,) = torch.load(newest, weights_only=False)["loops"]["fit_loop"]["state_dict"]["combined_loader"]
        return loader["consumed_samples"] % LIGHTNING_EPOCH == 0

    def launch(self, start: Start, settings: Settings) -> Running:
        self.outcome.num_starts += 1
        output = self.folder / f"output-{self.outcome.num_starts}.txt"
        Path(settings.progress).write_text("")
        return Running(self.history.loop, settings, ranks=start.ranks, folder=self.folder, output=output)

    def once(self, start: Start, settings: Settings) -> tuple[bool, str]:
        """Start the program, inject the faults of this start, and wait for its end.

        Returns:
            Whether the fault that ends the start was injected, and what the program has said.
        """
        running, is_struck = self.launch(start, settings), False
        try:
            if start.joining is not None and self._wait_for(running, start.joining):
                self._join(running, start.joining, start, settings)
            if start.ending is None:
                running.wait(running.has_ended)
            elif is_struck := self._wait_for(running, start.ending):
                self._end(running, start.ending)
            if running.end():
                raise ChaosError(f"start {self.outcome.num_starts} hangs")
        finally:
            running.kill()
            disk.free(self.run)
        return is_struck, running.said()

    def _wait_for(self, running: Running, fault: Fault) -> bool:
        """Wait for the moment of a fault, and return whether the run still lives."""
        if fault.kind in BY_THE_RUN:
            return True
        if fault.position is not None:
            position = fault.position
            came = running.wait(lambda: self._position() >= position)
            if not came and not running.has_ended():
                running.end()
                raise ChaosError(f"start {self.outcome.num_starts} makes no progress")
        time.sleep(fault.seconds)
        return not running.has_ended()

    def _position(self) -> int:
        """Return the position of the step that began last."""
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
        self._check_named(self._inject(fault), second)
        if hangs or self.is_finished():
            raise ChaosError("the second process in a folder must be refused")

    def _end(self, running: Running, fault: Fault) -> None:
        """Inject the fault that ends a start, and wait for the end."""
        injected = self._inject(fault)
        disk_kind = strike(running, fault, folder=self.folder, run=self.run, is_mounted=self.is_mounted)
        if running.end():
            raise ChaosError(f"start {self.outcome.num_starts} hangs after {fault.kind}")
        if self.is_finished():
            self.outcome.injected.remove(injected)  # it came too late
            return
        self._check_named(injected, running)
        self.outcome.disks |= {disk_kind} - {""}

    def _inject(self, fault: Fault) -> Injected:
        injected = Injected(self.history.loop, fault.kind)
        self.outcome.injected.append(injected)
        return injected

    def _check_named(self, injected: Injected, running: Running) -> None:
        if injected.kind in MUST_SAY:
            injected.is_detected = is_named(injected.kind, running.said())
            if not injected.is_detected:
                raise ChaosError(f"the output of start {self.outcome.num_starts} must name the fault: {injected.kind}")

    def between(self, start: Start) -> None:
        """Inject the faults between two starts; each checkpoint that is damaged must be found so."""
        for fault in () if self.is_finished() else start.between:
            if fault.kind == "clock jumps":
                if disk.move_clock(self.run, fault):
                    self._inject(fault)
            elif (path := disk.damage(self.run, fault)) is not None:
                self.damaged.append(path)
                injected = self._inject(fault)
                injected.is_detected = is_refused(path)
                if not injected.is_detected:
                    raise ChaosError(f"{path.name} must be found damaged")


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
    execution = Execution(attrs.evolve(history, starts=(Start(ranks=1),)), folder)
    execution.train()
    return torch.load(execution.run / "weights.pt")
