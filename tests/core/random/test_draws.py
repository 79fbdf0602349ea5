"""Counter-based draws. Each statistical test is seeded, and would fail for one seed in a million."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.random import bits_at, integers_at, uniforms_at
from bionemo.core.random.draws import scale_to


def test_draws_have_pinned_values() -> None:
    bits = [6961305988730797718, 3312672065115600942, 548385825927467650]
    assert [bits_at(42, counter) for counter in (0, 1, 2**63 - 1)] == bits
    assert uniforms_at(42, 0) == 0.7547463076318283
    assert [integers_at(42, counter, 100) for counter in range(5)] == [75, 35, 32, 50, 73]
    assert integers_at(2**63 - 1, 2**63 - 1, 2**62) == 2779318722672281391


def test_seeds_and_counters_broadcast_and_tensors_equal_ints() -> None:
    seeds, counters = torch.tensor([[0], [42], [2**63 - 1]]), torch.tensor([0, 5, 2**40, 2**63 - 1])
    for function in (bits_at, uniforms_at, lambda seed, counter: integers_at(seed, counter, 10**18)):
        expected = [[function(seed, counter) for counter in counters.tolist()] for seed in seeds.flatten().tolist()]
        assert function(seeds, counters).tolist() == expected
        assert function(42, counters).tolist() == expected[1]
        assert function(seeds, 5).tolist() == [[row[1]] for row in expected]
        assert torch.vmap(lambda seed: function(seed, counters))(seeds).tolist() == expected  # noqa: B023
    assert bits_at(np.int64(42), np.uint8(5)) == bits_at(42, 5)


def test_floats_are_below_one_and_float32_is_truncated_float64() -> None:
    counters = torch.arange(100_000)
    double, single = uniforms_at(42, counters), uniforms_at(42, counters, dtype=torch.float32)
    assert double.dtype == torch.float64
    assert single.dtype == torch.float32
    assert torch.equal(single.double(), (double * 2**24).floor() / 2**24)
    assert 0 <= float(double.min()) < 1e-4
    assert 1 - 1e-4 < float(double.max()) < 1
    assert uniforms_at(42, 7, dtype=torch.float32) == float(single[7])
    assert stats.kstest(double.numpy(), "uniform").pvalue > 1e-6


@pytest.mark.parametrize("length", [1, 2, 3, 10, 100, 2**31, 2**31 + 1, 2**62 - 1, 2**62])
def test_integers_are_uniform(length: int) -> None:
    drawn = integers_at(7, torch.arange(100_000), length)
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < length
    bins = min(length, 100)  # of equal size to within 1e-7
    counts = np.bincount([value * bins // length for value in drawn.tolist()], minlength=bins)
    assert bins == 1 or stats.chisquare(counts).pvalue > 1e-6


def test_scaling_is_exact_at_the_edges() -> None:
    words = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 2, 2**63 - 1]
    for length in (1, 2, 3, 2**31 - 1, 2**31, 2**32 + 1, 2**61 + 12345, 2**62 - 1, 2**62):
        expected = [word * length // 2**63 for word in words]
        assert scale_to(np.array(words), length).tolist() == expected
        assert scale_to(torch.tensor(words), torch.tensor(length)).tolist() == expected


def test_streams_of_neighboring_seeds_are_uncorrelated() -> None:
    draws = uniforms_at(torch.arange(4)[:, None], torch.arange(10_000)).numpy()
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 6 / math.sqrt(10_000)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 0, 5), ValueError, "seed must be in .*got seed=-1"),
        ((0, -1, 5), ValueError, "counter must be in .*got counter=-1"),
        ((torch.tensor([3, -4]), 0, 5), ValueError, "seed must not be negative, got -4"),
        ((0, torch.tensor([-4]), 5), ValueError, "counter must not be negative, got -4"),
        ((0, torch.tensor([0.5]), 5), TypeError, "counter must be an int64 tensor, got dtype=torch.float32"),
        ((0, 0.5, 5), TypeError, "counter must be an integer, got counter=0.5"),
        ((0, 0, 0), ValueError, "length must be in .*got length=0"),
        ((0, 0, 2**62 + 1), ValueError, "got length=4611686018427387905"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        integers_at(*arguments)


def test_other_float_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dtype must be torch.float32 or torch.float64, got dtype=torch.float16"):
        uniforms_at(0, 0, dtype=torch.float16)
