"""Benchmarks of the loader against others: `make bench-loader`. One thread; shuffled batches of 32 from memory."""

import os
import resource
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch.utils.data import DataLoader

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds, seconds_in_turn, show
from bionemo.data import EpochOrder, Pipeline, Source
from bionemo.data.pipes import loader

LENGTH = 200_000


class WithGetitems:
    """A data set with `__getitems__`. Its numbers are contiguous: cache misses would slow down both sides alike."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = array("q", numbers)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> int:
        """Return one sample."""
        return self.numbers[index]

    def __getitems__(self, indices: list[int]) -> list[int]:
        """Return several samples."""
        return [self.numbers[index] for index in indices]


def slow(sample: int, *, generator: torch.Generator) -> int:  # noqa: ARG001 - the signature of a transform
    """Return the sample after a millisecond."""
    time.sleep(0.001)
    return sample


def make(dataset: Any, length: int = LENGTH, **fields: Any) -> Pipeline[Any]:
    """Return a pipeline over one shuffled epoch."""
    order = EpochOrder(length=length, seed=42, num_samples=length)
    return Pipeline(order=order, sources=dataset, batch_size=32, seed=42, **fields)


def per_sample(*makes: Callable[[], Iterable[Any]], length: int = LENGTH) -> list[float]:
    """Return the nanoseconds per sample of iterating over all batches, of each iterable."""

    def drain(make_batches: Callable[[], Iterable[Any]]) -> None:
        for _ in make_batches():
            pass

    took = seconds_in_turn(*(partial(drain, make_batches) for make_batches in makes), repeats=5)
    return [duration / length * 1e9 for duration in took]


def kinds() -> list[Row]:
    """Compare each kind of data set with torch's DataLoader, and a range with grain."""
    tensor = torch.arange(LENGTH * 8).reshape(LENGTH, 8)
    rows = []
    for name, dataset, collate, target in (
        ("a list", list(range(LENGTH)), list, 1.2),
        ("a data set with __getitems__, global states not seeded", WithGetitems(range(LENGTH)), list, 1.5),
        ("a tensor", tensor, None, 4),
    ):
        fields = {"collate": collate, "seed_global_states": False}
        ours, theirs = per_sample(
            lambda dataset=dataset, fields=fields: loader(make(dataset, **fields)),
            lambda dataset=dataset, collate=collate: DataLoader(
                dataset, batch_size=32, shuffle=True, collate_fn=collate, generator=torch.Generator()
            ),
        )
        rows.append(faster(f"time per sample, {name}", ours, theirs, target, "DataLoader(shuffle=True)"))
    dataset = WithGetitems(range(LENGTH))
    seeded, unseeded = per_sample(
        lambda: loader(make(dataset, collate=list)),
        lambda: loader(make(dataset, collate=list, seed_global_states=False)),
    )
    rows.append(below("seeding the global random states, per batch", (seeded - unseeded) * 32 / 1000, 100, "us"))
    grain = peers.grain_dataset()
    if not grain.function:
        return [*rows, missing("time per sample, a range", grain)]
    few = 20_000
    (theirs,) = per_sample(lambda: grain.function.range(few).shuffle(seed=42), length=few)
    (ours,) = per_sample(lambda: loader(make(range(LENGTH))))
    return [*rows, faster("time per sample, a range", ours, theirs, 5, f"iterating {grain.name}.range(n).shuffle")]


def far() -> list[Row]:
    """Measure the time to the first batch of a long data set, from its start and after a resume in its middle."""
    long = make(range(10**9), 10**9)
    state = loader(long, start=5 * 10**8).state_dict()

    def resume() -> None:
        batches = loader(long)
        batches.load_state_dict(state)
        next(iter(batches))

    def theirs() -> None:
        next(iter(DataLoader(range(10**7), batch_size=32, shuffle=True, generator=torch.Generator())))

    took = seconds(theirs, 1)
    return [
        below(
            "time to the first batch, 10**9 samples",
            seconds(lambda: next(iter(loader(long)))) * 1e3,
            50,
            "ms",
            f"{took:.1f} s for 10**7 samples, and linear in their number (DataLoader(shuffle=True))",
        ),
        below("time to the first batch, resumed at sample 5 * 10**8", seconds(resume) * 1e3, 5, "ms"),
    ]


def memory() -> list[Row]:
    """Compare the resident memory for a short and a long data set, each in a process of its own."""
    peaks = []
    for length in (10**4, 10**9):
        command = [sys.executable, "-m", "benchmarks.loader", str(length)]
        peaks.append(int(subprocess.run(command, capture_output=True, check=True, text=True).stdout))  # noqa: S603
    return [below("extra resident memory, 10**9 samples against 10**4", (peaks[1] - peaks[0]) / 1024, 10, "MB")]


def peak_of(length: int) -> int:
    """Return the peak resident memory, in kB, of iterating over a thousand batches."""
    batches = iter(loader(make(range(length), length)))
    for _ in range(min(1000, length // 32)):
        next(batches)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def workers() -> list[Row]:
    """Compare two worker processes with one, for a transform that takes a millisecond."""
    took = []
    for num_workers in (1, 2):
        pipeline = make(Source(range(2000), transform=slow), 2000)
        batches = loader(pipeline, restart=True, num_workers=num_workers)
        took += per_sample(lambda batches=batches: batches, length=2000)
        batches.close()
    return [faster("time per sample, a transform of 1 ms, two workers", took[1], took[0], 1.6, "one worker")]


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    show(row for part in (kinds, far, memory, workers) for row in part())


if __name__ == "__main__":
    print(peak_of(int(sys.argv[1]))) if len(sys.argv) > 1 else main()
