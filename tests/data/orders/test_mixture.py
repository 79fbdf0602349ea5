"""Tests of MixtureOrder and integer_weights."""

import pickle
import tracemalloc
from fractions import Fraction

import attrs
import numpy as np
import pytest
import torch

from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    batch_at,
    fingerprint,
    index_at,
    integer_weights,
    position_of,
)

FIRST, SECOND, THIRD = EpochOrder(length=5, seed=1), EpochOrder(length=7, seed=2), ResampleOrder(length=9, seed=3)


@attrs.frozen
class Alternating:
    """A user-defined order without `position_of` and `source_lengths`."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, position * 0, position // 2)


def sources(order: MixtureOrder, stop: int, start: int = 0) -> np.ndarray:
    return index_at(order, torch.arange(start, stop)).source.numpy()


def test_known_values_do_not_change() -> None:
    order = MixtureOrder(orders=(FIRST, SECOND, THIRD), weights=(5, 3, 2), changes=[(10, (1, 1, 1))])
    assert [index_at(order, position)[::2] for position in range(14)] == [
        *[(1, 5), (0, 1), (2, 7), (0, 4), (1, 6), (0, 0), (2, 5), (0, 3), (1, 3), (0, 2)],
        *[(1, 2), (2, 2), (0, 1), (1, 0)],
    ]
    assert index_at(order, 10**15) == (1, 47619047619047, 1)


def test_sources_are_interleaved_by_weight_and_each_keeps_its_own_order() -> None:
    order = MixtureOrder(orders=(FIRST, SECOND), weights=(7, 3))
    found = sources(order, 1000)
    assert np.bincount(found).tolist() == [700, 300]
    errors = np.cumsum(found == 0) - np.arange(1, 1001) * 0.7
    assert np.abs(errors).max() < 0.5 + 1e-9
    own = [index_at(order, position) for position in range(100) if found[position] == 1]
    assert own == [index_at(SECOND, position)._replace(source=1) for position in range(len(own))]


def test_sources_of_nested_mixtures_are_numbered_consecutively() -> None:
    inner = MixtureOrder(orders=(SECOND, THIRD), weights=(1, 1))
    order = MixtureOrder(
        orders=(FIRST, inner, BlockShuffleOrder(length=4, block_size=2, blocks_per_window=1, seed=9)), weights=(2, 4, 2)
    )
    assert order.num_sources == 4
    assert order.source_lengths == (5, 7, 9, 4)
    assert np.bincount(sources(order, 800)).tolist() == [200, 200, 200, 200]
    for position in range(100):
        index = index_at(order, position)
        if index.source != 2:
            assert position_of(order, index) == position
    with pytest.raises(TypeError, match="ResampleOrder has no inverse"):
        position_of(order, SampleIndex(2, 0, 0))


def test_a_user_defined_order_can_be_mixed_and_read() -> None:
    order = MixtureOrder(orders=(FIRST, Alternating()), weights=(1, 1), num_samples=20)
    assert order.source_lengths == (5, None, None)
    assert [index_at(order, position) for position in range(20)] == [
        SampleIndex(*sample)
        for sample in zip(*(part.tolist() for part in index_at(order, torch.arange(20))), strict=True)
    ]
    pipeline = Pipeline(order=order, sources=("abcde", "x" * 99, "y" * 98), batch_size=8, seed=1, collate="".join)
    assert sorted(batch_at(pipeline, 0)) == sorted("xxyy" + "".join("abcde"[index_at(FIRST, k).idx] for k in range(4)))
    with pytest.raises(ValueError, match="data sets must have the lengths of the order"):
        attrs.evolve(pipeline, sources=("abcd", "x", "y"))


def test_a_change_of_weights_keeps_all_earlier_positions() -> None:
    plain = MixtureOrder(orders=(FIRST, SECOND), weights=(7, 3))
    changed = MixtureOrder(orders=(FIRST, SECOND), weights=(7, 3), changes=((50, (1, 4)), (150, (1, 1))))
    assert [index_at(plain, position) for position in range(50)] == [
        index_at(changed, position) for position in range(50)
    ]
    assert np.bincount(sources(changed, 150, 50)).tolist() == [20, 80]
    assert np.bincount(sources(changed, 250, 150)).tolist() == [50, 50]
    assert [position_of(changed, index_at(changed, position)) for position in range(250)] == list(range(250))


def test_a_mixture_ends_when_the_first_order_is_exhausted() -> None:
    finite = EpochOrder(length=5, seed=1, num_samples=12)
    order = MixtureOrder(orders=(finite, SECOND), weights=(2, 1))
    assert len(order) == 18
    assert np.bincount(sources(order, 18)).tolist() == [12, 6]
    with pytest.raises(IndexError, match=r"position must be in 0\.\.17, got position=18"):
        index_at(order, 18)
    with pytest.raises(
        ValueError, match="num_samples must be at most 18, where the first order ends, got num_samples=19"
    ):
        MixtureOrder(orders=(finite, SECOND), weights=(2, 1), num_samples=19)
    assert len(MixtureOrder(orders=(finite, SECOND), weights=(2, 1), num_samples=17)) == 17
    # A change of weights changes the number of samples. An empty order ends the mixture at its first turn.
    assert len(MixtureOrder(orders=(finite, SECOND), weights=(2, 1), changes=[(9, (1, 5))])) == 48
    empty = EpochOrder(length=5, seed=1, num_samples=0)
    assert len(MixtureOrder(orders=(empty, SECOND), weights=(1, 1))) == 1
    nested = MixtureOrder(orders=(MixtureOrder(orders=(finite, SECOND), weights=(2, 1)), THIRD), weights=(1, 1))
    assert len(nested) == 37


def test_attrs_evolve_recomputes_the_number_of_samples() -> None:
    finite = EpochOrder(length=5, seed=1, num_samples=12)
    order = MixtureOrder(orders=(finite, SECOND), weights=(2, 1))
    for weights in ((1, 5), (5, 1)):
        assert len(attrs.evolve(order, weights=weights)) == len(MixtureOrder(orders=(finite, SECOND), weights=weights))


@pytest.mark.parametrize("weights", [(1, 2**31 - 2), (1, 3)])
def test_a_sample_whose_position_exceeds_int64_is_refused_for_ints_and_tensors(weights: tuple[int, int]) -> None:
    order = MixtureOrder(orders=(FIRST, SECOND), weights=weights)
    last = index_at(order, 2**63 - 1)
    assert position_of(order, SampleIndex(*(torch.tensor([part]) for part in last))).tolist() == [2**63 - 1]
    for epoch in (2**60, 2**31 * 2**29):
        index = SampleIndex(0, epoch, 3)
        for late in (index, SampleIndex(*(torch.tensor([part]) for part in index))):
            with pytest.raises(IndexError, match="index among the samples of order 0 must be in 0"):
                position_of(order, late)


def test_a_mixture_may_have_more_than_256_orders() -> None:
    orders = [EpochOrder(length=3, seed=seed) for seed in range(600)]
    order = MixtureOrder(orders=orders, weights=[1] * 600)
    index = index_at(order, torch.arange(1800))
    assert index.source.bincount().tolist() == [3] * 600
    assert position_of(order, index).tolist() == list(range(1800))
    assert index_at(order, 1234) == tuple(int(part[1234]) for part in index)


def test_num_samples_is_capped_at_the_longest_range() -> None:
    far = EpochOrder(length=5, seed=1, num_samples=2**62)
    order = MixtureOrder(orders=(far, SECOND), weights=(1, 9))
    assert order.num_samples == 2**62


@pytest.mark.parametrize("weights", [[1] * 8, [1, 2, 4, 8, 16, 32, 64, 128]])
def test_memory_and_pickle_of_a_mixture_do_not_grow_with_its_length(weights: list[int]) -> None:
    orders = [EpochOrder(length=10**9 + seed, seed=seed) for seed in range(8)]
    MixtureOrder(orders=orders, weights=weights, num_samples=10**12)  # allocates what NumPy keeps after its first use
    tracemalloc.start()
    order = MixtureOrder(orders=orders, weights=weights, num_samples=10**12)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allocated < 100_000
    assert len(pickle.dumps(order)) < 1000


def test_equality_hash_pickle_and_repr() -> None:
    order = MixtureOrder(orders=[FIRST, SECOND], weights=np.array([2, 1]), num_samples=9)
    same = MixtureOrder(orders=(FIRST, SECOND), weights=(2, 1), num_samples=9)
    assert order == same
    assert hash(order) == hash(same)
    assert fingerprint(order) == fingerprint(same)
    assert pickle.loads(pickle.dumps(order)) == order
    assert repr(order) == f"MixtureOrder(orders=({FIRST}, {SECOND}), weights=(2, 1), num_samples=9, changes=())"
    assert order != MixtureOrder(orders=(SECOND, FIRST), weights=(2, 1), num_samples=9)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"orders": ()}, ValueError, "orders must hold at least one, got none"),
        ({"weights": (1,)}, ValueError, "weights must be one per order, got 1 for 2 orders"),
        ({"weights": (1, 0)}, ValueError, r"weights\[1\] must be in 1\.\..*got weights\[1\]=0"),
        (
            {"weights": (1, 0.5)},
            TypeError,
            r"weights must be integers, got weights\[1\]=0.5. Scale them with integer_weights",
        ),
        ({"weights": (2**30, 2**30)}, ValueError, "sum to less than 2\\*\\*31, got 2147483648"),
        ({"orders": (FIRST, FIRST)}, ValueError, "orders must not be equal, got EpochOrder.*length=5.* twice.*fold_in"),
        (
            {"orders": (FIRST, MixtureOrder(orders=(SECOND, FIRST), weights=(1, 1)))},
            ValueError,
            "orders must not be equal, got EpochOrder.*length=5",
        ),
        ({"orders": (FIRST, attrs.evolve(FIRST, num_samples=7))}, ValueError, "orders must not be equal"),
        ({"orders": ("a", "b")}, TypeError, "orders must have num_samples, num_sources and index_at, got 'a'"),
        ({"changes": [(5, (1, 1)), (5, (1, 2))]}, ValueError, r"changes must be at rising positions, got \[5, 5\]"),
        ({"changes": [(0, (1, 1))]}, ValueError, "changes' position must be in 1"),
        ({"changes": [(5, (1, 1, 1))]}, ValueError, "weights must be one per order, got 3 for 2"),
        ({"num_samples": -1}, ValueError, "got num_samples=-1"),
    ],
)
def test_invalid_fields_are_named(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixtureOrder(**{"orders": (FIRST, SECOND), "weights": (1, 1)} | fields)


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ([0.7, 0.3], 1000, (700, 300)),
        ([1, 1, 1], 10, (4, 3, 3)),
        ([1e-9, 1], 10, (1, 9)),
        ([1, 1e-9, 1e-9, 1e-9], 5, (2, 1, 1, 1)),
        ([3], 7, (7,)),
        ([1, 1.009], 2**20, (521939, 526637)),
        ([2**70, 2**70], 2**31 - 1, (2**30, 2**30 - 1)),
        ([10**400, 10**400], 10, (5, 5)),
    ],
)
def test_integer_weights_have_the_given_total_and_the_reported_error(
    weights: list[float], total: int, expected: tuple[int, ...]
) -> None:
    found = integer_weights(weights, total=total)
    assert found.weights == expected
    assert sum(found.weights) == total
    whole = sum(map(Fraction, weights))
    error = max(abs(Fraction(n, total) - Fraction(weight) / whole) for n, weight in zip(expected, weights, strict=True))
    assert found.error == float(error)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("weights", "total", "message"),
    [
        ([10**400, float("inf")], 10, r"got weights\[1\]=inf"),
        ([], 10, "weights must hold at least one"),
        ([1, 0], 10, r"finite and above 0, got weights\[1\]=0. Leave the source out"),
        ([1, -2], 10, r"got weights\[1\]=-2"),
        ([float("nan")], 10, r"got weights\[0\]=nan"),
        ([float("inf")], 10, r"got weights\[0\]=inf"),
        ([1, 1], 1, r"total must be in 2\.\.2147483647, got total=1"),
        ([1, 1], 2**31, "got total=2147483648"),
    ],
)
def test_integer_weights_names_invalid_weights(weights: list[float], total: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        integer_weights(weights, total=total)


@pytest.mark.usefixtures("no_type_checks")  # beartype refuses NumPy's numbers as floats
def test_integer_weights_takes_numpy_numbers() -> None:
    assert integer_weights([np.float32(1), np.int64(3)], total=np.int64(8)) == ((2, 6), 0.0)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("weight", ["0.7", None, True, 1j])
def test_integer_weights_refuses_what_is_no_number(weight: object) -> None:
    with pytest.raises(TypeError, match=r"weights must be numbers, got weights\[1\]="):
        integer_weights([1, weight])
