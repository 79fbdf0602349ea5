"""The documentation site: it builds without a warning, and its reference has every public name."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIRECTIVE = re.compile(r"^::: (\S+)$", flags=re.MULTILINE)
REFERENCE = [
    name for page in sorted((ROOT / "docs" / "reference").glob("*.md")) for name in DIRECTIVE.findall(page.read_text())
]
PACKAGES = [
    "bionemo.adapters.distributed",
    "bionemo.adapters.huggingface",
    "bionemo.adapters.lightning",
    "bionemo.adapters.megatron",
    "bionemo.core",
    "bionemo.core.model.config",
    "bionemo.core.model.config_yaml",
    "bionemo.core.model.cross_entropy",
    "bionemo.core.model.functional",
    "bionemo.core.model.loss",
    "bionemo.core.padding",
    "bionemo.core.random",
    "bionemo.core.resources",
    "bionemo.core.utils.dtype",
    "bionemo.core.utils.subprocess_utils",
    "bionemo.data",
    "bionemo.data.pipes",
    "bionemo.data.pipes.nodes",
    "bionemo.data.plot",
    "bionemo.data.sources",
    "bionemo.data.testing",
    "bionemo.data.testing.strategies",
]
CONSTANTS = {"BIONEMO_CACHE_DIR", "IGNORE_INDEX", "LossType", "ModelType", "PrecisionTypes"}
"""Without a docstring that griffe could show."""


def resolve(dotted: str) -> object:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, timeout=600, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "WARNING" not in done.stderr
    site = tmp_path / "site"
    assert "def _main()" in re.sub(r"<[^>]+>", "", (site / "start" / "index.html").read_text()), (
        "the program is included"
    )
    assert (site / "notebooks" / "08_seeing_an_order" / "index.html").exists()
    page = (site / "how_to" / "mixtures" / "index.html").read_text()
    assert 'href="../../reference/orders/#bionemo.data.MixtureOrder"' in page, "names are links to the reference"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_has_each_public_name_of_a_package(package: str) -> None:
    documented = [resolve(name) for name in REFERENCE]
    for name in set(importlib.import_module(package).__all__) - CONSTANTS:
        public = resolve(f"{package}.{name}")
        assert any(each is public for each in documented), name


def test_the_reference_has_no_name_twice() -> None:
    assert len(set(REFERENCE)) == len(REFERENCE)
