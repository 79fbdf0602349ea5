"""A small disk that can be filled, and checkpoints that are damaged."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from tests.chaos.plan import Fault

_MARK = "CHAOS_NAMESPACE"


def enter_namespace() -> None:
    """Start this program anew where it may mount disks that nobody else sees and that end with it, if allowed."""
    if os.environ.get(_MARK):
        return
    options = ["--mount"] if os.getuid() == 0 else ["--user", "--map-root-user", "--mount"]
    command = [shutil.which("unshare") or "unshare", *options]
    try:
        is_allowed = not subprocess.run([*command, "true"], capture_output=True).returncode
    except OSError:
        is_allowed = False
    os.environ[_MARK] = "mounts" if is_allowed else "no mounts"
    if is_allowed:
        os.execvp(command[0], [*command, sys.executable, *sys.orig_argv[1:]])


def mount(folder: Path) -> bool:
    """Mount a disk of 16 MiB in memory, and return whether that was possible."""
    folder.mkdir(parents=True)
    if os.environ.get(_MARK) != "mounts":
        return False
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    return not subprocess.run(command, capture_output=True).returncode


def fill(folder: Path, fault: Fault, ranks: list[psutil.Process], *, is_mounted: bool) -> str:
    """Fill the disk up to some kilobytes; without a disk of our own, limit the size of the processes' files instead."""
    if is_mounted:
        with (folder / "ballast").open("wb") as file:
            while True:
                disk = os.statvfs(folder)
                size = disk.f_bavail * disk.f_frsize - int(fault.draws[0] * 40_000)
                with contextlib.suppress(OSError):  # the run has written meanwhile
                    os.posix_fallocate(file.fileno(), 0, max(size, 1))
                    return "tmpfs"
    for rank in ranks:
        resource.prlimit(rank.pid, resource.RLIMIT_FSIZE, (int(fault.draws[0] * 10_000), resource.RLIM_INFINITY))
    return "RLIMIT_FSIZE"


def free(folder: Path) -> None:
    (folder / "ballast").unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest first."""
    found = [path for path in folder.iterdir() if path.name.startswith("step-") or path.suffix == ".ckpt"]
    return sorted(found, key=_age, reverse=True)


def _age(path: Path) -> int:
    metadata = path / ".metadata"
    return (metadata if metadata.exists() else path).stat().st_mtime_ns


def damage(folder: Path, fault: Fault) -> Path | None:
    """Damage the newest checkpoint, and return it; None if there is none. The time of the file stays."""
    found = checkpoints(folder)
    if not found:
        return None
    files = sorted(path for path in found[0].rglob("*") if path.is_file()) if found[0].is_dir() else [found[0]]
    path = files[int(fault.draws[0] * len(files))]
    status = path.stat()
    if fault.kind == "checkpoint missing":
        shutil.rmtree(found[0]) if found[0].is_dir() and fault.draws[1] < 0.5 else path.unlink()
        return found[0]
    start = int(fault.draws[1] * status.st_size)
    if fault.kind == "checkpoint truncated":
        os.truncate(path, start)
    else:
        content = path.read_bytes()
        end = start + max(1, int(fault.draws[2] * (status.st_size - start)))
        if not any(content[start:end]):  # zeros already
            start, end = 0, len(content)
        path.write_bytes(content[:start] + bytes(end - start) + content[end:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return found[0]


def move_clock(folder: Path, fault: Fault) -> bool:
    """Give checkpoints the times of a clock that was wrong by up to a year, and return whether there were any."""
    found = checkpoints(folder)
    offset = (fault.draws[0] - 0.5) * 2 * 365 * 86_400
    for number, path in enumerate(found):
        if number == int(fault.draws[1] * len(found)) or fault.draws[2 + number % 2] < 0.5:
            for file in (path, *(path.rglob("*") if path.is_dir() else ())):
                seconds = file.stat().st_mtime + offset
                os.utime(file, (seconds, seconds))
    return bool(found)
