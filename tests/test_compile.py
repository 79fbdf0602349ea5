"""What runs under torch.compile, in a process without the type checker of the test run, which can't be compiled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = ["hashing", "draws", "permutation", "epochs", "blocks", "resampling", "mixtures", "masking", "targets"]
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="torch.compile needs a C++ compiler, and there is none on the path"
)


def run_cases(backend: str, *cases: str) -> None:
    script = Path(__file__).with_name("compiled_cases.py")
    run = subprocess.run([sys.executable, str(script), backend, *cases], capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == list(cases)


def test_every_map_makes_one_graph_for_all_lengths_seeds_and_sizes() -> None:
    run_cases("aot_eager", *CASES)


@needs_compiler
def test_machine_code_gives_the_same_answers() -> None:
    run_cases("inductor", "hashing", "draws")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("case", ["permutation", "epochs", "blocks", "mixtures", "resampling", "masking", "targets"])
def test_machine_code_of_every_map_gives_the_same_answers(case: str) -> None:
    run_cases("inductor", case)
