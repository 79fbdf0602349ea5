"""The program, killed with SIGKILL and resumed, ends as if it had not been interrupted."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

STEPS = 220
OPTIONS = ["--steps", str(STEPS), "--batch-size", "3", "--max-length", "24", "--seed", "5"]


def start(log: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__).with_name("recorded_run.py")), str(log), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return out


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def wait_until(process: subprocess.Popen, happened) -> None:
    deadline = time.monotonic() + 180
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def kill_when(process: subprocess.Popen, happened) -> None:
    wait_until(process, happened)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def effective(log: Path) -> dict[int, str]:
    """Return the digest of the batch that each step was trained on most recently."""
    return dict(line.split() for line in lines(log))


def table_of(out: str) -> list[str]:
    """Return the lines of a run's table, without the one about speed."""
    table = out.splitlines()
    return [line for line in table[table.index("", -10) :] if "per second" not in line]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("proteins") / "few.fasta"
    letters = "ACDEFGHIKLMNPQRSTVWY"
    path.write_text("".join(f">p{n}\n{''.join(letters[(n * k + k) % 20] for k in range(5 + n))}\n" for n in range(40)))
    return path


@pytest.mark.parametrize(
    "wanted",
    [
        ["while it is written, or right after"],
        pytest.param(
            [
                "before the first step",
                "before the first checkpoint",
                "while it is written, or right after",
                "after several",
            ],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_killed_run_ends_with_the_same_batches_weights_and_metrics(
    fasta: Path, tmp_path: Path, wanted: list[str]
) -> None:
    whole, log, cut, cut_log = (tmp_path / name for name in ("whole", "whole.log", "cut", "cut.log"))
    out = finish(start(log, "--fasta", str(fasta), "--out", str(whole), *OPTIONS))

    moments = {
        "before the first step": (cut / "run.json").exists,
        "before the first checkpoint": lambda: len(lines(cut_log)) >= 20,
        "while it is written, or right after": lambda: (
            any(cut.glob(".checkpoint.ckpt.*.partial")) or (cut / "checkpoint.ckpt").exists()
        ),
        "after several": lambda: any(int(line.split()[0]) >= 120 for line in lines(cut_log)),
    }
    for number, name in enumerate(wanted):
        arguments = ["--resume", str(cut)] if number else ["--fasta", str(fasta), "--out", str(cut), *OPTIONS]
        kill_when(start(cut_log, *arguments), moments[name])
    resumed = finish(start(cut_log, "--resume", str(cut)))

    begun = [int(line.split()[0]) for line in lines(cut_log)]
    assert len(begun) >= STEPS + 20 * ("before the first checkpoint" in wanted), "that kill costs some steps"
    assert effective(cut_log) == effective(log)
    assert sorted(map(int, effective(log))) == list(range(STEPS))
    ends = [torch.load(folder / "checkpoint.ckpt", weights_only=True) for folder in (whole, cut)]
    assert ends[0]["global_step"] == STEPS
    for name, weights in ends[0]["state_dict"].items():
        assert torch.equal(weights, ends[1]["state_dict"][name]), name
    assert (whole / "metrics.csv").read_bytes() == (cut / "metrics.csv").read_bytes()
    assert (whole / "pipeline.json").read_bytes() == (cut / "pipeline.json").read_bytes()
    assert table_of(resumed) == table_of(out)


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_resume(fasta: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    process = start(log, "--fasta", str(fasta), "--out", str(folder), *OPTIONS[2:], "--steps", "100000")
    wait_until(process, lambda: len(lines(log)) >= 60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"protein_mlm: interrupted. Resume from the last checkpoint with --resume {folder}\n" in err
    assert "Traceback" not in err
    finish(start(log, "--resume", str(folder), "--steps", "60"))
