"""This version against an earlier commit, in turns: `python -m benchmarks.earlier COMMIT`."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import Measurement, Side
from benchmarks.table import text_table

ROOT = Path(__file__).parents[1]
ROUNDS = 7

TIMES = """
import timeit
from bionemo.data import EpochOrder, MixtureOrder, Pipeline, batch_at, index_at, sample_at
import torch
orders = [EpochOrder(length=10**6 + seed, seed=seed) for seed in range(4)]
mixture = MixtureOrder(orders=orders, weights=(5, 3, 2, 1))
positions = torch.arange(32) + 10**6
rows = [[1, 2, 3]] * 10**4
lists = Pipeline(order=EpochOrder(length=10**4, seed=1), sources=rows, batch_size=32, seed=2, collate=list)
block = Pipeline(order=EpochOrder(length=10**4, seed=1), sources=torch.zeros(10**4, 8), batch_size=32, seed=2)
for function in (
    lambda: index_at(mixture, positions),
    lambda: batch_at(lists, 1000),
    lambda: batch_at(block, 1000),
    lambda: index_at(mixture, 10**6),
    lambda: sample_at(lists, 1000),
):
    function()
    print(min(timeit.repeat(function, number=200, repeat=5)) / 200)
"""
ROWS = [
    ("index_at of a mixture, 32 positions", 0.5),
    ("batch_at, 32 lists in memory", 0.7),
    ("batch_at, 32 rows of a tensor", 0.7),
    ("index_at of a mixture, one position", 1.0),
    ("sample_at, a list in memory", 0.1),
]
"""What is timed, and the fraction of the earlier time that it may take."""


def measure(folder: Path) -> list[float]:
    """Return the seconds per call of each function, in the version of a folder."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TIMES]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    return [float(line) for line in run.stdout.split()]


def main(commit: str) -> None:
    """Print the table of both versions."""
    with tempfile.TemporaryDirectory() as folder:
        command = f"git archive {shlex.quote(commit)} bionemo | tar -x -C {shlex.quote(folder)}"
        subprocess.run(command, shell=True, cwd=ROOT, check=True)  # noqa: S602
        runs = [(measure(ROOT), measure(Path(folder))) for _ in range(ROUNDS)]
    now, before = (list(zip(*times, strict=True)) for times in zip(*runs, strict=True))
    rows = [
        Measurement(
            what=label,
            unit="s",
            ours=Side(name="this version", rounds=mine, is_ours=True),
            peer=Side(name=commit, rounds=theirs, is_ours=True),
            least_ratio=1 / limit,
        )
        for (label, limit), mine, theirs in zip(ROWS, now, before, strict=True)
    ]
    print(text_table(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
