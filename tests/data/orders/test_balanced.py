"""Tests of `BalancedOrder`."""

import pickle

import numpy as np
import pytest

from bionemo.data import (
    BalancedOrder,
    ClusterTable,
    SampleIndex,
    fingerprint,
    from_json,
    index_at,
    position_of,
    to_json,
)

SIZES = [1, 2, 10, 50, 300]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), SIZES))


def test_groups_have_equal_fractions_for_as_long_as_they_last() -> None:
    order = BalancedOrder(groups=LABELS, seed=7)
    index = index_at(order, range(3 * 363))
    for epoch in range(3):
        of_epoch = index.idx[index.epoch == epoch]
        assert sorted(of_epoch.tolist()) == list(range(363))
        groups = LABELS[of_epoch]
        read = np.cumsum(groups[:, None] == np.arange(5), axis=0)
        left = dict(enumerate(SIZES))
        start = 0
        while left:
            # Until the next group ends, all that are left take turns.
            ends = {group: int(np.searchsorted(read[:, group], SIZES[group])) + 1 for group in left}
            stop = min(ends.values())
            counts = read[stop - 1] - (read[start - 1] if start else 0)
            assert max(abs(counts[group] - (stop - start) / len(left)) for group in left) < 1.68
            left = {group: size for group, size in left.items() if ends[group] > stop}
            start = stop
        assert start == 363


def test_weights_are_fractions_of_the_first_positions() -> None:
    order = BalancedOrder(groups=LABELS, weights=[1e-3, 1e-3, 1e-3, 0.25, 0.75], seed=7)
    counts = np.bincount(LABELS[index_at(order, range(100)).idx], minlength=5)
    assert np.abs(counts - [0.1, 0.1, 0.1, 25, 75]).max() < 1.68


def test_a_group_is_shuffled_afresh_in_each_epoch_and_alike_for_all_samples() -> None:
    order = BalancedOrder(groups=[0, 0, 0, 1], seed=7)
    firsts = [idx for idx in index_at(order, range(4 * 3000)).idx if idx < 3][::3]
    assert np.abs(np.bincount(firsts) - 1000).max() < 130


def test_ints_give_what_arrays_give_and_position_of_inverts_both() -> None:
    order = BalancedOrder(groups=LABELS, seed=7)
    positions = [*range(0, 2000, 13), 2**62]
    index = index_at(order, positions)
    assert [tuple(index_at(order, position)) for position in positions] == list(
        zip(*(part.tolist() for part in index), strict=True)
    )
    assert position_of(order, index).tolist() == positions
    assert [position_of(order, SampleIndex(*row)) for row in zip(*index, strict=True)] == positions
    with pytest.raises(IndexError, match="idx must be in"):
        position_of(order, SampleIndex(source=0, epoch=0, idx=363))


def test_records_come_back_and_values_are_pinned() -> None:
    order = BalancedOrder(groups=["b", "a", "b", "b"], weights=[1, 2], seed=7, num_samples=9)
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
    assert index_at(order, range(8)).idx.tolist() == [3, 1, 0, 2, 3, 1, 2, 0]
    assert fingerprint(order)[:12] == "7e6c378222de"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": [1]}, "weights must be one above 0 per group, got 1 for 2 groups"),
        ({"weights": [1, 0]}, "weights must be one above 0 per group, got 2 for 2 groups"),
        ({"weights": [1, -1]}, "weights must be finite and at least 0"),
        ({"groups": range(1025)}, "groups must be at most 1024, got 1025. Put small ones together"),
        ({"groups": []}, "groups must be one axis of at least one label"),
    ],
)
def test_wrong_fields_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BalancedOrder(**{"groups": ClusterTable(offsets=[0, 2, 5]), "seed": 7} | fields)
