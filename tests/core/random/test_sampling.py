"""Samples drawn with a generator. Each statistical test is seeded, and would fail for one seed in a million."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.random import (
    make_generator,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
)


def test_samples_have_pinned_values() -> None:
    generator = make_generator(42)
    assert sample_with_replacement(100, 5, generator=generator).tolist() == [10, 36, 59, 84, 53]
    assert sample_without_replacement(10**6, 5, generator=generator).tolist() == [185800, 856816, 335499, 308395, 95974]
    assert sample_without_replacement(8, 8, generator=generator).tolist() == [7, 1, 0, 2, 5, 4, 3, 6]
    assert sample_without_replacement(8, 4, generator=make_generator(1)).tolist() == [6, 2, 7, 5]
    assert sample_without_replacement(8, 5, generator=make_generator(1)).tolist() == [2, 1, 5, 6, 4]
    assert sample_by_weight([1, 0, 3], 8, generator=generator).tolist() == [0, 2, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    "sample",
    [
        lambda generator: sample_with_replacement(9, 5, generator=generator),
        lambda generator: sample_without_replacement(9, 5, generator=generator),
        lambda generator: sample_by_weight([1.0, 2.0], 5, generator=generator),
    ],
)
def test_a_sample_depends_only_on_the_generator_and_advances_it(sample) -> None:
    first, second = make_generator(1), make_generator(1)
    draws = [sample(first).tolist() for _ in range(20)]
    assert draws == [sample(second).tolist() for _ in range(20)]
    assert len({tuple(draw) for draw in draws}) > 10


@pytest.mark.parametrize(("length", "num_samples"), [(0, 0), (1, 1), (5, 0), (5, 2), (5, 3), (5, 5), (1000, 499)])
def test_no_number_is_drawn_twice_without_replacement(length: int, num_samples: int) -> None:
    drawn = sample_without_replacement(length, num_samples, generator=make_generator(3))
    assert drawn.dtype == torch.int64
    assert len(set(drawn.tolist())) == len(drawn) == num_samples
    assert all(0 <= number < length for number in drawn.tolist())


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("num_samples", [2, 4])
def test_all_orders_are_equally_probable_without_replacement(num_samples: int) -> None:
    generator = make_generator(42)
    draws = [tuple(sample_without_replacement(5, num_samples, generator=generator).tolist()) for _ in range(12_000)]
    counts = np.unique(draws, axis=0, return_counts=True)[1]
    assert len(counts) == math.perm(5, num_samples)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_memory_is_proportional_to_the_sample_without_replacement() -> None:
    tracemalloc.start()
    drawn = sample_without_replacement(2**62, 1000, generator=make_generator(3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(drawn.tolist())) == 1000
    assert max(drawn.tolist()) > 2**61
    assert peak < 10**6


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("sample", "arguments", "error", "message"),
    [
        (sample_with_replacement, (0, 3), ValueError, "length must be in 1"),
        (sample_with_replacement, (5, -1), ValueError, "num_samples must be in .*got num_samples=-1"),
        (sample_without_replacement, (5, 6), ValueError, r"num_samples must be in 0\.\.5, got num_samples=6"),
        (sample_without_replacement, (5.0, 6), TypeError, "length must be an integer, got length=5.0"),
        (sample_by_weight, ([1, -1], 6), ValueError, r"got weights\[1\]=-1"),
        (sample_by_weight, ([1, 1], -6), ValueError, "got num_samples=-6"),
    ],
)
def test_bad_arguments_are_named_and_do_not_advance_the_generator(sample, arguments, error, message: str) -> None:
    generator = make_generator(1)
    before = generator.get_state()
    with pytest.raises(error, match=message):
        sample(*arguments, generator=generator)
    assert torch.equal(generator.get_state(), before)
