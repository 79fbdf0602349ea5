"""Torchrun's elastic agents: ranks join and are killed, and the run resumes without a hand at the very next sample."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import psutil
import pytest
import torch

from bionemo.data import read_run_log, verify_run
from tests.adapters import distributed_elastic_run
from tests.adapters.distributed_training import make_pipeline, train
from tests.torchrun import ROOT

pytestmark = pytest.mark.slow

STEPS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_agent(folder: Path, port: int, *, is_host: bool = False) -> subprocess.Popen:
    """Start an agent with one rank; the host has the store by which all of them meet."""
    options = f"is_host={is_host},last_call_timeout=4,keep_alive_interval=1,keep_alive_max_attempt=3"
    launcher = ["--nnodes=1:3", "--nproc-per-node=1", "--max-restarts=9", "--monitor-interval=0.2"]
    launcher += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=run"]
    launcher += [f"--rdzv-conf={options}", "--local-addr=127.0.0.1"]
    program = [distributed_elastic_run.__file__, str(folder), str(STEPS)]
    # By default, an agent that joins later waits forever for the address of the shared store, which is sent once.
    environment = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    with (folder / "output.txt").open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *launcher, *program],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def kill(agent: subprocess.Popen) -> None:
    """Kill an agent and its rank at once, as a machine that fails does."""
    for process in (*psutil.Process(agent.pid).children(recursive=True), agent):
        process.kill()


def wait_for(condition: Callable[[], bool], folder: Path, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, (folder / "output.txt").read_text()[-20000:]
        time.sleep(0.1)


def history(folder: Path) -> list[tuple[int, int]]:
    """Return each number of ranks that the run has had, and the number of steps that its first rank has logged."""
    log = folder / "log.jsonl"
    lines = [line for line in read_run_log(log) if line.rank == 0] if log.exists() else []
    return [(size, len(list(part))) for size, part in groupby(line.world_size for line in lines)]


def has_run(folder: Path, ranks: int, *, steps: int) -> bool:
    found = history(folder)
    return bool(found) and found[-1][0] == ranks and found[-1][1] >= steps


def test_two_ranks_become_three_and_then_one(tmp_path: Path) -> None:
    port = free_port()
    agents = [start_agent(tmp_path, port, is_host=True), start_agent(tmp_path, port)]
    try:
        wait_for(lambda: has_run(tmp_path, 2, steps=5), tmp_path)
        agents.append(start_agent(tmp_path, port))
        wait_for(lambda: has_run(tmp_path, 3, steps=5), tmp_path)
        kill(agents[1])
        kill(agents[2])
        assert agents[0].wait(timeout=120) == 0, (tmp_path / "output.txt").read_text()[-20000:]
    finally:
        for agent in agents:
            if agent.poll() is None:
                kill(agent)
    assert [size for size, _ in history(tmp_path)][-3:] == [2, 3, 1]
    summary = verify_run(read_run_log(tmp_path / "log.jsonl"), make_pipeline(num_samples=None))
    assert (summary.first_step, summary.num_steps, summary.num_incomplete) == (0, STEPS, 0)
    assert summary.num_replaced > 0  # steps after the newest checkpoint were read again
    expected = train(tmp_path / "..", steps=STEPS, num_samples=None)
    found = torch.load(tmp_path / "weights.pt")
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-5
