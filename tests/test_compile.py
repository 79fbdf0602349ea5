"""What runs under torch.compile, in a process without the type checker of the test run, which can't be compiled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler, and there is none on the path")
def test_hash_permutation_and_masking_compile_whole_and_give_the_same_answers() -> None:
    script = Path(__file__).with_name("compiled_cases.py")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["hashing", "permutation", "masking"]
