"""Arithmetic by blocks, runs and groups."""

import numpy as np
import pytest
import torch

from bionemo.core.arrays import BLOCK, by_run, groups, in_blocks, take
from bionemo.core.checks import is_concrete


def remainders(word, size):
    return word // size, word % size


@pytest.mark.parametrize("shape", [(0,), (1,), (), (3, 4), (BLOCK,), (BLOCK + 1,), (2, BLOCK)])
def test_blocks_return_what_the_whole_tensor_or_array_returns(shape: tuple[int, ...]) -> None:
    word = torch.arange(torch.Size(shape).numel()).reshape(shape)
    in_array = in_blocks(remainders, word.numpy(), 7)
    for found, array, expected in zip(in_blocks(remainders, word, 7), in_array, remainders(word, 7), strict=True):
        assert torch.equal(found, expected)
        assert np.array_equal(array, expected.numpy())


def test_arguments_broadcast_and_ints_stay_ints() -> None:
    rows, columns = torch.arange(3)[:, None], torch.arange(4)
    assert torch.equal(in_blocks(lambda row, column: row * 10 + column, rows, columns), rows * 10 + columns)
    assert in_blocks(remainders, 30, 7) == (4, 2)


def test_the_result_shares_no_memory_with_the_argument() -> None:
    word = torch.arange(5)
    in_blocks(lambda word: word, word)[0] = 99
    assert word.tolist() == [0, 1, 2, 3, 4]


def test_tensors_that_are_not_concrete_reach_the_kernel_unchanged() -> None:
    kinds = []
    torch.vmap(lambda row: in_blocks(lambda word: kinds.append(type(word)) or word, row))(torch.zeros(2, 3))
    in_blocks(lambda word: kinds.append(type(word)) or word, torch.zeros(3, device="meta"))
    assert kinds == [torch.Tensor, torch.Tensor]
    assert not is_concrete(torch.zeros(3, device="meta"))


@pytest.mark.parametrize("values", [[], [4], [4, 4, 4], [4, 4, 4, 5, 5, 5, 5], [1, 2, 3, 4], [7, 7, 7, 7, 1, 7, 7, 7]])
def test_runs_return_what_each_element_returns(values: list[int]) -> None:
    word, other = np.array(values, dtype=np.int64), np.arange(len(values)) // 2
    calls = []

    def function(word, other, constant):
        calls.append(np.size(word))
        return word * 10 + other + constant, word - other

    expected = function(word, other, 3)
    for found, whole in zip(by_run(function, word, other, 3), expected, strict=True):
        assert np.array_equal(np.broadcast_to(found, whole.shape), whole)
    (found,) = by_run(lambda word: (calls.append(np.size(word)) or word * 2,), word)
    assert np.array_equal(np.broadcast_to(found, word.shape), word * 2)
    if len(values) > 4:
        assert calls[-1] < len(values)


def test_tables_are_read_by_ints_and_arrays() -> None:
    table = np.array([5, 6, 7])
    assert take(table, 1) == 6
    assert type(take(table, 1)) is int
    assert take(table, np.array([2, 0])).tolist() == [7, 5]


def test_an_int_in_a_result_stands_for_an_array_of_equal_elements() -> None:
    constant, doubled = in_blocks(lambda word: (3, word * 2), np.arange(BLOCK + 1))
    assert constant.tolist() == [3] * (BLOCK + 1)
    assert doubled[-1] == 2 * BLOCK


@pytest.mark.parametrize("values", [[], [5], [2**40, 0, 3, 0, 2**40], list(range(300)) * 2, [65535, 65536, 0]])
def test_groups_partition_the_indices_in_ascending_order(values: list[int]) -> None:
    found = dict(groups(np.array(values, dtype=np.int64)))
    assert list(found) == sorted(set(values))
    assert all(members.tolist() == [i for i, v in enumerate(values) if v == value] for value, members in found.items())
