"""The command line: `python -m tests.fuzzing --seed 1 --count 1000000`."""

import argparse
import collections
import os
import sys
import tempfile
import time
from collections.abc import Iterable

os.environ["BIONEMO_CACHE_DIR"] = tempfile.gettempdir() + "/fuzzing-cache"  # before the library is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.fuzzing import everywhere, running
from tests.fuzzing.judging import Failure
from tests.fuzzing.trials import name_of

NUM_EXAMPLES = 2
"""Examples that are shown per function, parameters and kind."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10**6, help="number of calls")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument("--everywhere", action="store_true", help="each strange value at each place, not random calls")
    parser.add_argument("--only", type=int, help="number of the one call to make, in this process")
    return parser.parse_args()


def table(found: Iterable[Failure], which: str) -> str:
    """Return the failures by function and kind, each with examples and the command that repeats it."""
    groups: dict[tuple[str, str], list[Failure]] = collections.defaultdict(list)
    for failure in found:
        groups[failure.function, failure.kind].append(failure)
    lines = []
    for (function, kind), group in sorted(groups.items()):
        lines.append(f"{function}: {kind}, {len(group)} times")
        for failure in {failure.parameters: failure for failure in group}.values():
            lines += [f"    {failure.value}", f"        {failure.text}"]
            lines.append(f"        repeat: python -m tests.fuzzing --{which} --only {failure.number}")
    return "\n".join(lines)


def main() -> int:
    options = parse()
    running.warm_up()
    job = everywhere.job() if options.everywhere else running.job_of(options.seed, 0, options.count)
    which = "everywhere" if options.everywhere else f"seed {options.seed}"
    if options.only is not None:
        trial = job.trial_at(options.only)
        print(name_of(trial.called), {name: (part.name, part.value) for name, part in trial.changes.items()})
        found = list(running.failures(job._replace(first=options.only, stop=options.only + 1)))
    else:
        started = time.monotonic()
        found = []
        for failure in running.run(job, num_workers=options.workers):
            if (failure.function, failure.kind) not in {(other.function, other.kind) for other in found}:
                print(table([failure], which), flush=True)  # a run of an hour may be stopped
            found.append(failure)
        print(f"{job.stop:,} calls, {which}, in {time.monotonic() - started:.0f} s")
    print(table(found, which))
    print(f"{len(found)} failures")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
