"""Tests of permute and unpermute."""

import numpy as np
import pytest
import torch

from bionemo.data.permute import permute, unpermute

LENGTHS = [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 1024]
LONG = [2**31 - 1, 2**32, 2**32 + 1, 2**40 + 1, 2**61 + 12345, 2**62 - 1, 2**62]


def test_known_values_do_not_change() -> None:
    assert [permute(index, 10, 0) for index in range(10)] == [3, 1, 4, 6, 7, 5, 0, 2, 8, 9]
    assert [permute(index, 10, 42) for index in range(10)] == [8, 2, 0, 5, 1, 9, 3, 4, 7, 6]
    assert [permute(0, length, 42) for length in (100, 2**32 + 1, 2**62)] == [87, 3973051289, 2667440422162348037]


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
@pytest.mark.parametrize("length", LENGTHS)
def test_permute_is_a_bijection_and_unpermute_its_inverse_for_ints_and_tensors(length: int, seed: int) -> None:
    shuffled = [permute(index, length, seed) for index in range(length)]
    assert sorted(shuffled) == list(range(length))
    assert permute(torch.arange(length), length, seed).tolist() == shuffled
    assert [unpermute(index, length, seed) for index in shuffled] == list(range(length))
    assert unpermute(torch.tensor(shuffled), length, seed).tolist() == list(range(length))


@pytest.mark.parametrize("length", LONG)
def test_permute_and_unpermute_are_exact_at_both_ends_of_long_ranges(length: int) -> None:
    indices = [*range(50), *range(length - 50, length), length // 2, length // 3]
    shuffled = [permute(index, length, 7) for index in indices]
    assert len(set(shuffled)) == len(indices)
    assert all(0 <= index < length for index in shuffled)
    assert [unpermute(index, length, 7) for index in shuffled] == indices
    assert permute(torch.tensor(indices), length, 7).tolist() == shuffled
    assert unpermute(torch.tensor(shuffled), length, 7).tolist() == indices


def test_numpy_integers_and_tensors_of_any_shape_are_accepted() -> None:
    assert permute(np.int64(3), np.int32(10), np.uint8(42)) == permute(3, 10, 42)
    assert type(permute(np.int64(3), 10, 42)) is int
    indices = torch.arange(12).reshape(3, 4)
    assert permute(indices, 12, 42).tolist() == permute(indices.flatten(), 12, 42).reshape(3, 4).tolist()
    assert permute(torch.tensor(3), 12, 42).shape == ()
    assert permute(torch.tensor([], dtype=torch.int64), 12, 42).shape == (0,)
    assert indices.tolist() == torch.arange(12).reshape(3, 4).tolist()


def test_permute_runs_under_vmap() -> None:
    indices = torch.arange(12).reshape(3, 4)
    assert torch.equal(torch.vmap(lambda row: permute(row, 12, 42))(indices), permute(indices, 12, 42))


@pytest.mark.usefixtures("no_type_checks")
def test_a_wrong_type_is_refused_even_if_an_equal_value_is_cached() -> None:
    assert permute(1, 5, 1) == permute(1, 5, 1)
    for arguments in ((1, 5.0, 1), (1, 5, 1.0), (1, 5, True), (True, 5, 1), (1, [5], 1), (1, np.array(5), 1)):
        with pytest.raises(TypeError, match="(index|length|seed) must be an integer"):
            permute(*arguments)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("function", [permute, unpermute])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 0, 1), ValueError, r"length must be in 1\.\.4611686018427387904, got length=0"),
        ((0, 2**62 + 1, 1), ValueError, "got length=4611686018427387905"),
        ((0, 5, -1), ValueError, "got seed=-1"),
        ((5, 5, 1), IndexError, r"index must be in 0\.\.4, got index=5"),
        ((-1, 5, 1), IndexError, "got index=-1"),
        ((torch.tensor([0, 7, 2]), 5, 1), IndexError, "got index=7"),
        ((torch.tensor([0, -3]), 5, 1), IndexError, "got index=-3"),
        ((1.0, 5, 1), TypeError, "index must be an integer, got index=1.0"),
        ((torch.tensor([1.0]), 5, 1), TypeError, "index must be an int64 tensor, got dtype=torch.float32"),
        ((torch.tensor([True]), 5, 1), TypeError, "got dtype=torch.bool"),
        ((torch.tensor([1], dtype=torch.int32), 5, 1), TypeError, "got dtype=torch.int32"),
    ],
)
def test_invalid_arguments_are_named(function, arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(*arguments)
