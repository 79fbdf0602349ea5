"""What a run was measured on: the machine, the versions, the date and the commit."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ("torch", "torchdata", "numpy", "datasets", "transformers", "megatron-core", "anndata", "tokenizers")
PEERS = (
    "bionemo-core 2.4.5",
    "grain 0.2.18",
    "trl 1.16.0",
    "mosaicml-streaming 0.13.0",
    "litdata 0.2.76",
    "scdataset 0.3.0",
)


@attrs.frozen(kw_only=True)
class Run:
    """A run of the benchmarks.

    Args:
        processor: model and number of cores.
        memory: gigabytes.
        kernel: name and release.
        versions: of Python and of the libraries.
        date: day and time, UTC.
        commit: of this library, with a mark if files were changed after it.
        load: processes that other programs had running at the start, on average over a minute.
        is_quick: whether it was `make bench-quick`.
        minutes: how long it took.
        again: subjects that were measured again later, with the date and the commit.
    """

    processor: str
    memory: float
    kernel: str
    versions: tuple[str, ...]
    date: str
    commit: str
    load: float
    is_quick: bool = False
    minutes: float = 0.0
    again: tuple[str, ...] = ()


def this_run(*, is_quick: bool) -> Run:
    """Return the record of a run that begins now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    installed = [f"{name} {importlib.metadata.version(name)}" for name in DISTRIBUTIONS]
    return Run(
        processor=f"{model}, {os.cpu_count()} cores",
        memory=round(pages / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        versions=(f"Python {platform.python_version()}", *installed, *PEERS),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit(),
        load=round(os.getloadavg()[0], 1),
        is_quick=is_quick,
    )


def commit() -> str:
    """Return the abbreviated commit, with "and changes" if tracked files differ from it, or "unknown"."""

    def ask(*words: str) -> str:
        return subprocess.check_output(["git", *words], cwd=ROOT, text=True).strip()  # noqa: S603, S607

    try:
        name = ask("rev-parse", "--short=10", "HEAD")
        return f"{name} and changes" if ask("status", "--porcelain", "--untracked-files=no") else name
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
