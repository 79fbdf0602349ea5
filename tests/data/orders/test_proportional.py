"""Tests of `ProportionalOrder`."""

import pickle

import numpy as np
import pytest
from scipy.stats import chisquare

from bionemo.data import ProportionalOrder, SampleIndex, fingerprint, from_json, index_at, position_of, to_json


def test_fractions_are_rounded_for_all_samples_of_equal_weight_together() -> None:
    weights = np.repeat([0.1, 1 / 3, 2.5], [100, 10, 1])
    counts = np.bincount(index_at(ProportionalOrder(weights=weights, seed=7), range(10**5)).idx)
    assert np.abs(counts - 10**5 * weights / weights.sum()).max() < 2.68


def test_samples_of_equal_weight_are_shuffled_afresh_each_time() -> None:
    order = ProportionalOrder(weights=[1] * 5 + [0, 3], seed=7)
    found = index_at(order, range(80_000)).idx
    rounds = found[found < 5].reshape(-1, 5)
    assert (np.sort(rounds, axis=1) == np.arange(5)).all()
    for turn in range(5):
        assert chisquare(np.bincount(rounds[:, turn])).pvalue > 1e-4


def test_the_epoch_of_a_sample_is_how_often_it_was_read_before() -> None:
    index = index_at(ProportionalOrder(weights=[1, 2, 2, 5], seed=7), range(100))
    for idx in range(4):
        assert index.epoch[index.idx == idx].tolist() == list(range(int((index.idx == idx).sum())))


def test_ints_give_what_arrays_give_and_position_of_inverts_both_up_to_the_end_of_int64() -> None:
    order = ProportionalOrder(weights=[1, 2, 2, 0, 0.7], seed=7)
    positions = [*range(50), 10**12, 2**62, 2**63 - 1]
    index = index_at(order, positions)
    assert [tuple(index_at(order, position)) for position in positions] == list(
        zip(*(part.tolist() for part in index), strict=True)
    )
    assert position_of(order, index).tolist() == positions
    assert [position_of(order, SampleIndex(*row)) for row in zip(*index, strict=True)] == positions
    for epoch in (2**62, 2**63 - 1):
        with pytest.raises(IndexError, match="epoch must be one whose positions fit int64, got epoch="):
            position_of(order, SampleIndex(source=0, epoch=epoch, idx=2))


def test_pinned_values() -> None:
    order = ProportionalOrder(weights=[1, 2, 2, 0, 0.7], seed=42, num_samples=10**9)
    assert index_at(order, [0, 1, 2, 3, 4, 5, 10**6]).idx.tolist() == [2, 0, 1, 2, 1, 4, 2]
    assert fingerprint(order)[:12] == "d785c41c4b29"
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order


def test_wrong_weights_are_refused() -> None:
    for weights, message in (
        ([0, 0], "must not all be zero"),
        ([1, float("nan")], r"finite and not negative, got weights\[1\]=nan"),
        (np.arange(2**16 + 2), "at most 65536 different values, got 65538. Round them"),
    ):
        with pytest.raises(ValueError, match=message):
            ProportionalOrder(weights=weights, seed=7)
    with pytest.raises(IndexError, match="idx must be a sample of weight above 0, got idx=1"):
        position_of(ProportionalOrder(weights=[1, 0], seed=7), SampleIndex(source=0, epoch=0, idx=1))
