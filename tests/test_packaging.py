"""Tests of the wheel, installed together with another distribution that has a package in the same namespace."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("dist")
    for source in (ROOT, ROOT / "tests" / "dependent_package"):
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source, cwd=folder)
    return sorted(folder.glob("*.whl"))


def test_the_wheel_contains_only_the_packages_and_their_data(wheels: list[Path]) -> None:
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert wheels[0].name == "bionemo_core-3.0.0a1-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"bionemo", "bionemo_core-3.0.0a1.dist-info"}
    assert "bionemo/__init__.py" not in names
    for package in ("core", "data", "adapters", "examples"):
        assert f"bionemo/{package}/py.typed" in names
    assert {"bionemo/examples/data/swissprot_2k.fasta.gz", "bionemo/examples/data/SOURCES.md"} <= set(names)
    assert "bionemo/core/resources/catalog/proteins.yaml" in names


@pytest.mark.slow
def test_both_wheels_install_into_an_empty_environment_and_import(wheels: list[Path], tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    # Only the dependent package is named: bionemo-core and its dependencies come with it.
    options = ("--quiet", "--constraint", ROOT / "constraints.txt", "--find-links", wheels[0].parent)
    run(python, "-m", "pip", "install", *options, wheels[1], cwd=tmp_path)
    script = """
import bionemo.core, bionemo.data, bionemo.data.pipes, bionemo.adapters.lightning, bionemo.dependent
from importlib.metadata import version
assert not hasattr(bionemo, "__file__") or bionemo.__file__ is None
order = bionemo.dependent.EpochOrder(length=3, seed=7, num_samples=3)
print(version("bionemo-core"), version("bionemo-dependent"), [order.index_at(position).idx for position in range(3)])
try:
    import bionemo.examples.protein_mlm.program
except ModuleNotFoundError as error:
    print(error)
"""
    lines = run(python, "-W", "error", "-c", script, cwd=tmp_path).splitlines()
    assert lines[0].startswith("3.0.0a1 1.0 [")
    assert lines[1] == "the examples need Biopython and matplotlib: pip install 'bionemo-core[demo]'"
