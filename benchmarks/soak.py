"""Memory, descriptors, threads and speed of loaders over 10**8 samples: `python -m benchmarks.soak --help`."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
import torch
from torch import Tensor

from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import PipelineLoader, loader

MARKS: Final = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""The percentages of the samples after which is measured."""

LIMITS: Final = {"memory": 16.0, "descriptors": 8, "threads": 2}
"""By how much each may grow from the first mark to the last: MiB of all processes together, and numbers.

Each batch that is under way has a descriptor.
"""

_MODES: Final[dict[str, dict[str, Any]]] = {
    "this process": {},
    "2 threads": {"num_threads": 2},
    "2 worker processes": {"num_workers": 2},
}

_PAUSES: Final = 100
"""How often the iteration pauses and begins again, as at the end of an epoch."""


@attrs.frozen(kw_only=True)
class Measured:
    """What was measured at a mark, of this process and its children together."""

    percent: int
    memory: float
    """Resident memory in MiB."""
    descriptors: int
    threads: int
    speed: float
    """Samples per second since the mark before."""


def measure(percent: int, speed: float) -> Measured:
    """Return the memory, descriptors and threads of this process and its children."""
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    return Measured(
        percent=percent,
        memory=sum(process.memory_info().rss for process in processes) / 2**20,
        descriptors=sum(process.num_fds() for process in processes),
        threads=sum(process.num_threads() for process in processes),
        speed=speed,
    )


def soak(batches: Iterable[Any], num_batches: int, *, batch_size: int) -> list[Measured]:
    """Read batches, and return what was measured at the marks."""
    marks = {max(1, num_batches * percent // 100): percent for percent in MARKS}
    rows: list[Measured] = []
    began, before = time.perf_counter(), 0
    for number, _ in zip(range(1, num_batches + 1), batches, strict=False):
        if number in marks:
            speed = (number - before) * batch_size / (time.perf_counter() - began)
            rows.append(measure(marks[number], speed))
            began, before = time.perf_counter(), number
    return rows


def growth(rows: Sequence[Measured]) -> list[str]:
    """Return what has grown beyond its limit from the first mark to the last, as one line each.

    Example:
        >>> first = Measured(percent=1, memory=200.0, descriptors=9, threads=4, speed=1e6)
        >>> growth([first, attrs.evolve(first, percent=100, memory=215.0, descriptors=18)])
        ['descriptors grew from 9 to 18, by more than 8']
    """
    first, last = rows[0], rows[-1]
    return [
        f"{name} grew from {getattr(first, name):,.4g} to {getattr(last, name):,.4g}, by more than {limit:g}"
        for name, limit in LIMITS.items()
        if getattr(last, name) - getattr(first, name) > limit
    ]


def endless(batches: PipelineLoader[Any]) -> Iterator[Any]:
    """Yield batches over all pauses, and take the state at each pause, as a run does."""
    while True:
        yield from batches
        batches.state_dict()


def make_loader(num_batches: int, *, batch_size: int, **options: Any) -> PipelineLoader[Any]:
    """Return a loader of a shuffled data set in memory, of a million rows: 10**8 samples are a hundred epochs."""
    rows = torch.arange(4_000_000).reshape(-1, 4)
    order = EpochOrder(length=len(rows), seed=42)
    pipeline = Pipeline(order=order, sources=rows, batch_size=batch_size, seed=7, batch_transform=_shifted)
    return loader(pipeline, batches_per_epoch=max(1, num_batches // _PAUSES), **options)


def _shifted(batch: Tensor, *, seeds: Tensor) -> Tensor:
    return batch + seeds[:, None] % 2


def table(mode: str, rows: Sequence[Measured]) -> str:
    """Return the measurements of a mode as a table in Markdown."""
    lines = [f"| {mode} | memory, MiB | descriptors | threads | samples per second |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.percent} % | {row.memory:,.0f} | {row.descriptors} | {row.threads} | {row.speed:,.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def run(num_samples: int, *, batch_size: int, show: Callable[[str], object] = print) -> tuple[list[str], list[str]]:
    """Soak the loader in each mode; return the tables, and what has grown."""
    tables, found = [], []
    num_batches = num_samples // batch_size
    for mode, options in _MODES.items():
        batches = make_loader(num_batches, batch_size=batch_size, **options)
        rows = soak(endless(batches), num_batches, batch_size=batch_size)
        batches.close()
        tables.append(table(mode, rows))
        show(f"{tables[-1]}\n")
        found += [f"{mode}: {line}" for line in growth(rows)]
    return tables, found


def main() -> None:
    """Print the tables, and exit with 1 if something has grown."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    options.add_argument("--samples", type=int, default=10**8, help="number of samples in each mode")
    options.add_argument("--batch-size", type=int, default=1000)
    options.add_argument("--write", type=Path, metavar="PAGE", help="a page whose tables are replaced")
    given = options.parse_args()
    began = time.monotonic()
    tables, found = run(given.samples, batch_size=given.batch_size)
    limits = f"at most {LIMITS['memory']:g} MiB, {LIMITS['descriptors']} descriptors, {LIMITS['threads']} threads more"
    minutes = (time.monotonic() - began) / 60
    print("\n".join(found) or f"Nothing has grown ({limits}), in {minutes:.1f} minutes.")
    if given.write is not None:
        sizes = f"{given.samples:,} samples in each mode, batches of {given.batch_size:,}"
        result = "; ".join(found) or f"Nothing has grown: {limits}."
        text = "\n\n".join(
            [f"`make soak ARGS='--samples {given.samples}'`: {sizes}; {minutes:.1f} minutes. {result}", *tables]
        )
        pattern = re.compile("(<!-- soak -->).*(<!-- end of soak -->)", re.DOTALL)
        given.write.write_text(pattern.sub(lambda ends: f"{ends[1]}\n{text}\n{ends[2]}", given.write.read_text()))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
