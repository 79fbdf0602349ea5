"""Runs calls in processes, each of which the parent watches: a dead or stuck one names its call."""

import gc
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.fuzzing.calls import CALLS
from tests.fuzzing.judging import Failure, TimeLimitError, check, failure_of, outcome
from tests.fuzzing.states import dear_states, differences
from tests.fuzzing.trials import Trial, arguments_of, trial_at

MAX_SECONDS = 20
"""Time limit of a call, on a busy machine."""
DEAR_EVERY = 2000
"""Calls between looks at the states that are dear to look at."""


class Job(NamedTuple):
    trial_at: Callable[[int], Trial]
    first: int
    stop: int
    step: int


def call_number(job: Job, number: int, *, max_seconds: float = MAX_SECONDS) -> Failure | None:
    """Return the failure of one call, which an alarm interrupts if it takes too long."""

    def interrupt(*_: object) -> None:
        raise TimeLimitError

    trial = job.trial_at(number)
    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, max_seconds)
    try:
        failure = check(trial)
    except TimeLimitError as error:  # while the outcome is looked at
        failure = failure_of(trial, "hang", error)
    except Exception as error:  # noqa: BLE001 - a fault of the fuzzer
        failure = failure_of(trial, f"not judged: {type(error).__name__}", error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    return failure and failure._replace(number=number)


def failures(job: Job, begin: Callable[[int], None] = lambda number: None) -> Iterator[Failure]:
    """Yield the failures of the calls of a job, made in this process."""
    before, since = dear_states(), job.first
    for count, number in enumerate(range(job.first, job.stop, job.step), 1):
        begin(number)
        if failure := call_number(job, number):
            yield failure
        if count % DEAR_EVERY == 0 or number + job.step >= job.stop:
            after = dear_states()
            for name in differences(before, after):
                text = f"{before[name]!r} -> {after[name]!r}"[:600]
                yield Failure(f"a call of {since}..{number}", "", f"changed the {name}", "", text, since)
            before, since = after, number


def warm_up() -> None:
    """Make every valid call once, so that all that is imported or cached at a first call is, before processes fork."""
    torch.set_num_threads(1)
    for called in CALLS:
        outcome(called.function, arguments_of(called))
    gc.collect()
    gc.freeze()


def work(job: Job, current: Any, sender: Connection) -> None:
    """Make the calls of a job in a folder of its own, and send the failures, then None."""
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as folder, Path(os.devnull).open("w") as nowhere:
        os.chdir(folder)
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        for failure in failures(job, begin=lambda number: setattr(current, "value", number)):
            sender.send(failure)
    sender.send(None)


class Worker:
    """A process for a job, and what the parent knows of it."""

    def __init__(self, job: Job) -> None:
        context = mp.get_context("fork")
        self.job, self.current = job, context.RawValue("q", job.first)
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(job, self.current, sender), daemon=True)
        self.process.start()
        sender.close()
        self.seen, self.since = job.first, time.monotonic()

    def is_stuck(self, max_seconds: float) -> bool:
        if self.current.value != self.seen:
            self.seen, self.since = self.current.value, time.monotonic()
        return time.monotonic() - self.since > max_seconds

    def rest(self) -> Job:
        return self.job._replace(first=self.current.value + self.job.step)


def run(job: Job, *, num_workers: int, max_seconds: float = 3 * MAX_SECONDS) -> Iterator[Failure]:
    """Yield the failures of the calls of a job, made in processes.

    A process that ends or is stuck fails its call, and another makes the rest of its calls.
    """
    workers = [Worker(job._replace(first=job.first + rank, step=num_workers)) for rank in range(num_workers)]
    started, told = time.monotonic(), time.monotonic()
    while workers:
        for receiver in wait([worker.receiver for worker in workers], timeout=1):
            worker = next(worker for worker in workers if worker.receiver is receiver)
            try:
                found = receiver.recv()
            except EOFError:
                yield from ended(worker, workers, "crash")
                continue
            if found is None:
                workers.remove(worker)
                worker.process.join()
            else:
                yield found
        for worker in [worker for worker in workers if worker.is_stuck(max_seconds)]:
            worker.process.kill()
            yield from ended(worker, workers, "hang that no alarm interrupts")
        if time.monotonic() - told > 60:
            told = time.monotonic()
            numbers = ", ".join(str(worker.current.value) for worker in workers)
            print(f"{told - started:.0f} s: calls {numbers}", file=sys.stderr, flush=True)


def ended(worker: Worker, workers: list[Worker], kind: str) -> Iterator[Failure]:
    """Yield the failure of the call in which a worker ended, and replace the worker."""
    worker.process.join()
    number, code = worker.current.value, worker.process.exitcode
    found = failure_of(worker.job.trial_at(number), kind, None, number)
    yield found._replace(text=f"exit code {code}")
    workers.remove(worker)
    if (rest := worker.rest()).first < rest.stop:
        workers.append(Worker(rest))


def job_of(seed: int, first: int, stop: int) -> Job:
    return Job(lambda number: trial_at(seed, number), first, stop, 1)
