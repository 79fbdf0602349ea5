"""Tests of tensor functions under torch.compile, in processes without the type checker, which can't be compiled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FEW = ["hashing"]
MANY = ["draws", "permutation", "masking", "targets"]
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler on the PATH")


def run_cases(backend: str, *cases: str) -> None:
    script = Path(__file__).with_name("compiled_cases.py")
    run = subprocess.run([sys.executable, str(script), backend, *cases], capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == list(cases)


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
def test_one_graph_is_reused_for_all_lengths_seeds_and_sizes(cases: list[str]) -> None:
    run_cases("aot_eager", *cases)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("case", ["hashing", "draws", "permutation", "masking", "targets", "loading"])
def test_machine_code_gives_the_same_results_as_eager_mode(case: str) -> None:
    run_cases("inductor", case)
