"""Laws of padding."""

import copy

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.model.cross_entropy import IGNORE_INDEX, token_cross_entropy
from bionemo.core.model.loss import mean_loss
from bionemo.core.padding import pad_token_ids, pad_token_ids_into, truncate_token_ids, unpad_token_ids

ROWS = st.lists(st.lists(st.integers(-100, 100), max_size=30), max_size=8)
CONTAINERS = (list, tuple, np.array, torch.tensor)
SIDES = st.sampled_from(["left", "right"])


@given(
    rows=ROWS,
    value=st.integers(-128, 127),
    extra=st.one_of(st.none(), st.integers(1, 20)),
    divisor=st.integers(1, 16),
    side=SIDES,
)
def test_unpadding_inverts_padding(
    rows: list[list[int]], value: int, extra: int | None, divisor: int, side: str
) -> None:
    longest = max(map(len, rows), default=0)
    before = copy.deepcopy(rows)
    options = {"padding_len": None if extra is None else longest + extra, "pad_size_divisible_by": divisor}
    ids, mask = pad_token_ids(rows, value, **options, padding_side=side)
    assert rows == before
    assert [row.tolist() for row in unpad_token_ids(ids, mask)] == rows
    edge = mask if side == "right" else mask.flip(1)
    assert torch.equal(edge, edge.sort(dim=1, descending=True).values)  # real tokens first, or last
    buffers = torch.empty(2000, dtype=torch.int64), torch.empty(2000, dtype=torch.bool)
    for part, expected in zip(
        pad_token_ids_into(*buffers, rows, value, **options, padding_side=side), (ids, mask), strict=True
    ):
        assert torch.equal(part, expected)
    assert mask.sum(1).tolist() == [len(row) for row in rows]
    assert (ids[~mask] == value).all()
    assert ids.shape[1] % divisor == 0
    assert longest + (extra or 0) <= ids.shape[1] < longest + (extra or 0) + divisor


@given(rows=ROWS, data=st.data())
def test_the_result_does_not_depend_on_the_containers(rows: list[list[int]], data: st.DataObject) -> None:
    kinds = [data.draw(st.sampled_from(CONTAINERS)) for _ in rows]
    mixed = [
        kind(row, dtype=np.int64)
        if kind is np.array
        else kind(row, dtype=torch.int64)
        if kind is torch.tensor
        else kind(row)
        for kind, row in zip(kinds, rows, strict=True)
    ]
    for part, expected in zip(pad_token_ids(mixed), pad_token_ids(rows), strict=True):
        assert torch.equal(part, expected)
        assert part.dtype == expected.dtype


@given(rows=ROWS, length=st.integers(1, 40), side=SIDES)
def test_truncation_cuts_one_end_of_long_rows(rows: list[list[int]], length: int, side: str) -> None:
    cut = truncate_token_ids(rows, length, side=side)
    for row, short in zip(rows, cut, strict=True):
        assert len(short) == min(len(row), length)
        assert short == (row[:length] if side == "right" else row[len(row) - len(short) :])


class _Reader(torch.nn.Module):
    """A small transformer that attends to the real tokens only."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(30, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = torch.nn.Linear(8, 30)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embed(ids), src_key_padding_mask=~mask))


def _make_reader() -> _Reader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Reader().double()


READER = _make_reader()


@given(
    rows=st.lists(st.lists(st.integers(0, 29), min_size=1, max_size=12), min_size=1, max_size=4),
    extra=st.integers(1, 20),
    value=st.integers(0, 29),
    side=SIDES,
)
def test_padding_does_not_change_the_loss(rows: list[list[int]], extra: int, value: int, side: str) -> None:
    losses = []
    for padding_len in (None, 12 + extra):
        ids, mask = pad_token_ids(rows, value, padding_len, padding_side=side)
        logits = READER(ids, mask)
        losses.append(mean_loss([token_cross_entropy(logits, ids.where(mask, IGNORE_INDEX))]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
