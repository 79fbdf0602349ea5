"""Tests of ResampleOrder. The statistical tests are seeded; each would fail for one in a million seeds."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.data import ResampleOrder, SampleIndex, index_at, position_of


def drawn(order: ResampleOrder, num_samples: int = 100_000, start: int = 0) -> np.ndarray:
    return index_at(order, np.arange(start, start + num_samples)).idx


def test_known_values_do_not_change() -> None:
    assert drawn(ResampleOrder(length=100, seed=42), 8).tolist() == [85, 71, 78, 5, 86, 71, 33, 56]
    assert index_at(ResampleOrder(length=2**62, seed=42), 2**63 - 1) == (0, 0, 4433192066249782647)


@pytest.mark.parametrize("start", [0, 10**12])
@pytest.mark.parametrize("length", [2, 10, 1000])
def test_draws_are_uniform_and_independent(length: int, start: int) -> None:
    values = drawn(ResampleOrder(length=length, seed=3), start=start)
    assert stats.chisquare(np.bincount(values, minlength=length)).pvalue > 1e-6
    bins = values * 10 // length
    pairs = np.bincount(bins[:-1:2] * 10 + bins[1::2], minlength=100)
    pairs = pairs[pairs > 0] if length < 10 else pairs
    assert stats.chisquare(pairs).pvalue > 1e-6


def test_neighbouring_seeds_are_uncorrelated() -> None:
    orders = [ResampleOrder(length=10**6, seed=seed) for seed in (7, 8, 9)]
    correlations = np.corrcoef([drawn(order, 10_000) for order in orders])
    assert np.abs(correlations - np.eye(3)).max() < 0.06


def test_draws_have_no_inverse_and_no_epochs() -> None:
    order = ResampleOrder(length=3, seed=1)
    with pytest.raises(TypeError, match="ResampleOrder has no inverse"):
        position_of(order, SampleIndex(0, 0, 0))
    assert set(index_at(order, torch.arange(10)).epoch.tolist()) == {0}


def test_the_pickle_is_small_for_every_length() -> None:
    assert len(pickle.dumps(ResampleOrder(length=2**62, seed=1, num_samples=10**12))) < 1000
