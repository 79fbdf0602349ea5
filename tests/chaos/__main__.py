"""Training runs that faults hit at random moments, restarted until they end: `python -m tests.chaos --help`."""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.disk import enter_namespace
from tests.chaos.execution import Outcome, execute, train_uninterrupted
from tests.chaos.plan import History, plan
from tests.chaos.report import document, problems_of, table

_OPTIONS = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
_OPTIONS.add_argument("--seed", type=int, default=1)
_OPTIONS.add_argument("--count", type=int, default=200, help="number of faults")
_OPTIONS.add_argument("--jobs", type=int, default=2, help="histories at a time")
_OPTIONS.add_argument("--only", type=int, help="the number of one history")
_OPTIONS.add_argument("--folder", type=Path, help="where failed runs are kept; by default a temporary folder")
_OPTIONS.add_argument("--write", type=Path, metavar="PAGE", help="a page whose table is replaced")


def run(histories: list[History], folder: Path, *, jobs: int) -> list[Outcome]:
    """Make histories, some at a time; folders of those that fail are kept."""

    def one(history: History) -> Outcome:
        own = folder / f"history-{history.number}"
        outcome = execute(history, own / "cut", lambda history: train_uninterrupted(history, own / "whole"))
        faults = ", ".join(injected.kind for injected in outcome.injected)
        result = "; ".join(outcome.problems) or "right"
        print(f"history {history.number}, {history.loop}, {outcome.num_starts} starts: {faults}: {result}", flush=True)
        if outcome.problems:  # the disk in memory ends with this process
            kept = folder / f"failed-{history.number}"
            shutil.copytree(own, kept)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, histories))


def main() -> None:
    enter_namespace()
    options = _OPTIONS.parse_args()
    began = time.monotonic()
    histories = [one for one in plan(seed=options.seed, count=options.count) if options.only in {None, one.number}]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = run(histories, folder, jobs=options.jobs)
    minutes = (time.monotonic() - began) / 60
    print(table(outcomes))
    found = problems_of(outcomes, seed=options.seed, count=options.count, folder=folder)
    print("\n".join(found) or f"Nothing else was found, in {minutes:.0f} minutes.")
    if options.write is not None:
        document(options.write, outcomes, seed=options.seed, count=options.count, minutes=minutes)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
