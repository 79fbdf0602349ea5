"""The statistical certificate: `make certificate`, or `python -m benchmarks.certificate`, in a clone of the repository.

It tests our permutations, draws, cluster members and masks beside NumPy's and those of other libraries, measures how
often the control raises a false alarm, and writes `docs/certificate.md`. The results are in `.cache/certificate.json`.
It exits with 1 if one of our families raises an alarm.

    python -m benchmarks.certificate            all tests: 10 to 20 minutes on two cores
    python -m benchmarks.certificate --quick    a few lengths, less than a minute; the page goes to .cache
    python -m benchmarks.certificate --page     the page again, from the results of the last run
"""

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.certificate.page import write_page
from benchmarks.certificate.verdicts import verdicts
from benchmarks.certificate.work import QUICK, Extent, Finding, missing, pieces, run

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache"


def collect(findings: list[Finding]) -> dict[str, Any]:
    """Return the values of all findings: subject -> family -> test -> value."""
    results: dict[str, Any] = {}
    for found in findings:
        results.setdefault(found.subject, {}).setdefault(found.family, {}).update(found.values)
    return results


def measure(extent: Extent, processes: int) -> dict[str, Any]:
    """Return the results of everything, and how they were made."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # read when the processes import torch, transformers
    start = time.perf_counter()
    work = list(pieces(extent))
    print(f"{len(work)} pieces of work in {processes} processes", flush=True)
    context = multiprocessing.get_context("spawn")
    findings = []
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for number, found in enumerate(pool.map(run, work), 1):
            findings.append(found)
            if number % 20 == 0 or number == len(work):
                print(f"{number} of {len(work)} after {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "command": "python -m benchmarks.certificate --quick" if extent.is_quick else "make certificate",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "seconds": round(time.perf_counter() - start),
        "processes": processes,
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in ("bionemo-core", "numpy", "torch", "scipy", "transformers")},
        },
        "missing": missing(),
        "extent": attrs.asdict(extent),
        "again": {found.family: found.again for found in findings if found.again is not None},
        "cost": cost_of(findings),
        "results": collect(findings),
    }


def cost_of(findings: list[Finding]) -> dict[str, float]:
    """Return the seconds that each subject and family took."""
    cost: dict[str, float] = {}
    for found in findings:
        name = f"{found.subject}: {found.family}"
        cost[name] = round(cost.get(name, 0.0) + found.seconds, 1)
    return cost


def main() -> int:
    """Run what was asked for, write the page, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certificate", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a few lengths; less than a minute")
    parser.add_argument("--page", action="store_true", help="only write the page, from the last results")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    name = "certificate-quick" if options.quick else "certificate"
    saved = CACHE / f"{name}.json"
    if not options.page:
        report = measure(QUICK if options.quick else Extent(), options.processes)
        saved.write_text(json.dumps(report, indent=1) + "\n")
    report = json.loads(saved.read_text())
    page = CACHE / f"{name}.md" if options.quick else ROOT / "docs" / "certificate.md"
    write_page(report, page)
    failed = []
    for verdict in verdicts(report):
        print(verdict)
        failed += [verdict] if verdict.is_ours and verdict.alarms else []
    print(f"page: {page.relative_to(ROOT)}, results: {saved.relative_to(ROOT)}, {report['seconds']} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
