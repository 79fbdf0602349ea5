"""The script of docs/how_to/several_ranks.md under torchrun: killed on two ranks, it resumes on two or on one."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from tests.torchrun import ROOT, run_on_ranks, torchrun

PAGE = ROOT / "docs" / "how_to" / "several_ranks.md"
MAKE_FILES, SCRIPT = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
KILL = "        if step == 25 and 'KILL' in os.environ:\n            os.kill(os.getpid(), 9)\n"
SAVE = "if rank == 0:\n    torch.save({'model': model.state_dict(), 'data': batches.state_dict()}, 'end.pt')\n"


def run(folder: Path, *, ranks: int, killed_on: int = 0) -> dict:
    """Run the script, if asked for first on some ranks that are killed in step 25, and return its last state."""
    folder.mkdir()
    exec(MAKE_FILES.replace('Path(f"{name}.fasta")', f'Path({str(folder)!r}, f"{{name}}.fasta")'), {})
    program = folder / "train.py"
    before_saving = "        if step % 10 == 9:\n"
    text = SCRIPT.replace(before_saving, KILL + before_saving).replace("print(f", f"{SAVE}print(f")
    program.write_text(f"import os\nos.chdir({str(folder)!r})\n{text}")
    if killed_on:
        killed = torchrun(str(program), ranks=killed_on, env={"KILL": "1"}, stderr=subprocess.PIPE)
        _, errors = killed.communicate(timeout=120)
        assert "SIGKILL" in errors
        assert not (folder / "end.pt").exists()
    run_on_ranks(str(program), ranks=ranks, timeout=120)
    return torch.load(folder / "end.pt")


def test_the_script_has_fewer_than_40_lines() -> None:
    assert len([line for line in SCRIPT.splitlines() if line.strip()]) < 40


@pytest.mark.slow
def test_a_run_that_is_killed_resumes_on_two_ranks_to_the_bit_and_on_one_to_rounding(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ranks=2)
    same = run(tmp_path / "same", ranks=2, killed_on=2)
    fewer = run(tmp_path / "fewer", ranks=1, killed_on=2)
    assert whole["data"]["consumed_samples"] > 400
    assert same["data"] == fewer["data"] == whole["data"]
    for name, weights in whole["model"].items():
        torch.testing.assert_close(same["model"][name], weights, rtol=0, atol=0)
        torch.testing.assert_close(fewer["model"][name], weights)
