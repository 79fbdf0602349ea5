"""Width and masks of a padded block."""

import numpy as np
import pandas as pd
import pytest
import torch

from bionemo.core.padding import length_mask, padded_length, row_mask


def test_masks_count_to_the_lengths() -> None:
    assert length_mask(torch.tensor([0, 2, 5]), 3).sum(1).tolist() == [0, 2, 3]
    assert row_mask([0, 2, 5], 3).sum(1).tolist() == [0, 2, 3]
    assert np.array_equal(row_mask([0, 2, 5], 3), length_mask(torch.tensor([0, 2, 5]), 3).numpy())


@pytest.mark.parametrize("length", [2**15 - 1, 2**15, 100_000, 2**31, 2**40])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_lengths_may_exceed_the_width(padding_side, length: int) -> None:
    assert row_mask([length, 1, 0], 3, padding_side=padding_side).sum(1).tolist() == [3, 1, 0]


def test_masks_without_rows_or_columns_are_empty() -> None:
    assert row_mask([], 3).shape == (0, 3)
    assert row_mask([2, 0], 0).shape == (2, 0)
    assert length_mask(torch.empty(0, dtype=torch.int64), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("lengths", "padding_len", "divisor", "width"),
    [([], None, 4, 0), ([], 5, 4, 8), ([0], None, 4, 0), ([5, 3], None, 1, 5), ([5, 3], None, 4, 8), ([5], 8, 8, 8)],
)
def test_the_width_is_rounded_up(lengths: list[int], padding_len: int | None, divisor: int, width: int) -> None:
    assert padded_length(lengths, padding_len, divisor) == width


def test_a_row_that_is_too_long_is_named() -> None:
    with pytest.raises(ValueError, match="got padding_len=2 and 3 tokens in row 1 of labels"):
        padded_length([1, 3], 2, name="labels")


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("make", [iter, tuple, np.array, pd.Series, torch.tensor, lambda lengths: (n for n in lengths)])
def test_lengths_may_come_from_any_iterable(make) -> None:
    assert np.array_equal(row_mask(make([2, 0]), 3), row_mask([2, 0], 3))
    assert padded_length(make([5, 3]), None, 4) == 8
    with pytest.raises(ValueError, match="3 tokens in row 1 of token_ids"):
        padded_length(make([1, 3]), 2)
