"""Tests of reading lists of Python numbers."""

import enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.padding.elements import read_lists


class Residue(enum.IntEnum):
    ALA = 5


NUMBERS = st.integers(-(2**31), 2**31 - 1)
OTHERS = st.sampled_from(
    [True, False, 2**31, -(2**31) - 1, 2**70, 0.5, None, "A", b"iiii", (5,), [], [5, 6], {5}, Residue.ALA, 1j, ...]
) | st.sampled_from([np.int64(5), np.bool_(1), np.arange(3)])


@given(st.lists(st.lists(NUMBERS) | st.lists(NUMBERS).map(tuple)))
def test_ints_are_read_as_they_are(rows) -> None:
    """Also a check that this Python's `marshal` writes them as expected: otherwise they would be read slowly."""
    found = read_lists(rows, np.dtype(np.int16))
    assert found is not None
    assert [array.tolist() for array in found] == list(map(list, rows))


@given(st.lists(st.lists(st.floats() | st.just(-0.0))))
def test_floats_are_read_bit_for_bit(rows) -> None:
    found = read_lists(rows, np.dtype(np.float32))
    assert found is not None
    assert [array.tobytes() for array in found] == [np.array(row, np.float64).tobytes() for row in rows]


@given(st.lists(st.lists(NUMBERS)), st.lists(NUMBERS), OTHERS, st.lists(NUMBERS), st.lists(st.lists(NUMBERS)))
def test_any_other_element_is_noticed(before, start, other, end, after) -> None:
    rows = [*before, [*start, other, *end], *after]
    assert read_lists(rows, np.dtype(np.int64)) is None


@pytest.mark.parametrize("other", [5, True, np.float64(0.5), "0.5", None])
def test_a_list_of_floats_with_another_element_is_noticed(other) -> None:
    assert read_lists([[0.5], [0.5, other]], np.dtype(np.float64)) is None


def test_a_list_that_holds_itself_is_noticed() -> None:
    row: list = [5]
    row.append(row)
    assert read_lists([row], np.dtype(np.int64)) is None
