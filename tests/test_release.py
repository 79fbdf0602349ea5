"""Tests of what is cheap in the release checklist; `make release-check` runs all of it."""

import datetime as dt
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from tests.release.environments import NAMES, environment

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def entries() -> list[tuple[str, str]]:
    """Return the heading of each version, and the text below it."""
    parts = re.split(r"^## (.*)$", CHANGELOG, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_the_version_is_one_of_pep_440_in_its_normal_form() -> None:
    assert str(Version(PROJECT["version"])) == PROJECT["version"] == version("bionemo-core")


def test_the_top_entry_of_the_changelog_is_the_version_or_unreleased() -> None:
    headings = [heading for heading, _ in entries() if heading != "[Unreleased]"]
    found = re.fullmatch(r"\[(\S+)\] - (\d{4}-\d{2}-\d{2})", headings[0])
    assert found, headings[0]
    assert found[1] == PROJECT["version"]
    dt.date.fromisoformat(found[2])


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    for _, text in entries():
        sections = re.findall(r"^### (.*)$", text, flags=re.MULTILINE)
        assert sections
        assert sections == sorted(set(sections), key=KINDS.index)
    versions = [Version(heading.split("]")[0][1:]) for heading, _ in entries() if heading != "[Unreleased]"]
    assert versions == sorted(versions, reverse=True)


def test_the_citation_file_agrees_with_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    found = [citation[name] for name in ("title", "version", "license")]
    assert found == [PROJECT["name"], PROJECT["version"], PROJECT["license"]]
    assert f"[{citation['version']}] - {citation['date-released']}" in CHANGELOG


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"])
def test_a_document_of_the_project_is_in_the_sdist_and_its_links_lead_somewhere(name: str) -> None:
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert f"/{name}" in included["include"]
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text()):
        assert "://" in link or (ROOT / link).exists(), link


def test_the_contribution_guide_is_one_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60


def test_every_dependency_has_a_lower_bound() -> None:
    extras = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "compat" for line in lines]
    without = [line for line in [*PROJECT["dependencies"], *extras] if ">=" not in line]
    assert [line for line in without if not line.startswith("bionemo-core[")] == []


def test_environments_of_the_checklist_have_no_paths_to_this_clone(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    found = environment()
    assert "PYTHONPATH" not in found
    assert found[NAMES["PIP_FIND_LINKS"]] == "/wheels"


@pytest.mark.slow
def test_the_script_of_a_user_is_typed_and_runs(tmp_path: Path) -> None:
    script = ROOT / "tests" / "release" / "user_script.py"
    checked = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path), str(script)]
    for command in (checked, [sys.executable, str(script)]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
