"""The README keeps its word."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


SCRIPT, COLLATE = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_its_training_script_runs(tmp_path: Path) -> None:
    assert len(SCRIPT.split("\n\n")[1].splitlines()) == 10, "the README promises ten lines"
    check = (
        "assert batches.state_dict()['consumed_samples'] == 400 and loss < 4 and len(batch_at(pipeline, 37)[0]) == 8\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT + check], check=True, cwd=tmp_path, timeout=120)


def test_its_collate_makes_a_batch_for_transformers() -> None:
    names: dict = {}
    exec(COLLATE, names)
    batch = names["collate"]([{"input_ids": [5, 6], "labels": [7, 8]}, {"input_ids": [9], "labels": [9]}])
    assert {name: part.tolist() for name, part in batch.items()} == {
        "input_ids": [[5, 6], [9, 1]],
        "labels": [[7, 8], [9, -100]],
        "attention_mask": [[1, 1], [1, 0]],
    }


def test_its_files_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_its_test_command() -> None:
    assert "\nmake test " in README
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake test")
