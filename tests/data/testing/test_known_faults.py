"""The laws find known faults of other libraries, each in an environment of its own; see docs/testing.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import install
from tests.data.testing.known_faults import FAULTS, Fault, names

ROOT = Path(__file__).parents[3]
QUICK = {"without_set_epoch", "samples_fill_the_ranks", "tokens_per_batch_on_each_rank", "strand_of_the_global_state"}


def marked(fault: Fault, name: str):
    is_slow = fault.requirements or name not in QUICK
    return pytest.param(fault, name, id=name, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize(("fault", "name"), [*map(marked, FAULTS, names())])
def test_a_known_fault_is_found(fault: Fault, name: str) -> None:
    paths = [str(install(" ".join(fault.requirements), *fault.requirements))] if fault.requirements else []
    command = [sys.executable, "-m", "tests.data.testing.known_faults", name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)])}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stderr
    said = run.stdout.strip().splitlines()[-1]
    assert re.search(fault.message, said) if fault.message else said == "holds", said
