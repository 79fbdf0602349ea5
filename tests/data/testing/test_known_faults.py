"""The laws find known faults of other libraries, each in an environment of its own; see docs/how_to/testing.md."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import install
from tests.data.testing import known_faults
from tests.data.testing.known_faults import FAULTS, Fault, complement_in_place, names

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how_to" / "testing.md"


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "name"), [*zip(FAULTS, names(), strict=True)], ids=names())
def test_a_known_fault_is_found(fault: Fault, name: str) -> None:
    paths = [str(install(" ".join(fault.requirements), *fault.requirements))] if fault.requirements else []
    command = [sys.executable, "-m", "tests.data.testing.known_faults", name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)])}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stderr
    said = run.stdout.strip().splitlines()[-1]
    assert re.search(fault.message, said) if fault.message else said == "holds", said


def test_the_page_lists_the_faults_with_the_statements_of_their_checks() -> None:
    tree = ast.parse(Path(known_faults.__file__).read_text())
    functions = {part.name: part for part in tree.body if isinstance(part, ast.FunctionDef)}

    def count(name: str) -> int:
        parts = list(ast.walk(functions[name]))
        own = (
            sum(isinstance(part, ast.stmt) and not isinstance(part, ast.Import | ast.ImportFrom) for part in parts) - 1
        )
        used = {part.id for part in parts if isinstance(part, ast.Name)} & {"_stream", "_prepared"}
        return own + sum(map(count, used))

    expected = [count(fault.run.__name__) for fault in FAULTS if fault.message and fault.run is not complement_in_place]
    rows = re.findall(r"^\|.*`(?:assert|check)_\w+` \|.*\| (\d+) \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert [int(row) for row in rows] == expected
