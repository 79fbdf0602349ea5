"""How start-up, the first batch, later ones and memory grow with the number of samples, measured in new processes."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Effort, limited, printed, said
from benchmarks.programs import ON_DISK, OTHERS, OURS, OURS_ON_DISK, Program, write_all
from benchmarks.record import Measurement, Side
from benchmarks.subjects.files import made

LONGEST, LONG = 60, 8
"""Seconds that a program may take, and after which a library is not tried with more samples: to the first batch."""

UNITS = {"start": "s", "first": "s", "each": "s", "memory": "bytes"}
NAMES = {
    "start": "time from `python` to the first batch",
    "first": "time to the first batch, after the imports",
    "each": "time per sample, of the next 1,000 batches",
    "memory": "peak memory of the process",
}


def measure(effort: Effort) -> Iterator[Measurement]:
    """Measure loaders of numbers in memory, then of rows on disk."""
    sizes = effort.pick([10**power for power in range(4, 10)], [10**4, 10**7])
    others = effort.pick(OTHERS, [OTHERS[0], OTHERS[2]])
    yield from grow("numbers", OURS, others, sizes, effort)
    if not effort.is_quick:
        yield from grow("rows on disk", OURS_ON_DISK, ON_DISK, [10**4, 10**5, 3 * 10**5], effort)


def grow(kind: str, ours: Program, others: list[Program], sizes: list[int], effort: Effort) -> Iterator[Measurement]:
    """Yield what grows, for each size and peer."""
    stopped: dict[str, str] = {}
    memory: list[list[float]] = []
    for size in sizes:
        folder = made(f"rows-{size}", partial(write_all, size=size, run=printed)) if ours is OURS_ON_DISK else None
        found = rounds_of([ours, *others], size, folder, stopped, effort.pick(3, 1))
        mine = found[ours.name]
        memory.append([one["memory"] for one in mine])
        for program in others:
            numbers, reason = found[program.name], stopped.get(program.name, "")
            for name, unit in UNITS.items():
                rounds = tuple(one[name] for one in numbers)
                yield Measurement(
                    what=f"{kind}: {NAMES[name]}",
                    unit=unit,
                    ours=Side(name=ours.name, rounds=tuple(one[name] for one in mine), is_ours=True),
                    peer=Side(name=program.name, rounds=rounds, reason="" if rounds else reason),
                    axis="number of samples",
                    size=size,
                )
            if numbers and max(one["first"] for one in numbers) > LONG:
                stopped[program.name] = f"not tried: {size:,} samples took over {LONG} s"
    extra = [more - less for less, more in zip(memory[0], memory[-1], strict=True)]
    what = f"{kind}: memory of {sizes[-1]:,} samples beyond that of {sizes[0]:,}"
    yield limited(what, ours.name, *extra, unit="bytes", limit=10 * 2**20)


def rounds_of(
    programs: list[Program], size: int, folder: Path | None, stopped: dict[str, str], number: int
) -> dict[str, list[dict[str, float]]]:
    """Return what each program measured in some rounds, in which all run one after the other.

    A program that fails has no round, and is written down in `stopped`, so that it doesn't run again.
    """
    found: dict[str, list[dict[str, float]]] = {program.name: [] for program in programs}
    for _ in range(number):
        for program in programs:
            if program.name in stopped:
                continue
            try:
                found[program.name].append(run(program, size, folder))
            except RuntimeError as error:
                if program is programs[0]:
                    raise
                stopped[program.name] = f"with {size:,}: {said(error).removeprefix('RuntimeError: ')}"
                found[program.name] = []
    return found


def run(program: Program, size: int, folder: Path | None) -> dict[str, float]:
    """Return the numbers of one process.

    Raises:
        RuntimeError: if the program fails, or takes too long or too much memory.
    """
    began = time.monotonic()
    numbers = printed(["-c", program.text(folder), str(size)], folders=program.folders(), timeout=LONGEST)
    numbers["start"] = numbers["at"] - began
    return {name: float(numbers[name]) for name in UNITS}
