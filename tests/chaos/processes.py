"""The processes of a run: an agent of torchrun with its ranks, or one process per rank as SLURM starts them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.chaos.training import Settings, settings_text
from tests.torchrun import ROOT

LIMIT = 180
"""Seconds after which a run that should end is taken to hang; generous, for machines that do other work as well."""

GRACE = 20
"""Seconds that the ranks have to end after one of them has failed, until they are killed, as srun does."""


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Running:
    """A run that has been started; the output of all its processes goes to one file."""

    def __init__(self, loop: str, settings: Settings, *, ranks: int, folder: Path, output: Path) -> None:
        self.loop, self.output = loop, output
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
        environment = inherited | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        text = settings_text(settings)
        commands = [[sys.executable, "-m", "tests.chaos.lightning_loop", text]] * ranks
        added = [_slurm(folder, rank, ranks) for rank in range(ranks)]
        if loop == "plain loop":
            launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
            commands, added = [[sys.executable, "-m", *launcher, "-m", "tests.chaos.plain_loop", text]], [{}]
        else:
            added = [one | {"MASTER_PORT": port} for port in [_free_port()] for one in added]
        with output.open("a") as file:
            self.processes = [
                subprocess.Popen(
                    command, env=environment | one, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
                )
                for command, one in zip(commands, added, strict=True)
            ]
        self._seen: set[psutil.Process] = set()

    def tree(self) -> list[psutil.Process]:
        """Return all processes of the run that are alive, also those whose parents have died."""
        for process in self.processes:
            try:
                parent = psutil.Process(process.pid)
                self._seen |= {parent, *parent.children(recursive=True)}
            except psutil.NoSuchProcess:
                continue
        return [process for process in self._seen if _is_alive(process)]

    def ranks(self) -> list[psutil.Process]:
        """Return the processes that train."""
        tree = self.tree()
        if self.loop == "Lightning":
            pids = {process.pid for process in self.processes}
            return [process for process in tree if process.pid in pids]
        return [process for process in tree if _parent(process) == self.processes[0].pid]

    def workers(self) -> list[psutil.Process]:
        """Return the processes that read data: children of a rank or of its fork server."""
        self.tree()
        ranks = {process.pid for process in self.ranks()}
        servers = {process.pid for process in self.tree() if _parent(process) in ranks and _says(process, "forkserver")}
        return [
            process
            for process in self.tree()
            if _parent(process) in servers
            or (_parent(process) in ranks and not _says(process, "forkserver", "resource_tracker"))
        ]

    def has_ended(self) -> bool:
        return all(process.poll() is not None for process in self.processes)

    def has_failed(self) -> bool:
        return any(process.poll() not in {None, 0} for process in self.processes)

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, condition: Callable[[], bool], *, seconds: float = LIMIT) -> bool:
        """Wait for a condition or the end of the run, and return whether the condition came."""
        end, looked = time.monotonic() + seconds, 0.0
        while not condition():
            now = time.monotonic()
            if self.has_ended() or now > end:
                return condition()
            if now > looked + 0.2:  # slow, but children whose parents die must be known
                self.tree()
                looked = now
            time.sleep(0.002)
        return True

    def send(self, number: signal.Signals, processes: list[psutil.Process]) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def end(self) -> bool:
        """Wait for the end of all processes, kill those that remain, and return whether the run hung."""
        self.wait(lambda: self.has_failed() or self.has_ended())
        self.wait(self.has_ended, seconds=GRACE if self.loop == "Lightning" and self.has_failed() else LIMIT)
        hangs = not self.has_ended() and not (self.loop == "Lightning" and self.has_failed())
        if hangs:
            self.send(signal.SIGABRT, self.ranks())  # the fault handler prints the stacks
            time.sleep(2)
        self.kill()
        return hangs

    def kill(self) -> None:
        """Kill all processes of the run at once, as a machine that fails does."""
        for _ in range(3):
            self.send(signal.SIGKILL, self.tree())
            for process in self.processes:
                process.wait()


def _slurm(folder: Path, rank: int, ranks: int) -> dict[str, str]:
    """Return the environment of a SLURM job, with a `scontrol` that logs its arguments."""
    command = folder / "bin" / "scontrol"
    if not command.exists():
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\necho $@ >> {folder}/scontrol.log\n")
        command.chmod(0o755)
    return {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(ranks),
        "SLURM_NTASKS_PER_NODE": str(ranks),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
    }


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def _says(process: psutil.Process, *words: str) -> bool:
    try:
        return any(word in " ".join(process.cmdline()) for word in words)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
