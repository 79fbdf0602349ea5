"""Draws with replacement. Statistics are seeded, and each fails a good order in one of a million choices of seeds."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.utils.frozen_array import FrozenArray
from bionemo.data import ResampleOrder, SampleIndex, WeightedOrder, index_at, order_id, position_of


def drawn(order: ResampleOrder | WeightedOrder, num_samples: int = 100_000, start: int = 0) -> np.ndarray:
    return index_at(order, torch.arange(start, start + num_samples)).idx.numpy()


def test_pinned_values() -> None:
    assert drawn(ResampleOrder(length=100, seed=42), 8).tolist() == [85, 71, 78, 5, 86, 71, 33, 56]
    assert index_at(ResampleOrder(length=2**62, seed=42), 2**63 - 1) == (0, 0, 4433192066249782647)
    weighted = WeightedOrder(weights=[1, 0, 3, 0.5], seed=42)
    assert drawn(weighted, 12).tolist() == [2, 3, 2, 0, 2, 2, 2, 2, 2, 0, 0, 0]


@pytest.mark.parametrize("start", [0, 10**12])
@pytest.mark.parametrize("length", [2, 10, 1000])
def test_uniform_draws_are_uniform_and_independent(length: int, start: int) -> None:
    values = drawn(ResampleOrder(length=length, seed=3), start=start)
    assert stats.chisquare(np.bincount(values, minlength=length)).pvalue > 1e-6
    bins = values * 10 // length
    pairs = np.bincount(bins[:-1:2] * 10 + bins[1::2], minlength=100)
    pairs = pairs[pairs > 0] if length < 10 else pairs
    assert stats.chisquare(pairs).pvalue > 1e-6


@pytest.mark.parametrize(
    "weights", [[1, 1], [0.1, 5, 0, 1, 2, 0], list(range(1, 60)), [1e-3] * 50 + [1], np.arange(100) ** 2]
)
def test_weighted_draws_follow_the_weights(weights) -> None:
    values = drawn(WeightedOrder(weights=weights, seed=3))
    counts, expected = np.bincount(values, minlength=len(weights)), np.array(weights) / np.sum(weights) * len(values)
    assert (counts[expected == 0] == 0).all()
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-6


def test_neighbouring_seeds_and_other_orders_have_nothing_in_common() -> None:
    orders = [ResampleOrder(length=10**6, seed=7), ResampleOrder(length=10**6, seed=8)]
    orders.append(WeightedOrder(weights=np.ones(10**6), seed=7))
    correlations = np.corrcoef([drawn(order, 10_000) for order in orders])
    assert np.abs(correlations - np.eye(3)).max() < 0.06


@pytest.mark.parametrize("order", [ResampleOrder(length=3, seed=1), WeightedOrder(weights=[1, 2], seed=1)])
def test_a_draw_has_no_inverse_and_no_epochs(order) -> None:
    with pytest.raises(TypeError, match=f"{type(order).__name__} has no inverse"):
        position_of(order, SampleIndex(0, 0, 0))
    assert set(index_at(order, torch.arange(10)).epoch.tolist()) == {0}


def test_weights_are_a_value() -> None:
    array = np.array([1.0, 2.0])
    order = WeightedOrder(weights=array, seed=1, num_samples=10)
    array[0] = 99
    same = WeightedOrder(weights=torch.tensor([1, 2]), seed=1, num_samples=10)
    assert order == same
    assert hash(order) == hash(same)
    assert order_id(order) == order_id(same)
    assert order != WeightedOrder(weights=[1.0, 2.5], seed=1, num_samples=10)
    assert repr(order) == "WeightedOrder(weights=FrozenArray(float64[2], sha256=de72ec79b6bb), seed=1, num_samples=10)"
    assert (order.length, order.source_lengths, len(order)) == (2, (2,), 10)
    copy = pickle.loads(pickle.dumps(order))
    assert copy == order
    assert drawn(copy, 10).tolist() == drawn(order, 10).tolist()


def test_a_record_is_small_whatever_it_stands_for() -> None:
    assert len(pickle.dumps(ResampleOrder(length=2**62, seed=1, num_samples=10**12))) < 1000
    large = WeightedOrder(weights=np.ones(10_000), seed=1)
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
def test_bad_weights_are_named(weights: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WeightedOrder(weights=weights, seed=1)


def test_weights_in_a_frozen_array_are_checked_as_well() -> None:
    with pytest.raises(ValueError, match=r"got weights\[1\]=nan"):
        WeightedOrder(weights=FrozenArray(np.array([1.0, np.nan])), seed=1)
    assert WeightedOrder(weights=[-0.0, 1], seed=1) == WeightedOrder(weights=[0, 1], seed=1)


def test_an_order_made_under_another_default_device_draws_on_the_cpu() -> None:
    expected = drawn(WeightedOrder(weights=[1, 2, 3], seed=1), 20).tolist()
    with torch.device("meta"):
        order = WeightedOrder(weights=[1, 2, 3], seed=1)
    assert drawn(order, 20).tolist() == expected
    assert order._tensors.length.device.type == "cpu"
