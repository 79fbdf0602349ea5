"""Real ranks: killed within an epoch, and resumed with other numbers of ranks and workers and other batch sizes."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bionemo.data import index_at
from tests.data.pipeline.ranks_run import ORDER, PACKED
from tests.torchrun import torchrun


def start(folder: Path, job: str, *, ranks: int, batch_size: int, num_workers: int) -> subprocess.Popen:
    script = Path(__file__).with_name("ranks_run.py")
    arguments = str(script), folder, job, batch_size, num_workers
    with (folder / f"{job}.err").open("w") as errors:
        return torchrun(*arguments, ranks=ranks, stdout=subprocess.DEVNULL, stderr=errors)


def logs(folder: Path, job: str) -> list[list[dict]]:
    """Return what each rank of a job logged, without a line that was cut off."""
    found = []
    for path in sorted(folder.glob(f"{job}-*.jsonl")):
        lines = path.read_text().splitlines(keepends=True)
        found.append([json.loads(line) for line in lines if line.endswith("\n")])
    return found


def kill_after(folder: Path, job: str, process: subprocess.Popen, *, ranks: int, steps: int) -> None:
    """Kill all ranks and their launcher at once, as soon as each rank has made this many steps."""
    end = time.monotonic() + 120
    while len(logs(folder, job)) < ranks or min(map(len, logs(folder, job))) <= steps:
        assert process.poll() is None, (folder / f"{job}.err").read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    for pid in [*(rank[0]["pid"] for rank in logs(folder, job)), process.pid]:
        with suppress(ProcessLookupError):  # a rank ends by itself as soon as another one is gone
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)


def delivered(folder: Path, job: str, until: int | None) -> list[int]:
    """Return the ids that a job's ranks read together, up to a position."""
    ids = []
    for parts in zip(*(rank[1:] for rank in logs(folder, job)), strict=False):
        stops = {part["stop"] for part in parts}
        assert len(stops) == 1
        if until is None or stops.pop() <= until:
            ids += [sample for part in parts for sample in part["ids"]]
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("is_packed", [False, True])
def test_killed_and_resumed_jobs_together_read_the_order(tmp_path: Path, is_packed: bool) -> None:
    """With packed steps the jobs are killed within a window, which the next job plans again."""
    jobs = {
        "first": {"ranks": 2, "batch_size": 12, "num_workers": 1},
        "second": {"ranks": 3, "batch_size": 7, "num_workers": 1},
        "last": {"ranks": 2, "batch_size": 32, "num_workers": 2},
    }
    if is_packed:
        jobs = {job: options | {"batch_size": 0} for job, options in jobs.items()}
    for job, steps in (("first", 23), ("second", 12)):
        kill_after(tmp_path, job, start(tmp_path, job, **jobs[job]), ranks=jobs[job]["ranks"], steps=steps)
    last = start(tmp_path, "last", **jobs["last"])
    assert last.wait(timeout=120) == 0, (tmp_path / "last.err").read_text()
    starts = {job: {rank[0]["start"] for rank in logs(tmp_path, job)} for job in jobs}
    assert all(len(positions) == 1 for positions in starts.values())
    resumed = [positions.pop() for positions in starts.values()]
    assert 0 == resumed[0] < resumed[1] < resumed[2] < 1000
    history = delivered(tmp_path, "first", resumed[1]) + delivered(tmp_path, "second", resumed[2])
    history += delivered(tmp_path, "last", None)
    indices = [index_at(PACKED if is_packed else ORDER, position) for position in range(1000)]
    assert history == [index.idx + 1000 * index.source for index in indices]
