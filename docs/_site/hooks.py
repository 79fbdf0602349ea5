"""What the site adds to the pages of docs/: the notebooks, the changelog, and links from names to the reference."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_BESIDE_DOCS = re.compile(r"\]\(((?:\.\./)*)\.\./(notebooks/|CHANGELOG\.md)")
_NAME = re.compile(r"([\w.]+)(\(.*)?")
_UNLINKED = {"a", "autoref", "pre", "h1", "h2", "h3", "h4"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the Markdown extension that links names, with those that the pages of the reference hold."""
    pages = Path(config.docs_dir).glob("reference/*.md")
    identifiers = [name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.MULTILINE)]
    config.markdown_extensions.append(_NameLinks(identifiers))
    return config


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files beside docs/ that are pages of the site."""
    for path in [*sorted((_ROOT / "notebooks").glob("*.ipynb")), _ROOT / "CHANGELOG.md"]:
        files.append(File(str(path.relative_to(_ROOT)), str(_ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links of the repository into those of the site, and show the code that tests only compile."""
    markdown = markdown.replace("\n```python notest\n", "\n```python\n")
    if page.file.src_uri == "CHANGELOG.md":
        return markdown.replace("](docs/", "](").replace("]: docs/", "]: ")
    return _BESIDE_DOCS.sub(r"](\1\2", markdown)


class _NameLinks(Extension):
    """Links `EpochOrder` and `index_at(order, 3)`, in pages and in docstrings, to the reference."""

    def __init__(self, identifiers: list[str]) -> None:
        super().__init__()
        unlinked = (
            "bionemo.data.pipes.nodes",
            "bionemo.data.testing.strategies",
        )  # words such as `batch` and `lengths`
        names = [identifier.rpartition(".")[2] for identifier in identifiers if not identifier.startswith(unlinked)]
        by_name = {each.rpartition(".")[2]: each for each in identifiers}
        is_one = {name: each for name, each in by_name.items() if names.count(name) == 1}
        self.identifiers = is_one | {identifier: identifier for identifier in identifiers}

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Run after the inline patterns, which make the elements of code."""
        md.treeprocessors.register(_LinkNames(md, self.identifiers), "name_links", 15)


class _LinkNames(Treeprocessor):
    def __init__(self, md: Markdown, identifiers: dict[str, str]) -> None:
        super().__init__(md)
        self.identifiers = identifiers

    def run(self, root: ET.Element) -> None:
        for parent in [element for element in root.iter() if element.tag not in _UNLINKED]:
            for position, child in enumerate(parent):
                identifier = self._identifier(child.text or "") if child.tag == "code" else None
                if identifier:
                    link = ET.Element("autoref", {"identifier": identifier})
                    link.tail, child.tail = child.tail, None
                    link.append(child)
                    parent[position] = link

    def _identifier(self, code: str) -> str | None:
        """Return what a code names. A word alone, such as `window`, is rather an argument than a function."""
        match = _NAME.fullmatch(code)
        if match is None or (match[2] is None and match[1].islower() and "_" not in match[1]):
            return None
        return self.identifiers.get(match[1])
