"""Rows in memory in two arrays."""

import pickle

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, Pipeline, batch_at
from bionemo.data.sources import RaggedRows, ragged_rows


@pytest.mark.parametrize("rows", [[], [[]], [[5, 6], [], [7]], [[number] * (number % 5) for number in range(3000)]])
def test_rows_come_back(rows: list) -> None:
    found = ragged_rows(rows, dtype=np.int16)
    assert [row.tolist() for row in found] == rows
    assert found.lengths.tolist() == list(map(len, rows))
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.fingerprint == ragged_rows(map(torch.tensor, rows) if all(rows) else rows, dtype=np.int16).fingerprint


def test_what_is_read_is_a_copy() -> None:
    rows = ragged_rows([[5, 6]], dtype=np.uint8)
    rows[0][:] = 0
    assert rows[0].tolist() == [5, 6]


def test_they_are_a_data_set_of_a_pipeline() -> None:
    rows = ragged_rows([[number, number] for number in range(9)], dtype=np.int64)
    order = EpochOrder(length=9, seed=1)
    pipeline = Pipeline(order=order, sources=rows, batch_size=4, seed=2)
    assert [row[0] for row in batch_at(pipeline, 1)] == order.index_at(np.arange(4, 8)).idx.tolist()


@pytest.mark.parametrize(
    ("flat", "offsets", "message"),
    [
        ([1, 2], [0, 3], "offsets must ascend from 0 to the number of elements, got 0..3 for 2"),
        ([1, 2], [1, 2], "got 1..2 for 2"),
        ([1, 2], [0, 2, 1, 2], "offsets must ascend"),
        ([1, 2], [], "offsets must be integers in one axis"),
        ([1, 2], [0.0, 2.0], "offsets must be integers in one axis"),
        ([[1, 2]], [0, 1], "flat must have one axis"),
    ],
)
def test_offsets_must_fit(flat: list, offsets: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RaggedRows(flat, offsets)


@pytest.mark.parametrize("row", [[300], [0.5], "MK"])
def test_an_error_in_a_row_says_where(row) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        ragged_rows([[1]] * 1030 + [row], dtype=np.uint8)
    assert "in rows 1024..1030" in caught.value.__notes__[-1]
