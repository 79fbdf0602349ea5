"""A model package that uses only public names of this one has the same loss in every kind of training."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters import megatron_on_cpu

PACKAGE = Path(__file__).parent / "dependent_package"


def test_it_uses_public_names_only() -> None:
    for path in sorted((PACKAGE / "bionemo" / "dependent").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bionemo."):
                module = __import__(node.module, fromlist=["__all__"]) if "dependent" not in node.module else None
                assert module is None or {alias.name for alias in node.names} <= set(module.__all__), path


def losses(dropout: float, *ways: str, run: tuple[str, ...] = ("-m",)) -> dict[str, list[float]]:
    found = subprocess.run(
        [sys.executable, *run, "bionemo.dependent.train", str(dropout), *ways],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_ten_steps_have_the_same_loss_in_a_plain_loop_and_under_lightning() -> None:
    found = losses(0.1, "plain", "lightning")
    assert len(found["plain"]) == 10
    assert found["plain"][-1] < found["plain"][0] - 0.1
    assert found["lightning"] == found["plain"]


@pytest.mark.slow
def test_ten_steps_have_the_same_loss_as_a_pure_function() -> None:
    """Without dropout: torch draws it in memory order, which a transform of a recurrent layer changes."""
    found = losses(0.0, "plain", "functional")
    assert found["functional"] == pytest.approx(found["plain"], rel=1e-6)


@pytest.mark.slow  # tests/adapters/test_megatron_training.py compares them, too
def test_ten_steps_have_the_same_loss_in_megatrons_schedule() -> None:
    """To rounding: Megatron divides the gradient by the number of tokens, the others divide the loss."""
    found = losses(0.1, "plain", "megatron", run=(megatron_on_cpu.__file__,))
    assert len(found["megatron"]) == 10
    assert found["megatron"] == pytest.approx(found["plain"], rel=1e-6)
