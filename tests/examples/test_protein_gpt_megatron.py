"""The tensor-parallel training example, run as a user runs it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bionemo.examples.protein_gpt_megatron import main, residue_labels
from bionemo.examples.protein_mlm.pipelines import collate
from bionemo.examples.protein_mlm.proteins import encode

COMMAND = [sys.executable, "-m", "bionemo.examples.protein_gpt_megatron"]


def losses(out: str) -> list[float]:
    return [float(line.split()[1]) for line in out.splitlines() if re.fullmatch(r" *\d+  \d\.\d{3}", line)]


@pytest.mark.slow  # tests/adapters/test_megatron_ranks.py trains on two ranks in every run
def test_two_processes_have_the_losses_of_one_and_the_loss_falls() -> None:
    found = {
        number: subprocess.run(
            [*COMMAND, "--steps", "50", "--processes", number], capture_output=True, text=True, timeout=240
        )
        for number in "12"
    }
    for number, run in found.items():
        assert run.returncode == 0, run.stderr
        assert run.stderr == ""
        assert f"processes: {number}," in run.stdout
        assert len(losses(run.stdout)) == 3
    assert losses(found["1"].stdout) == pytest.approx(losses(found["2"].stdout), abs=2e-3)
    first, *_, last = losses(found["2"].stdout)
    assert last < first - 0.3
    assert found["2"].stdout.splitlines()[-1].endswith("amino-acid frequencies alone give 2.892")


@pytest.mark.slow
def test_ctrl_c_ends_all_processes() -> None:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(COMMAND, **streams, start_new_session=True)
    while "    1  " not in running.stdout.readline():
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGINT)  # to all processes, as a terminal sends it
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_other_is_ended() -> None:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(COMMAND, **streams, start_new_session=True)
    while "    1  " not in running.stdout.readline():
        assert running.poll() is None
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    ranks = {Path(f"/proc/{child}/environ").read_bytes().split(b"\0LOCAL_RANK=")[1][:1]: child for child in children}
    os.kill(int(ranks[b"1"]), signal.SIGKILL)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert said.splitlines()[-1] == "protein_gpt_megatron: process 1 ended by SIGKILL."
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: must be in 1..2147483648, got 0"),
        (["--seed", "x"], "argument --seed: must be an integer, got 'x'"),
        (["--processes", "3"], "argument --processes: invalid choice: 3"),
        (["--fasta", "x"], "unrecognized arguments: --fasta x"),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(capsys, arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"protein_gpt_megatron: {message}")
    assert err.count("\n") == 1


def test_without_megatron_core_the_error_names_the_extra(capsys, monkeypatch) -> None:
    monkeypatch.setattr("bionemo.examples.protein_gpt_megatron.find_spec", lambda name: None)
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "protein_gpt_megatron: megatron-core isn't installed: pip install 'bionemo-core[megatron]'\n"
    )


def test_only_standard_residues_are_labels() -> None:
    batch = residue_labels(collate([encode("MKX"), encode("A")]), seeds=torch.zeros(2))
    m, k, a = (int(encode(letter)[1]) for letter in "MKA")
    assert batch["labels"].tolist() == [[m, k, -100, -100, -100], [a, -100, -100, -100, -100]]
