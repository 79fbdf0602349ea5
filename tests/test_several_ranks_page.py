"""The script of docs/how_to/several_ranks.md under torchrun: it resumes on other ranks, at the next sample."""

import re
from pathlib import Path

import pytest
import torch

from tests.torchrun import ROOT, run_on_ranks

PAGE = ROOT / "docs" / "how_to" / "several_ranks.md"


def run(folder: Path, history: list[int]) -> dict:
    """Run the script some times, each on a number of ranks, and return its last checkpoint."""
    folder.mkdir()
    make_files, script = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    exec(make_files.replace('Path(f"{name}.fasta")', f'Path({str(folder)!r}, f"{{name}}.fasta")'), {})
    (folder / "train.py").write_text(
        f"import os\nimport torch\nos.chdir({str(folder)!r})\ntorch.manual_seed(1)\n{script}"
    )
    for ranks in history:
        run_on_ranks(str(folder / "train.py"), ranks=ranks, timeout=120)
    return torch.load(folder / "checkpoint.pt")


def test_the_script_has_fewer_than_40_lines() -> None:
    script = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)[1]
    assert script.count("\n") < 40


@pytest.mark.slow
def test_a_run_on_two_ranks_resumes_on_one_and_equals_a_run_on_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", [1, 1])
    resumed = run(tmp_path / "resumed", [2, 1])
    assert resumed["data"] == whole["data"]
    assert resumed["data"]["consumed_samples"] > 200
    for name, weights in whole["model"].items():
        torch.testing.assert_close(resumed["model"][name], weights)
