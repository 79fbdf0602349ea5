"""The permutation: named cases and statistics."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.data.permute import make_plan, permute, permute_kernel, unpermute

LENGTHS = [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 1024]
LONG = [2**31 - 1, 2**32, 2**32 + 1, 2**40 + 1, 2**61 + 12345, 2**62 - 1, 2**62]


def test_pinned_values() -> None:
    assert [permute(index, 10, 0) for index in range(10)] == [7, 1, 6, 8, 2, 4, 3, 0, 5, 9]
    assert [permute(index, 10, 42) for index in range(10)] == [9, 1, 8, 6, 0, 5, 2, 3, 7, 4]
    assert [permute(0, length, 42) for length in (100, 2**32 + 1, 2**62)] == [96, 354459713, 946110766801647843]


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_a_bijection_with_an_inverse_for_ints_and_tensors_alike(length: int, seed: int) -> None:
    shuffled = [permute(index, length, seed) for index in range(length)]
    assert sorted(shuffled) == list(range(length))
    assert permute(torch.arange(length), length, seed).tolist() == shuffled
    assert [unpermute(index, length, seed) for index in shuffled] == list(range(length))
    assert unpermute(torch.tensor(shuffled), length, seed).tolist() == list(range(length))


@pytest.mark.parametrize("length", LONG)
def test_long_ranges_are_covered_at_both_ends(length: int) -> None:
    indices = [*range(50), *range(length - 50, length), length // 2, length // 3]
    shuffled = [permute(index, length, 7) for index in indices]
    assert len(set(shuffled)) == len(indices)
    assert all(0 <= index < length for index in shuffled)
    assert [unpermute(index, length, 7) for index in shuffled] == indices
    assert permute(torch.tensor(indices), length, 7).tolist() == shuffled
    assert unpermute(torch.tensor(shuffled), length, 7).tolist() == indices


def test_numpy_integers_and_any_shape() -> None:
    assert permute(np.int64(3), np.int32(10), np.uint8(42)) == permute(3, 10, 42)
    assert type(permute(np.int64(3), 10, 42)) is int
    indices = torch.arange(12).reshape(3, 4)
    assert permute(indices, 12, 42).tolist() == permute(indices.flatten(), 12, 42).reshape(3, 4).tolist()
    assert permute(torch.tensor(3), 12, 42).shape == ()
    assert permute(torch.tensor([], dtype=torch.int64), 12, 42).shape == (0,)
    assert indices.tolist() == torch.arange(12).reshape(3, 4).tolist()


def test_it_runs_under_vmap() -> None:
    indices = torch.arange(12).reshape(3, 4)
    assert torch.equal(torch.vmap(lambda row: permute(row, 12, 42))(indices), permute(indices, 12, 42))


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
def test_bad_input_is_named(function, arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(*arguments)


# Statistics: seeded, so that they pass or fail for good; each p must exceed 1e-6. -------------------------------------


def shuffles(length: int, *, seeds: int) -> np.ndarray:
    """Return the permutations of many seeds, one a row."""
    plan = make_plan(length, torch.arange(seeds)[:, None])
    return permute_kernel(torch.arange(length).expand(seeds, length), plan).numpy()


def test_plans_of_many_seeds_stand_side_by_side() -> None:
    assert shuffles(10, seeds=3).tolist() == [[permute(index, 10, seed) for index in range(10)] for seed in range(3)]


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6])
def test_every_order_of_a_short_range_is_as_frequent_as_the_others(length: int) -> None:
    orders = math.factorial(length)
    codes = shuffles(length, seeds=100 * orders) @ length ** np.arange(length)
    counts = np.unique(codes, return_counts=True)[1]
    assert stats.chisquare(np.append(counts, [0] * (orders - len(counts)))).pvalue > 1e-6


@pytest.mark.parametrize("length", [7, 64, 100, 1000, 1025])
def test_an_index_goes_to_each_place_as_often_as_to_the_others(length: int) -> None:
    places = shuffles(length, seeds=20_000)
    for index in (0, length // 2, length - 1):
        assert stats.chisquare(np.bincount(places[:, index], minlength=length)).pvalue > 1e-6


@pytest.mark.parametrize("length", [16, 33, 64, 129, 1024])
def test_neighbours_are_apart_by_each_distance_as_often_as_by_the_others(length: int) -> None:
    places = shuffles(length, seeds=8_000_000 // length)
    counts = np.bincount((np.diff(places) % length).ravel(), minlength=length)[1:]
    assert stats.chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize("length", [1024, 2**20 + 7, 2**40 + 1])
def test_neighbours_go_to_places_that_have_nothing_in_common(length: int) -> None:
    places = permute(torch.arange(min(length, 100_000)), length, 42).double().numpy() / length
    pairs = np.histogram2d(places[:-1], places[1:], bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-6
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 6 / math.sqrt(len(places))


@pytest.mark.parametrize("lag", [1, 2, 512])
def test_parities_of_places_have_nothing_in_common(lag: int) -> None:
    parities = shuffles(1024, seeds=200) & 1
    differing = (parities[:, lag:] != parities[:, :-lag]).mean()
    share = 512 / 1023  # of two places of a permutation, not independent draws
    assert abs(differing - share) < 6 * math.sqrt(share * (1 - share) / (200 * (1024 - lag)))


def test_consecutive_seeds_have_nothing_in_common() -> None:
    first, second = (permute(torch.arange(1000), 1000, seed) for seed in (42, 43))
    assert int((first == second).sum()) < 10
    assert abs(np.corrcoef(first, second)[0, 1]) < 6 / math.sqrt(1000)
