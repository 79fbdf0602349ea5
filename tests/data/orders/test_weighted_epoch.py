"""Tests of `WeightedEpochOrder`."""

import itertools
import pickle

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from bionemo.data import SampleIndex, WeightedEpochOrder, fingerprint, from_json, index_at, position_of, to_json
from bionemo.data.orders.by_weight.weighted_epoch import _exponential

WEIGHTS = [1, 5, 0, 2, 0.5]


def test_each_epoch_holds_each_sample_once() -> None:
    found = index_at(WeightedEpochOrder(weights=WEIGHTS, seed=7), range(400))
    assert (np.sort(found.idx.reshape(-1, 4), axis=1) == [0, 1, 3, 4]).all()
    assert found.epoch.tolist() == np.repeat(range(100), 4).tolist()


def test_orders_have_the_probabilities_of_draws_one_after_the_other() -> None:
    order = WeightedEpochOrder(weights=WEIGHTS, seed=3)
    rounds = [tuple(part) for part in index_at(order, range(4 * 4000)).idx.reshape(-1, 4).tolist()]
    exact = {}
    for one in itertools.permutations([0, 1, 3, 4]):
        left, probability = sum(WEIGHTS), 1.0
        for idx in one:
            probability *= WEIGHTS[idx] / left
            left -= WEIGHTS[idx]
        exact[one] = 4000 * probability
    assert chisquare([rounds.count(one) for one in exact], list(exact.values())).pvalue > 1e-4


def test_a_short_epoch_holds_the_first_draws_of_a_long_one() -> None:
    whole, part = (WeightedEpochOrder(weights=WEIGHTS, seed=3, samples_per_epoch=number) for number in (None, 2))
    assert (
        index_at(part, range(100)).idx.reshape(-1, 2) == index_at(whole, range(200)).idx.reshape(-1, 4)[:, :2]
    ).all()


def test_variates_are_exponential_and_follow_numpys_logarithm() -> None:
    words = np.random.default_rng(0).integers(0, 2**63, 10**5, dtype=np.int64)
    assert kstest(_exponential(words), "expon").pvalue > 1e-4
    every = np.concatenate([words, [0, 2**63 - 1, 2**62, 2**62 - 1, 2**10]])
    expected = -np.log(((every >> 10) + 0.5) * 2.0**-53)
    np.testing.assert_allclose(_exponential(every), expected, rtol=1e-14, atol=1e-16)


def test_ints_give_what_arrays_give_and_position_of_inverts_both() -> None:
    order = WeightedEpochOrder(weights=WEIGHTS, seed=7, samples_per_epoch=3)
    positions = [0, 1, 2, 3, 100, 10**15, 5, 2**62]
    index = index_at(order, positions)
    assert [tuple(index_at(order, position)) for position in positions] == list(
        zip(*(part.tolist() for part in index), strict=True)
    )
    assert position_of(order, index).tolist() == positions
    assert [position_of(order, SampleIndex(*row)) for row in zip(*index, strict=True)] == positions
    (missing,) = {0, 1, 3, 4} - {*index_at(order, range(3)).idx.tolist()}
    for idx in (2, missing):
        with pytest.raises(IndexError, match="index must be of a sample that is drawn in its epoch, got index=Sample"):
            position_of(order, SampleIndex(source=0, epoch=0, idx=idx))


def test_tiny_weights_are_drawn_last() -> None:
    order = WeightedEpochOrder(weights=[1e-320, 1.0, 1e300], seed=7)
    assert index_at(order, range(3)).idx.tolist() == [2, 1, 0]


def test_records_come_back_and_values_are_pinned() -> None:
    order = WeightedEpochOrder(weights=WEIGHTS, seed=42, samples_per_epoch=3, num_samples=10**9)
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
    assert index_at(order, [0, 1, 2, 3, 4, 5, 10**6]).idx.tolist() == [1, 0, 3, 1, 3, 0, 1]
    assert fingerprint(order)[:12] == "76580e7d052e"


def test_wrong_fields_are_refused() -> None:
    for fields, message in (
        ({"samples_per_epoch": 5}, "samples_per_epoch must be at most 4, the number of weights above 0, got .*=5"),
        ({"samples_per_epoch": 0}, "samples_per_epoch must be in 1"),
        ({"weights": [0, 0]}, "must not all be zero"),
    ):
        with pytest.raises(ValueError, match=message):
            WeightedEpochOrder(**{"weights": WEIGHTS, "seed": 7} | fields)
