"""The README and the pages of docs/: their code runs, and what they name exists."""

import contextlib
import importlib.util
import io
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SOURCES = "\n".join(path.read_text() for path in (ROOT / "bionemo").rglob("*.py"))

over_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_and_output(page: Path) -> list[tuple[str, str, str | None]]:
    """Return each Python block of a page with its fence's text, and the output block that follows it directly."""
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    found = []
    for block, following in itertools.zip_longest(blocks, blocks[1:]):
        if block["kind"].startswith("python"):
            is_output = following and following["kind"] == "text" and not text[block.end() : following.start()].strip()
            found.append((block["kind"], block["text"], following["text"] if is_output else None))
    return found


@pytest.mark.filterwarnings("ignore")  # Lightning's about the number of workers
@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": page.stem}
    for kind, code, output in code_and_output(page):
        compiled = compile(code, str(page), "exec")
        if kind == "python notest":  # needs GPUs, or is run by another test
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compiled, names)
        if output is not None:
            assert printed.getvalue() == output


def test_the_script_of_the_readme_runs_alone_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    ((_, script, output),) = code_and_output(README)
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, check=True, cwd=tmp_path, timeout=120, capture_output=True, text=True)
    assert done.stdout == output


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 130


@over_pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE) if heading else []
        anchors = [re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings]
        assert not heading or heading in anchors, target


def exists(dotted: str) -> bool:
    """Return whether a dotted name is that of a module, which is not imported, or of an attribute of one."""
    parent, _, name = dotted.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):  # of an attribute of a module that isn't a package
        if importlib.util.find_spec(dotted) is not None:
            return True
    return importlib.util.find_spec(parent) is not None and hasattr(importlib.import_module(parent), name)


@over_pages
def test_what_a_page_names_exists(page: Path) -> None:
    text = BLOCK.sub("", page.read_text())
    if page.parent.name == "coming_from":  # the first column of its tables names what others have
        text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE)
    for code in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(r"(?:tests|property_tests|benchmarks|docs|notebooks)/[\w/.]*\w", code):
            assert (ROOT / path).exists(), path
        for dotted in re.findall(r"\bbionemo(?:\.\w+)+", code):
            assert exists(dotted), dotted
        for target in re.findall(r"\bmake ([\w-]+)", code):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target
        for name in re.findall(r"(?<![\w.])([A-Za-z_]\w+)\(", code):
            assert re.search(rf"\b{name}\b", SOURCES), name


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "\nmake test " in README.read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nmake test")
