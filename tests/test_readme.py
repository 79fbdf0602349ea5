"""The README keeps its word."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_training_script_runs(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(script.split("\n\n")[1].splitlines()) == 10, "the README promises ten lines"
    check = (
        "assert batches.state_dict()['consumed_samples'] == 400 and loss < 4 and len(batch_at(pipeline, 37)[0]) == 8\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script + check], check=True, cwd=tmp_path, timeout=120)


def test_its_files_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_its_test_command() -> None:
    assert "\nmake test " in README
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake test")
