"""The script to copy: a run that is killed resumes from its checkpoint and prints the same losses."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bionemo.examples import minimal

ROOT = Path(__file__).parents[2]
KILLED_WHILE_WRITING_THE_SECOND_CHECKPOINT = f"""
import os, signal, sys, torch
sys.path.insert(0, {str(ROOT)!r})
from bionemo.examples import minimal
torch.set_num_threads({torch.get_num_threads()})
write_atomically = minimal.write_atomically

def write_half(file):
    file.write(b"half a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

minimal.write_atomically = lambda path, write: write_atomically(path, write_half if path.exists() else write)
minimal._main()
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch, capsys):
    def train(name: str, *, records: int = 40) -> tuple[list[str], dict]:
        """Run the script in a folder; return what it prints and its checkpoint."""
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        fasta = "".join(f">p{n} x\n{'MKVLAAGWYC' * (n % 9)}\nDEFHINPQRST\n" for n in range(records))
        Path("few.fasta").write_text(fasta)
        monkeypatch.setattr(sys, "argv", ["minimal", "few.fasta", "35"])
        minimal._main()
        return capsys.readouterr().out.splitlines(), torch.load("minimal.pt", weights_only=True)

    return train


def test_a_killed_run_resumes_with_the_same_losses_and_ends_with_the_same_state(train, tmp_path: Path) -> None:
    losses, state = train("whole")
    assert losses[0] == "40 proteins, 0 of 35 steps done"
    assert [line.split()[:2] for line in losses[1:]] == [["step", step] for step in ("10", "20", "30", "35")]
    (tmp_path / "killed").mkdir()
    command = [sys.executable, "-c", KILLED_WHILE_WRITING_THE_SECOND_CHECKPOINT, "../whole/few.fasta", "35"]
    assert subprocess.run(command, cwd=tmp_path / "killed").returncode == -signal.SIGKILL
    resumed_losses, resumed_state = train("killed")
    assert resumed_losses == ["40 proteins, 10 of 35 steps done", *losses[2:]]
    assert resumed_state.pop("batches") == state.pop("batches")
    torch.testing.assert_close(resumed_state, state, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"order.length \(was 40, is 41\)"):
        train("killed", records=41)
