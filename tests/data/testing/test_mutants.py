"""Mutation score: the laws find every fault of some thirty that were put into this library on purpose."""

import subprocess
import sys

import pytest

from tests.data.testing.mutants import MUTANTS, ROOT


def test_there_are_thirty_faults_in_the_present_source() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30
    for mutant in MUTANTS:
        source = (ROOT / f"{mutant.module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert source.count(mutant.before) == 1, mutant.name


@pytest.mark.slow
def test_the_laws_find_all_of_them_and_none_in_the_library_itself() -> None:
    command = [sys.executable, "-m", "tests.data.testing.mutants"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stdout + run.stderr
    assert lines[0].endswith(": no law is broken")
    assert len(lines) == 1 + len(MUTANTS)
