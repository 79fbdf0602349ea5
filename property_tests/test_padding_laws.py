"""Laws of padding."""

import copy

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.utils.batching_utils import pad_token_ids

ROWS = st.lists(st.lists(st.integers(-100, 100), max_size=30), max_size=8)
CONTAINERS = (list, tuple, np.array, torch.tensor)


@given(
    rows=ROWS, value=st.integers(-128, 127), extra=st.one_of(st.none(), st.integers(1, 20)), divisor=st.integers(1, 16)
)
def test_what_is_padded_can_be_read_back(rows: list[list[int]], value: int, extra: int | None, divisor: int) -> None:
    longest = max(map(len, rows), default=0)
    before = copy.deepcopy(rows)
    ids, mask = pad_token_ids(rows, value, None if extra is None else longest + extra, divisor)
    assert rows == before
    assert [row[real].tolist() for row, real in zip(ids, mask, strict=True)] == rows
    assert mask.sum(1).tolist() == [len(row) for row in rows]
    assert (ids[~mask] == value).all()
    assert ids.shape[1] % divisor == 0
    assert longest + (extra or 0) <= ids.shape[1] < longest + (extra or 0) + divisor


@given(rows=ROWS, data=st.data())
def test_the_answer_does_not_depend_on_the_container(rows: list[list[int]], data: st.DataObject) -> None:
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
