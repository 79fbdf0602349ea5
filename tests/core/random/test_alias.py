"""Weighted draws by an alias table. Each statistical test is seeded, and would fail for one seed in a million."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from bionemo.core.arrays import in_blocks
from bionemo.core.random.alias import AliasTable, check_weights, draw_by_alias, make_alias_table


def probabilities(table: AliasTable) -> list[Fraction]:
    """Return the probability of each index, summed over all columns."""
    column = 1 << (63 - table.shift)
    found = [Fraction(0)] * table.length
    for index, (threshold, alias) in enumerate(zip(table.thresholds.tolist(), table.aliases.tolist(), strict=True)):
        assert 0 <= threshold <= column
        found[index] += Fraction(threshold, column * table.length)
        found[alias] += Fraction(column - threshold, column * table.length)
    return found


@pytest.mark.parametrize(
    "weights",
    [[1], [5e-324], [1e308] * 5, [1, 0, 3], [0, 0, 2], [1, 1, 1, 1], [1e-300, 1, 1e300], [2**-60, 1], [3, 1, 2.0**70]],
)
def test_each_index_has_the_probability_of_its_weight(weights: list[float]) -> None:
    total = sum(map(Fraction, weights))
    found = probabilities(make_alias_table(check_weights(weights)))
    for probability, weight in zip(found, weights, strict=True):
        exact = Fraction(weight) / total
        assert abs(probability - exact) <= exact / 2**49 + Fraction(1, 2**59)
        assert weight or not probability


@pytest.mark.parametrize("make", [lambda rank: 1 / rank, lambda rank: np.exp(np.sin(rank) * 5), lambda rank: rank == 1])
@pytest.mark.parametrize("num", [5000, 100_000])
def test_each_of_many_indices_has_the_probability_of_its_weight(num: int, make) -> None:
    weights = make(np.arange(1.0, num + 1)) + 1e-9
    table = make_alias_table(weights)
    column = 1 << (63 - table.shift)
    units = np.zeros(num, dtype=np.int64)
    np.add.at(units, np.arange(num), table.thresholds)
    np.add.at(units, table.aliases, column - table.thresholds)
    total = sum(map(Fraction, weights.tolist()))
    for index in [*range(20), *range(num - 20, num), int(weights.argmax())]:
        exact = Fraction(weights[index]) / total
        assert abs(Fraction(int(units[index]), column * num) - exact) <= exact / 2**49 + Fraction(1, 2**59)


def test_heights_are_uniform_within_a_column() -> None:
    """Evenly spaced words cover the columns evenly, so each threshold is met to within one word."""
    weights = np.array([5.0, 1.0, 0.0, 2.5, 9.0, 0.7])
    table = make_alias_table(weights)
    words = np.arange(0, 2**63, 2**63 // 600_000, dtype=np.uint64).astype(np.int64)
    lower = (words & (2**32 - 1)) * 6
    upper = (words >> 32) * 6 + (lower >> 32)
    columns, heights = upper >> 31, ((upper & (2**31 - 1)) << 32 | lower & (2**32 - 1)) >> table.shift
    found = np.where(heights >= table.thresholds[columns], table.aliases[columns], columns)
    assert np.abs(np.bincount(found, minlength=6) / len(words) - weights / weights.sum()).max() < 12 / len(words)


def test_draws_follow_the_weights() -> None:
    weights = np.array([0.1, 0.0, 5.0, 1.0, 2.0, 0.0])
    drawn = draw_by_alias(make_alias_table(weights), 42, np.arange(200_000))
    counts = np.bincount(drawn, minlength=6)
    assert counts[[1, 5]].tolist() == [0, 0]
    positive = weights > 0
    assert stats.chisquare(counts[positive], weights[positive] / weights.sum() * len(drawn)).pvalue > 1e-6


def test_ints_arrays_and_tensors_draw_the_same_indices() -> None:
    table = make_alias_table(np.arange(50.0))
    expected = [draw_by_alias(table, 7, counter) for counter in range(100)]
    assert draw_by_alias(table, 7, np.arange(100)).tolist() == expected
    assert in_blocks(partial(draw_by_alias, table, 7), torch.arange(100)).tolist() == expected


@pytest.mark.usefixtures("no_type_checks")  # a Fraction is not a float
def test_weights_in_any_container_are_accepted_and_copied() -> None:
    array = np.array([1, 2, 3], dtype=np.float32)
    checked = check_weights(array)
    checked[0] = 9
    assert array.tolist() == [1, 2, 3]
    for weights in (
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        torch.tensor([1, 2, 3]),
        torch.tensor([1.0, 2, 3]).bfloat16(),
        torch.tensor([1.0, 2, 3], requires_grad=True),
        [1, Fraction(2), 3.0],
    ):
        assert check_weights(weights).tolist() == [1, 2, 3]
    assert check_weights([True, False]).tolist() == [1, 0]
    assert check_weights([2**70, 2**69]).tolist() == [2.0**70, 2.0**69]


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
        (torch.tensor([1j]), TypeError, "real numbers, got dtype=complex64"),
        ([1, None], TypeError, "real numbers, got dtype=object"),
        (np.array([1, np.finfo(np.longdouble).max]), ValueError, r"got weights\[1\]=inf"),
    ],
)
def test_bad_weights_are_named(weights: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_weights(weights)
