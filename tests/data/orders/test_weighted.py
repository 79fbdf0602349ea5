"""Tests of WeightedOrder. The statistical tests are seeded; each would fail for one in a million seeds."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.frozen_array import FrozenArray
from bionemo.data import ResampleOrder, SampleIndex, WeightedOrder, fingerprint, index_at, position_of


def drawn(order: ResampleOrder | WeightedOrder, num_samples: int = 100_000) -> np.ndarray:
    return index_at(order, np.arange(num_samples)).idx


def test_known_values_do_not_change() -> None:
    weighted = WeightedOrder(weights=[1, 0, 3, 0.5], seed=42)
    assert drawn(weighted, 12).tolist() == [2, 3, 2, 0, 2, 2, 2, 2, 2, 0, 0, 0]


@pytest.mark.parametrize(
    "weights", [[1, 1], [0.1, 5, 0, 1, 2, 0], list(range(1, 60)), [1e-3] * 50 + [1], np.arange(100) ** 2]
)
def test_draws_are_proportional_to_the_weights(weights) -> None:
    values = drawn(WeightedOrder(weights=weights, seed=3))
    counts, expected = np.bincount(values, minlength=len(weights)), np.array(weights) / np.sum(weights) * len(values)
    assert (counts[expected == 0] == 0).all()
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-6


def test_neighbouring_seeds_and_other_orders_are_uncorrelated() -> None:
    orders = [WeightedOrder(weights=np.ones(10**6), seed=seed) for seed in (7, 8)]
    orders.append(ResampleOrder(length=10**6, seed=7))
    correlations = np.corrcoef([drawn(order, 10_000) for order in orders])
    assert np.abs(correlations - np.eye(3)).max() < 0.06


def test_draws_have_no_inverse_and_no_epochs() -> None:
    order = WeightedOrder(weights=[1, 2], seed=1)
    with pytest.raises(TypeError, match="WeightedOrder has no inverse"):
        position_of(order, SampleIndex(0, 0, 0))
    assert set(index_at(order, torch.arange(10)).epoch.tolist()) == {0}


def test_weights_are_copied_and_compared_by_value() -> None:
    array = np.array([1.0, 2.0])
    order = WeightedOrder(weights=array, seed=1, num_samples=10)
    array[0] = 99
    same = WeightedOrder(weights=torch.tensor([1, 2]), seed=1, num_samples=10)
    assert order == same
    assert hash(order) == hash(same)
    assert fingerprint(order) == fingerprint(same)
    assert order != WeightedOrder(weights=[1.0, 2.5], seed=1, num_samples=10)
    assert repr(order) == "WeightedOrder(weights=FrozenArray(float64[2], sha256=de72ec79b6bb), seed=1, num_samples=10)"
    assert (order.length, order.source_lengths, len(order)) == (2, (2,), 10)
    copy = pickle.loads(pickle.dumps(order))
    assert copy == order
    assert drawn(copy, 10).tolist() == drawn(order, 10).tolist()


def test_the_pickle_holds_the_weights_but_no_alias_table() -> None:
    large = WeightedOrder(weights=np.ones(10_000), seed=1)
    drawn(large, 10)
    assert len(pickle.dumps(large)) < 81_000


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, float("nan")], ValueError, r"got weights\[1\]=nan"),
        ([0.0, 0.0], ValueError, "must not all be zero"),
        ([[1.0], [2.0]], ValueError, "one axis"),
        (["1"], TypeError, "real numbers"),
    ],
)
def test_invalid_weights_are_named(weights: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WeightedOrder(weights=weights, seed=1)


def test_weights_in_a_frozen_array_are_checked_too() -> None:
    with pytest.raises(ValueError, match=r"got weights\[1\]=nan"):
        WeightedOrder(weights=FrozenArray(np.array([1.0, np.nan])), seed=1)
    assert WeightedOrder(weights=[-0.0, 1], seed=1) == WeightedOrder(weights=[0, 1], seed=1)


def test_the_default_device_does_not_matter() -> None:
    expected = drawn(WeightedOrder(weights=[1, 2, 3], seed=1), 20).tolist()
    with torch.device("meta"):
        order = WeightedOrder(weights=[1, 2, 3], seed=1)
        assert drawn(order, 20).tolist() == expected
