"""The pieces of HTML, and batches as HTML."""

from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.html import pieces, token_kinds
from bionemo.core.html.batch import batch_html
from bionemo.core.model.cross_entropy import IGNORE_INDEX
from bionemo.data import CorruptedSpans, MaskedTokens, Throughput, collate_packed


class Tree(HTMLParser):
    """Checks that tags are balanced, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.words, self.tags, self.styles = [], [], [], []

    def handle_starttag(self, tag, attrs) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.styles += [value for name, value in attrs if name == "style"]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


def parsed(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.open == []
    assert not {"script", "style", "link", "img"} & {*tree.tags}
    return tree


@given(words=st.text(max_size=300), title=st.text(max_size=30))
def test_every_text_is_escaped(words: str, title: str) -> None:
    rows = [(title, pieces.text(words)), (words, pieces.cells([(words, "red", words)]))]
    tree = parsed(pieces.card(title, pieces.table(rows), pieces.details(words, pieces.bar([(0.5, "red", words)]))))
    assert set(tree.tags) <= {"div", "strong", "table", "tbody", "tr", "td", "span", "details", "summary"}


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    assert pieces.text("<" * 1000) == "&lt;" * 197 + "..."


@pytest.mark.parametrize("fraction", [-1.0, 0, 0.3, 1, 7.5])
def test_a_bar_never_leaves_its_frame(fraction: float) -> None:
    (outer, inner) = parsed(pieces.bar([(fraction, "red", "")])).styles
    width = float(inner.split("width:")[1].split("%")[0])
    assert width == pytest.approx(100 * min(max(fraction, 0), 1))
    assert "overflow:hidden" in outer


def test_no_color_is_opaque_black_or_white() -> None:
    colors = [pieces.color_of(number) for number in range(8)] + [pieces.shade_of(part / 9) for part in range(10)]
    assert len(set(colors)) == 18
    assert all("50% /" in color for color in colors)  # of middling lightness, and half-transparent


IDS = torch.tensor([[5, 6, 7], [8, 1, 1]])
LABELS = torch.tensor([[-100, 6, -100], [8, -100, -100]])


def test_kinds_of_tokens() -> None:
    parts = token_kinds.batch_parts({"ids": IDS, "mask": IDS > 1, "labels": LABELS})
    assert token_kinds.token_kinds(parts).tolist() == [[1, 2, 1], [2, 0, 0]]
    assert token_kinds._IGNORED == IGNORE_INDEX


def test_names_of_the_transformers_library_are_known() -> None:
    parts = token_kinds.batch_parts({"input_ids": IDS, "attention_mask": (IDS > 1).long()})
    assert token_kinds.token_kinds(parts).tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        (3, TypeError, "batch must be a mapping, a named tuple or a pair .ids, mask., got batch=3"),
        ({1: IDS}, TypeError, "batch must be a mapping"),
        ({"ids": [1, 2]}, TypeError, "batch must hold tensors, got ids="),
        ({"mask": IDS}, ValueError, "batch must hold ids of shape .rows, length. or .tokens,., got shape=None"),
        ({"ids": IDS[None]}, ValueError, r"got shape=\(1, 2, 3\)"),
        ({"ids": IDS, "mask": IDS[:1]}, ValueError, "batch must hold ids, mask and labels of one shape"),
    ],
)
def test_what_is_no_batch_is_refused(batch, error, message) -> None:
    with pytest.raises(error, match=message):
        token_kinds.batch_parts(batch)


def test_a_batch_shows_shapes_and_fractions_and_no_tokens() -> None:
    words = " ".join(parsed(batch_html({"ids": IDS * 1111, "mask": IDS > 1, "labels": LABELS}, title="<b>")).words)
    assert "int64 (2, 3)" in words
    assert "padding 33.3%" in words
    assert "target 33.3%" in words
    assert "5555" not in words
    assert "<b>" in words


def test_the_named_tuples_of_batches_are_shown() -> None:
    masked = MaskedTokens(IDS, LABELS)
    spans = CorruptedSpans(IDS, IDS > 1, IDS, IDS > 5)
    assert "target 33.3%" in "".join(parsed(masked._repr_html_()).words)
    assert parsed(spans._repr_html_()).tags.count("svg") == 2  # rows, and targets
    assert "samples_per_second" in parsed(Throughput(3, 0.5, 1.0, 2.0)._repr_html_()).words


@given(rows=st.integers(0, 40), columns=st.integers(0, 400))
def test_a_batch_of_any_size_is_small_as_html(rows: int, columns: int) -> None:
    ids = torch.ones(rows, columns, dtype=torch.int64)
    html = batch_html({"ids": ids, "mask": ids > 0, "note": "x" * 1000, "rest": None})
    parsed(html)
    assert len(html) < 4000


def test_the_picture_has_the_runs_of_each_kind() -> None:
    html = batch_html({"ids": IDS, "mask": IDS > 1, "labels": LABELS})
    assert 'd="M6 6h12v5h-12z"' in html  # padding: columns 1 and 2 of row 1, at 6 pixels each
    assert 'd="M6 0h6v5h-6zM0 6h6v5h-6z"' in html  # targets


def test_packed_traced_and_strange_batches_are_shown() -> None:
    packed = collate_packed([[5] * 500, [8] * 500], length=1024)
    assert "first 768 of 1,024 tokens" in "".join(parsed(batch_html(packed)).words)
    meta = {"ids": torch.ones(2, 3, device="meta"), "mask": torch.ones(2, 3, device="meta")}
    assert "on meta" in "".join(parsed(batch_html(meta)).words)
    assert "svg" not in parsed(batch_html({"other": [1, 2]})).tags
