"""Weighted draws by an alias table."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.utils.alias import AliasTable, check_weights, draw_by_alias, make_alias_table


def shares(table: AliasTable) -> list[Fraction]:
    """Return the probability of each place, from all columns."""
    column = 1 << (63 - table.shift)
    found = [Fraction(0)] * table.length
    for place, (threshold, alias) in enumerate(zip(table.thresholds.tolist(), table.aliases.tolist(), strict=True)):
        assert 0 <= threshold <= column
        found[place] += Fraction(threshold, column * table.length)
        found[alias] += Fraction(column - threshold, column * table.length)
    return found


@pytest.mark.parametrize(
    "weights",
    [[1], [5e-324], [1e308] * 5, [1, 0, 3], [0, 0, 2], [1, 1, 1, 1], [1e-300, 1, 1e300], [2**-60, 1], [3, 1, 2.0**70]],
)
def test_each_place_has_the_share_of_its_weight(weights: list[float]) -> None:
    total = sum(map(Fraction, weights))
    for share, weight in zip(shares(make_alias_table(check_weights(weights))), weights, strict=True):
        exact = Fraction(weight) / total
        assert abs(share - exact) <= exact / 2**50 + Fraction(1, 2**60)
        assert weight or not share


def test_draws_follow_the_weights() -> None:
    weights = np.array([0.1, 0.0, 5.0, 1.0, 2.0, 0.0])
    drawn = draw_by_alias(make_alias_table(weights), 42, np.arange(200_000))
    counts = np.bincount(drawn, minlength=6)
    assert counts[[1, 5]].tolist() == [0, 0]
    positive = weights > 0
    assert stats.chisquare(counts[positive], weights[positive] / weights.sum() * len(drawn)).pvalue > 1e-6


def test_ints_arrays_and_tensors_draw_alike() -> None:
    table = make_alias_table(np.arange(50.0))
    expected = [draw_by_alias(table, 7, counter) for counter in range(100)]
    assert draw_by_alias(table, 7, np.arange(100)).tolist() == expected
    assert draw_by_alias(table, 7, torch.arange(100)).tolist() == expected


def test_weights_of_any_kind_are_taken_and_copied() -> None:
    array = np.array([1, 2, 3], dtype=np.float32)
    taken = check_weights(array)
    taken[0] = 9
    assert array.tolist() == [1, 2, 3]
    for weights in ([1, 2, 3], (1, 2, 3), range(1, 4), torch.tensor([1, 2, 3]), torch.tensor([1.0, 2, 3]).half()):
        assert check_weights(weights).tolist() == [1, 2, 3]
    assert check_weights([True, False]).tolist() == [1, 0]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([], ValueError, r"at least one element, got shape=\(0,\)"),
        ([[1.0]], ValueError, r"one axis and at least one element, got shape=\(1, 1\)"),
        ([1, float("nan")], ValueError, r"finite and not negative, got weights\[1\]=nan"),
        ([1, float("inf")], ValueError, r"got weights\[1\]=inf"),
        ([1, 2, -0.5], ValueError, r"got weights\[2\]=-0.5"),
        ([0, 0.0], ValueError, "must not all be zero, got 2 zeros"),
        (["a"], TypeError, "real numbers, got dtype=<U1"),
        ([1j], TypeError, "real numbers, got dtype=complex128"),
    ],
)
def test_bad_weights_are_named(weights: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_weights(weights)
