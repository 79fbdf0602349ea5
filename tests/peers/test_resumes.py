"""docs/what_resumes_where.md says of each library what a resumed run of it reads."""

import functools
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers import install

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "what_resumes_where.md"
MODULES = {
    "bionemo-core": "bionemo",
    "torchdata": "torchdata",
    "datasets": "datasets",
    "transformers": "transformers",
    "TRL": "trl",
    "grain": "grain",
    "torchtitan": "torchtitan",
    "mosaicml-streaming": "streaming",
    "LitData": "litdata",
    "scDataset": "scdataset",
    "Megatron-Energon": "energon",
    "megatron-core": "megatron",
}
IS_INSTALLED = {"bionemo", "torchdata", "datasets", "transformers", "megatron"}


def sections() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the library of each table of verdicts, its version, and what the page says of each case."""
    for part in PAGE.read_text().split("\n### ")[1:]:
        title = re.match(r"(\S+) (\d[\w.]*)\n", part)
        if title:
            rows = re.findall(r"^\| (.+?) \| (.+?) \|$", part.partition("\n## ")[0], flags=re.MULTILINE)[1:]
            yield title[1], title[2], {name.replace("`", ""): said.replace("`", "") for name, said in rows}


over_libraries = pytest.mark.parametrize(
    ("library", "version", "said"), [pytest.param(*each, id=each[0]) for each in sections()]
)


@functools.cache
def verdicts(module: str, requirements: tuple[str, ...]) -> dict[str, str]:
    """Return what happens with each case of a library, in an environment of its own."""
    paths = [] if module in IS_INSTALLED else [str(install(" ".join(requirements)[:100], *requirements))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)])}
    command = [sys.executable, "-m", "tests.peers", module]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@over_libraries
def test_the_page_names_the_version_that_is_tried(library: str, version: str, said: dict[str, str]) -> None:
    requirement = importlib.import_module(f"tests.peers.with_{MODULES[library]}").REQUIREMENTS[0]
    assert requirement.endswith(f"=={version}")
    assert said


@pytest.mark.slow
@over_libraries
def test_a_resumed_run_reads_what_the_page_says(library: str, version: str, said: dict[str, str]) -> None:
    module = importlib.import_module(f"tests.peers.with_{MODULES[library]}")
    found = verdicts(MODULES[library], module.REQUIREMENTS)
    assert {name.replace("`", ""): one.replace("`", "") for name, one in found.items()} == said


def test_every_library_has_a_table() -> None:
    assert {library for library, _, _ in sections()} == set(MODULES)
