"""Tests of MixtureOrder and integer_weights."""

import cProfile
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
    LengthGroupedOrder,
    MixtureOrder,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    WeightedOrder,
    batch_at,
    fingerprint,
    from_json,
    index_at,
    integer_weights,
    position_of,
    to_json,
    token_weights,
)

FIRST, SECOND, THIRD = EpochOrder(length=5, seed=1), EpochOrder(length=7, seed=2), ResampleOrder(length=9, seed=3)


@attrs.frozen
class Alternating:
    """A user-defined order without `position_of` and `source_lengths`."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, position * 0, position // 2)


@attrs.define(eq=True)
class Unhashable:
    """A user-defined order that compares by its fields, but isn't frozen."""

    lengths: list[int]
    num_samples: int | None = None
    num_sources: int = 1

    def index_at(self, position, /):
        return SampleIndex(0, 0, position % self.lengths[0])


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
    with pytest.raises(ValueError, match="sources must have the lengths of the order"):
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


def test_an_order_of_weight_zero_comes_in_later_and_leaves_again() -> None:
    order = MixtureOrder(orders=(FIRST, SECOND), weights=(1, 0), changes=[(10, (1, 1)), (30, (0, 1))])
    assert np.bincount(sources(order, 10), minlength=2).tolist() == [10, 0]
    assert np.bincount(sources(order, 30, 10)).tolist() == [10, 10]
    assert np.bincount(sources(order, 60, 30)).tolist() == [0, 30]
    own = [index_at(order, position) for position in range(60)]
    assert [index[1:] for index in own if index.source == 1] == [index_at(SECOND, count)[1:] for count in range(40)]
    assert [position_of(order, index) for index in own] == list(range(60))
    with pytest.raises(IndexError, match=r"index among the samples of order 0 must be in 0\.\.19, got .*=20"):
        position_of(order, index_at(FIRST, 20))
    # An order that is not drawn from any more does not end the mixture.
    finite = EpochOrder(length=5, seed=1, num_samples=20)
    assert MixtureOrder(orders=(finite, SECOND), weights=(1, 1), changes=[(41, (0, 1))]).num_samples is None
    assert len(MixtureOrder(orders=(finite, SECOND), weights=(1, 1), changes=[(42, (0, 1))])) == 41


def test_a_mixture_may_begin_the_next_epochs_of_orders_that_end() -> None:
    orders = EpochOrder(length=5, seed=1, num_samples=5), EpochOrder(length=7, seed=2, num_samples=14)
    order = MixtureOrder(orders=orders, weights=(1, 1), stopping_strategy="all_exhausted")
    assert len(order) == 27  # the second order comes first, and its last sample is the last one
    found = [index_at(order, position) for position in range(27)]
    assert [index for index in found if index.source == 0] == [index_at(FIRST, count) for count in range(13)]
    assert [position_of(order, index) for index in found] == list(range(27))
    with pytest.raises(
        ValueError, match="num_samples must be at most 27, where all orders have ended, got num_samples=28"
    ):
        attrs.evolve(order, num_samples=28)
    assert (
        MixtureOrder(orders=(FIRST, orders[1]), weights=(1, 1), stopping_strategy="all_exhausted").num_samples is None
    )
    draws = ResampleOrder(length=9, seed=3, num_samples=9)
    with pytest.raises(ValueError, match="orders that begin their next epoch must have epochs .* got ResampleOrder"):
        MixtureOrder(orders=(FIRST, draws), weights=(1, 1), stopping_strategy="all_exhausted")
    base = BlockShuffleOrder(length=6, block_size=2, blocks_per_window=1, seed=1, num_samples=6)
    grouped = LengthGroupedOrder(order=base, lengths=range(6), window_size=6, batch_size=2, seed=1)
    order = MixtureOrder(orders=(grouped, orders[1]), weights=(1, 1), stopping_strategy="all_exhausted")
    found = [index_at(order, position) for position in range(27)]
    assert [index.epoch for index in found if index.source == 0] == [0] * 6 + [1] * 6 + [2]


def test_a_mixture_without_any_order_left_ends_though_a_weight_would_come_in_later() -> None:
    finite = EpochOrder(length=5, seed=1, num_samples=3)
    order = MixtureOrder(
        orders=(finite, SECOND),
        weights=(1, 0),
        changes=[(5, (1, 1))],
        stopping_strategy="all_exhausted_without_replacement",
    )
    assert len(order) == 3


def test_token_weights_name_what_is_wrong() -> None:
    for fractions, lengths, message in (
        ([1, 1], [5], "mean_lengths must be one per source, got 1 for 2 fractions"),
        ([1, 1], [5, 0], r"mean_lengths must be above 0, got mean_lengths\[1\]=0"),
        ([1, -1], [5, 5], r"fractions must be finite and at least 0, got fractions\[1\]=-1"),
        ([0, 0], [5, 5], "fractions must hold at least one above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            token_weights(fractions, lengths)


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


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    "weights",
    [
        [2, 1],
        np.array([2, 1], np.int8),
        torch.tensor([2, 1]),
        (n for n in (2, 1)),
        integer_weights([0.8, 0.4], total=3),
    ],
    ids=lambda weights: type(weights).__name__,
)
def test_weights_are_taken_from_every_container(weights) -> None:
    expected = MixtureOrder(orders=(FIRST, SECOND), weights=(2, 1), changes=[(9, (2, 1))])
    kept = weights if not hasattr(weights, "send") else (2, 1)  # a generator is empty after it was read
    assert MixtureOrder(orders=(FIRST, SECOND), weights=weights, changes=[(9, kept)]) == expected
    assert type(expected.weights[0]) is int


def test_many_sources_take_about_linear_time() -> None:
    """By a count of the calls: the time of a busy machine would decide the test otherwise."""
    calls = []
    for number in (100, 1000):
        profile = cProfile.Profile(builtins=True)
        with profile:
            skewed = integer_weights([1e9, *[1.0] * (number - 1)], total=2 * number)
            scaled = integer_weights(range(1, number + 1), total=10**6)
            orders = [EpochOrder(length=5, seed=seed, num_samples=10**6) for seed in range(number)]
            order = MixtureOrder(orders=orders, weights=scaled, changes=[(10, skewed)])
            assert index_at(order, 10**3 - 1) == order.index_at(10**3 - 1)
            assert order.num_sources == number
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[1] < 20 * calls[0]


def test_a_mixture_builds_no_table_before_the_first_lookup() -> None:
    orders = [WeightedOrder(weights=[1, 2, 3], seed=seed) for seed in range(3)]
    profile = cProfile.Profile()
    with profile:
        order = MixtureOrder(orders=orders, weights=(1, 1, 1))
    built = [entry.code.co_name for entry in profile.getstats() if hasattr(entry.code, "co_name")]
    assert "_check_orders" in built
    assert "make_alias_table" not in built
    with profile:
        for positions in (range(9), range(9, 18), 20, 21, 22):
            index_at(order, positions)
    counts = {getattr(entry.code, "co_name", ""): entry.callcount for entry in profile.getstats()}
    assert counts["make_alias_table"] == 3


def nested(levels: int) -> MixtureOrder | EpochOrder:
    order: MixtureOrder | EpochOrder = EpochOrder(length=5, seed=0)
    for level in range(1, levels):
        order = MixtureOrder(orders=(order, EpochOrder(length=5, seed=level)), weights=(2, 1))
    return order


def test_mixtures_may_be_nested_but_not_without_limit() -> None:
    order = nested(33)
    assert order.num_levels == 32
    assert position_of(order, index_at(order, 1000)) == 1000
    assert position_of(order, index_at(order, range(40))).tolist() == list(range(40))
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
    assert hash(order) == hash(attrs.evolve(order))
    assert repr(order).count("EpochOrder") == 33
    with pytest.raises(ValueError, match="orders must be nested at most 32 deep, got 33 levels. Put the orders"):
        nested(1000)


def test_the_repr_of_many_orders_is_short() -> None:
    orders = [EpochOrder(length=5, seed=seed) for seed in range(1000)]
    order = MixtureOrder(orders=orders, weights=range(1, 1001), changes=[(9, range(1, 1001))])
    assert len(repr(order)) < 500
    assert "... 997 more), weights=(1, 2, 3, ... 997 more), num_samples=None, changes=((9, (1, 2, 3, ..." in repr(order)
    few = MixtureOrder(orders=orders[:16], weights=range(1, 17))
    assert repr(few).count("EpochOrder") == 16


def test_equality_hash_pickle_and_repr() -> None:
    order = MixtureOrder(orders=[FIRST, SECOND], weights=np.array([2, 1]), num_samples=9)
    same = MixtureOrder(orders=(FIRST, SECOND), weights=(2, 1), num_samples=9)
    assert order == same
    assert hash(order) == hash(same)
    assert fingerprint(order) == fingerprint(same)
    assert pickle.loads(pickle.dumps(order)) == order
    assert (
        repr(order) == f"MixtureOrder(orders=({FIRST}, {SECOND}), weights=(2, 1), num_samples=9, "
        "changes=(), stopping_strategy='first_exhausted')"
    )
    assert order != MixtureOrder(orders=(SECOND, FIRST), weights=(2, 1), num_samples=9)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"orders": ()}, ValueError, "orders must hold at least one, got none"),
        ({"weights": (1,)}, ValueError, "weights must be one per order, got 1 for 2 orders"),
        ({"weights": (1, -1)}, ValueError, r"weights must be at least 0, got weights\[1\]=-1"),
        ({"weights": (0, 0)}, ValueError, r"weights must not all be 0, got \[0, 0\]"),
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
        ({"orders": ("a", "b")}, TypeError, r"orders\[0\] must have num_samples, .*got 'a'. Make one"),
        ({"orders": (FIRST, EpochOrder)}, TypeError, r"orders\[1\] must have .*got <class .*EpochOrder'>"),
        ({"orders": (FIRST, None)}, TypeError, r"orders\[1\] must have num_samples, .*got None"),
        ({"orders": (FIRST, range(9))}, TypeError, r"orders\[1\] must have num_samples, .*got range\(0, 9\)"),
        ({"orders": FIRST}, TypeError, "orders must be a sequence, got orders=EpochOrder"),
        ({"orders": None}, TypeError, "orders must be a sequence, got orders=None"),
        ({"orders": {"web": FIRST, "genes": SECOND}}, TypeError, "orders must be a sequence, got orders={'genes'"),
        ({"orders": {FIRST, SECOND}}, TypeError, "orders must be a sequence, got orders={EpochOrder"),
        ({"orders": (FIRST, Unhashable([3]))}, TypeError, "orders must be hashable, got Unhashable.* frozen attrs"),
        ({"weights": {0: 1, 1: 2}}, TypeError, "weights must be a sequence, got weights={0: 1, 1: 2} of type dict"),
        ({"weights": None}, TypeError, "weights must be a sequence, got weights=None"),
        ({"weights": "11"}, TypeError, "weights must be a sequence, got weights='11'"),
        ({"weights": np.array(3)}, TypeError, "weights must be a sequence, got weights=3"),
        ({"weights": [[1, 2], [3, 4]]}, TypeError, r"weights\[0\] must be an integer, got weights\[0\]=\[1, 2\]"),
        ({"weights": (True, 1)}, TypeError, r"weights\[0\] must be an integer"),
        ({"changes": (5, (1, 1))}, TypeError, r"changes must hold pairs \(position, weights\), got changes\[0\]=5"),
        ({"changes": {5: (1, 1)}}, TypeError, "changes must be a sequence, got changes={5"),
        ({"changes": [(5, (0, 0))]}, ValueError, r"weights of changes\[0\] must not all be 0"),
        ({"stopping_strategy": "last"}, ValueError, "stopping_strategy must be .*all_exhausted.*got .*'last'"),
        ({"changes": [(5, (1, 1)), (5, (1, 2))]}, ValueError, r"changes must be at increasing positions, got \[5, 5\]"),
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
        ([7, 5, 1e-9, 1e-9, 1e-9, 1e-9], 7, (2, 1, 1, 1, 1, 1)),
        ([9, 8, 7, 1e-9, 1e-9], 7, (2, 2, 1, 1, 1)),
        ([100, 100, 50, *[1e-9] * 10], 16, (2, 3, 1, *[1] * 10)),
        (torch.tensor([7.0, 3.0]), 10, (7, 3)),
        ([0, 7, 0.0, 3], 10, (0, 7, 0, 3)),
        ([0, 100, 1e-9, 1e-9], 3, (0, 1, 1, 1)),
    ],
)
def test_integer_weights_have_the_given_total_and_the_reported_error(
    weights: list[float], total: int, expected: tuple[int, ...]
) -> None:
    found = integer_weights(weights, total=total)
    assert found.weights == expected
    assert sum(found.weights) == total
    exact = [Fraction(float(weight) if isinstance(weight, torch.Tensor) else weight) for weight in weights]
    whole = sum(exact)
    error = max(abs(Fraction(n, total) - weight / whole) for n, weight in zip(expected, exact, strict=True))
    assert found.error == float(error)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("weights", "total", "message"),
    [
        ([10**400, float("inf")], 10, r"got weights\[1\]=inf"),
        ([], 10, "weights must hold at least one"),
        ([0, 0.0], 10, "weights must hold at least one above 0, got"),
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


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("weights", [None, 5, {0: 3, 1: 1}, {3, 1}, "31", torch.tensor(3)])
def test_integer_weights_refuses_what_has_no_order(weights: object) -> None:
    with pytest.raises(TypeError, match=r"weights must be (a sequence|an iterable or a tensor), got weights="):
        integer_weights(weights)
