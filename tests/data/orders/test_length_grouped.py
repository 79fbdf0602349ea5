"""Tests of LengthGroupedOrder: samples of similar length in the same batch."""

import cProfile
import itertools

import numpy as np
import pytest
import torch

from bionemo.data import (
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    Order,
    Pipeline,
    ResampleOrder,
    SampleIndex,
    from_json,
    index_at,
    padding_fraction,
    position_of,
    to_json,
)
from bionemo.data.pipes import loader

LENGTHS = np.random.default_rng(0).integers(50, 1025, 10_000)
BASE = EpochOrder(length=10_000, seed=7)
ORDER = LengthGroupedOrder(order=BASE, lengths=LENGTHS, window_size=2048, batch_size=32, seed=42)


def test_batches_have_less_padding() -> None:
    before = padding_fraction(BASE, LENGTHS, batch_size=32, num_batches=300)
    after = padding_fraction(ORDER, LENGTHS, batch_size=32, num_batches=300)
    assert 0.4 < before < 0.5
    assert after < 0.03


def test_batches_are_shuffled() -> None:
    longest = LENGTHS[index_at(ORDER, torch.arange(2048)).idx.numpy()].reshape(64, 32).max(1)
    assert (np.diff(longest) > 0).sum() < 45  # sorted batches would have 63 rises
    again = index_at(ORDER, torch.arange(10_000, 12_048)).idx.reshape(64, 32)
    first = index_at(ORDER, torch.arange(2048)).idx.reshape(64, 32)
    assert not torch.equal(first.sort(dim=1).values, again.sort(dim=1).values)


@pytest.mark.parametrize("position", [0, 2047, 2048, 9_999, 10_000, 10**12 + 7, 2**63 - 1])
def test_position_of_inverts_index_at_at_far_positions(position: int) -> None:
    index = index_at(ORDER, position)
    assert index.epoch == position // 10_000
    assert position_of(ORDER, index) == position
    assert index_at(ORDER, torch.tensor([position])).idx.tolist() == [index.idx]


def test_the_base_may_be_a_mixture_and_a_mixture_may_contain_it() -> None:
    parts = [EpochOrder(length=5, seed=1), EpochOrder(length=4, seed=2)]
    within = LengthGroupedOrder(
        order=MixtureOrder(orders=parts, weights=(1, 2)),
        lengths=([9, 8, 7, 6, 5], torch.tensor([4, 3, 2, 1])),
        window_size=6,
        batch_size=2,
        seed=3,
    )
    assert within.source_lengths == (5, 4)
    around = MixtureOrder(
        orders=[
            LengthGroupedOrder(order=part, lengths=range(part.length), window_size=3, batch_size=2, seed=3)
            for part in parts
        ],
        weights=(1, 2),
    )
    for order in (within, around):
        index = index_at(order, torch.arange(60))
        assert torch.equal(position_of(order, index), torch.arange(60))
        assert index_at(order, 59) == SampleIndex(*(int(part[59]) for part in index))


def test_windows_of_draws_with_replacement_may_be_longer_than_the_data_set() -> None:
    base = ResampleOrder(length=100, seed=1, num_samples=1000)
    order = LengthGroupedOrder(order=base, lengths=range(100), window_size=500, batch_size=500, seed=3)
    assert (index_at(order, torch.arange(500)).idx.diff() >= 0).all()
    found, expected = (index_at(some, torch.arange(1000)).idx for some in (order, base))
    assert torch.equal(found[:500].sort().values, expected[:500].sort().values)
    with pytest.raises(TypeError, match="ResampleOrder has no inverse"):
        position_of(order, SampleIndex(0, 0, 5))


def test_nested_length_grouping_keeps_the_epochs() -> None:
    inner = LengthGroupedOrder(
        order=EpochOrder(length=5, seed=7), lengths=range(5), window_size=5, batch_size=1, seed=1
    )
    outer = LengthGroupedOrder(order=inner, lengths=range(5), window_size=4, batch_size=1, seed=2)
    epochs = index_at(outer, torch.arange(15)).idx.reshape(3, 5)
    assert epochs.sort(dim=1).values.tolist() == [list(range(5))] * 3


def test_which_samples_are_left_over_does_not_depend_on_their_length() -> None:
    """With `drop_last=True` the last 4 of 100 samples would be dropped: short and long ones are equally likely."""
    left_over = []
    for seed in range(40):
        base = EpochOrder(length=100, seed=seed, num_samples=100)
        order = LengthGroupedOrder(order=base, lengths=range(100), window_size=1000, batch_size=32, seed=seed)
        left_over.append(index_at(order, torch.arange(96, 100)).idx.double().mean().item())
    assert min(left_over) < 10
    assert max(left_over) > 90
    assert 35 < np.mean(left_over) < 65


def test_a_mixture_refuses_equal_orders_even_if_grouped_by_length() -> None:
    base = EpochOrder(length=5, seed=1)
    by_length = LengthGroupedOrder(order=base, lengths=range(5), window_size=4, batch_size=2, seed=1)
    other = LengthGroupedOrder(
        order=EpochOrder(length=5, seed=1, num_samples=60), lengths=range(5), window_size=4, batch_size=2, seed=1
    )
    for pair in ((base, by_length), (by_length, other)):
        with pytest.raises(ValueError, match="equal|same|twice"):
            MixtureOrder(orders=pair, weights=(1, 1))


def test_a_loader_resumes_within_a_window() -> None:
    order = LengthGroupedOrder(
        order=EpochOrder(length=100, seed=7, num_samples=200), lengths=range(100), window_size=30, batch_size=4, seed=1
    )
    pipeline = Pipeline(order=order, sources=range(100), batch_size=4, seed=42, collate=list)
    whole = [sample for batch in loader(pipeline) for sample in batch]
    assert sorted(whole[:100]) == sorted(whole[100:]) == list(range(100))
    batches = loader(pipeline)
    begun = [sample for _, batch in zip(range(7), batches, strict=False) for sample in batch]
    resumed = loader(pipeline)
    resumed.load_state_dict(batches.state_dict())
    assert begun + [sample for batch in resumed for sample in batch] == whole


def test_padding_fraction() -> None:
    order = EpochOrder(length=4, seed=1, num_samples=4, shuffle=False)
    assert padding_fraction(order, [1, 3, 2, 2], batch_size=2) == pytest.approx(1 - 8 / 10)
    assert padding_fraction(order, [0, 0, 0, 0], batch_size=2) == 0
    assert padding_fraction(order, [1, 3, 2, 2], batch_size=2, num_batches=0) == 0
    assert padding_fraction(order, [1, 3, 2, 2], batch_size=5) == 0
    mixed = MixtureOrder(orders=[order, EpochOrder(length=3, seed=1)], weights=(1, 1))
    for lengths in ([1, 3, 2], ([1, 3, 2, 2], [1, 2, 3], [1])):
        with pytest.raises(
            ValueError, match=r"one per sample of each source, .* Give a tuple with the lengths of each"
        ):
            padding_fraction(mixed, lengths, batch_size=2, num_batches=1)
    with pytest.raises(TypeError, match="lengths must be an integer, got lengths=1.9"):
        padding_fraction(order, [1.9, 3, 2, 2], batch_size=2)
    with pytest.raises(ValueError, match="num_batches must be given for an order without end"):
        padding_fraction(BASE, LENGTHS, batch_size=2)
    with pytest.raises(IndexError, match="num_batches must be at most the order.s 2 batches of 2"):
        padding_fraction(order, [1, 3, 2, 2], batch_size=2, num_batches=3)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"lengths": [1, 2]}, ValueError, r"lengths must be one per sample of each source, got \(2,\) for \(3,\)"),
        ({"lengths": ([1, 2, 3], [1])}, ValueError, r"got \(3, 1\) for \(3,\)"),
        ({"lengths": [1, 2, 3, 4]}, ValueError, r"got \(4,\) for \(3,\)"),
        ({"lengths": [1, 2, -3]}, ValueError, "lengths must be in 0.*got lengths=-3"),
        ({"lengths": [[1, 2, 3], [1]]}, TypeError, "or a tuple of such with one row per source, got a list of 2"),
        ({"order": "abc"}, TypeError, "order must have num_samples, num_sources and index_at, got 'abc'"),
        ({"order": EpochOrder}, TypeError, "order must have .*got <class .*EpochOrder'>. Make one"),
        ({"order": None}, TypeError, "order must have .*got None. Make one"),
        ({"lengths": [1.5, 2, 3]}, TypeError, "lengths must be an integer, got lengths=1.5"),
        ({"lengths": [[1, 2, 3]]}, TypeError, "lengths must be one-dimensional integers"),
        ({"window_size": 0}, ValueError, "window_size must be in 1.*got window_size=0"),
        ({"batch_size": -1}, ValueError, "batch_size must be in 1.*got batch_size=-1"),
        ({"seed": -1}, ValueError, "seed must be in 0"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_invalid_fields_are_named(fields: dict, error: type[Exception], message: str) -> None:
    given = {"order": EpochOrder(length=3, seed=1), "lengths": [1, 2, 3], "window_size": 2, "batch_size": 2, "seed": 1}
    with pytest.raises(error, match=message):
        LengthGroupedOrder(**given | fields)


@pytest.mark.parametrize(
    "base",
    [
        MixtureOrder(orders=[EpochOrder(length=3, seed=1), EpochOrder(length=3, seed=2)], weights=(1, 1)),
        ResampleOrder(length=3, seed=1, num_samples=2**24 + 1),
        ResampleOrder(length=3, seed=1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("window_size", [2**24 + 1, 10**9, 2**62])
def test_a_window_that_could_not_be_sorted_is_refused_at_construction(base: Order, window_size: int) -> None:
    lengths = ([1, 2, 3],) * base.num_sources
    with pytest.raises(ValueError, match=f"window_size must be at most 16777216, .*got window_size={window_size}, of"):
        LengthGroupedOrder(order=base, lengths=lengths, window_size=window_size, batch_size=2, seed=1)


@pytest.mark.parametrize(
    "base",
    [
        EpochOrder(length=3, seed=1),
        ResampleOrder(length=3, seed=1, num_samples=50),
        LengthGroupedOrder(order=EpochOrder(length=3, seed=1), lengths=[1, 2, 3], window_size=2, batch_size=1, seed=1),
    ],
    ids=repr,
)
def test_a_larger_window_than_an_epoch_or_the_order_is_the_whole_of_it(base: Order) -> None:
    huge, whole = (
        LengthGroupedOrder(order=base, lengths=[1, 2, 3], window_size=size, batch_size=2**62, seed=1)
        for size in (2**62, 50)
    )
    assert index_at(huge, range(50)).idx.tolist() == index_at(whole, range(50)).idx.tolist()


@pytest.mark.usefixtures("no_type_checks")
def test_small_windows_are_sorted_as_large_ones_are() -> None:
    """Windows of a few samples are computed with ints, longer ones with arrays."""
    for size in (1, 2, 11, 12, 13):
        base = ResampleOrder(length=100, seed=5)
        order = LengthGroupedOrder(order=base, lengths=range(100), window_size=size, batch_size=4, seed=6)
        found = index_at(order, range(200 * size)).idx.reshape(-1, size)
        assert np.array_equal(np.sort(found), np.sort(index_at(base, range(200 * size)).idx.reshape(-1, size)))
        for window, samples in enumerate(found.tolist()):
            cuts = [0, *range(-window * size % 4, size, 4), size]
            pieces = [samples[start:stop] for start, stop in itertools.pairwise(cuts)]
            assert all(piece == sorted(piece) for piece in pieces)
            assert sum(sorted(pieces), []) == sorted(samples)


@pytest.mark.usefixtures("no_type_checks")
def test_a_lookup_of_many_tiny_windows_calls_no_array_kernel_per_window() -> None:
    order = LengthGroupedOrder(
        order=EpochOrder(length=4, seed=1), lengths=range(4), window_size=1000, batch_size=4, seed=1
    )
    profile = cProfile.Profile()
    with profile:
        index_at(order, range(1024))
    array_calls = sum(entry.callcount for entry in profile.getstats() if "in_blocks" in str(entry.code))
    assert array_calls < 10  # of the lookup itself, not of each window


@pytest.mark.usefixtures("no_type_checks")
def test_lookups_over_few_levels_are_nested_but_not_without_limit() -> None:
    order: Order = EpochOrder(length=3, seed=1)
    for seed in range(32):
        order = LengthGroupedOrder(order=order, lengths=[1, 2, 3], window_size=2, batch_size=1, seed=seed)
    assert order.num_levels == 32
    assert position_of(order, index_at(order, range(4))).tolist() == list(range(4))
    assert from_json(to_json(order)) == order
    with pytest.raises(ValueError, match="orders must be nested at most 32 deep, got 33 levels"):
        LengthGroupedOrder(order=order, lengths=[1, 2, 3], window_size=2, batch_size=1, seed=1)


def test_the_repr_of_many_sources_is_short() -> None:
    base = MixtureOrder(orders=[EpochOrder(length=3, seed=seed) for seed in range(100)], weights=[1] * 100)
    order = LengthGroupedOrder(order=base, lengths=([1, 2, 3],) * 100, window_size=2, batch_size=1, seed=1)
    assert "... 97 more), window_size=2" in repr(order)
    assert len(repr(order)) < 700


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": EpochOrder}, TypeError, "order must be an Order, got order=<class"),
        ({"order": None}, TypeError, "order must be an Order, got order=None"),
        ({"order": range(9)}, TypeError, "order must be an Order, got order=range"),
        ({"num_batches": 10**15}, ValueError, "num_batches must be of at most 1073741824 samples.*=1000000000000000"),
        ({"batch_size": 10**15}, ValueError, "batch_size must be in 1..16777216, got batch_size=1000000000000000"),
        ({"order": EpochOrder(length=3, seed=1, num_samples=2**62), "num_batches": None}, ValueError, "num_batches mu"),
    ],
)
def test_padding_fraction_names_what_it_refuses(arguments: dict, error: type[Exception], message: str) -> None:
    given = {"order": EpochOrder(length=3, seed=1), "lengths": [1, 2, 3], "batch_size": 2, "num_batches": 2}
    with pytest.raises(error, match=message):
        padding_fraction(**given | arguments)


def test_a_traced_or_out_of_range_position_is_refused() -> None:
    with pytest.raises(TypeError, match="position must not be traced"):
        torch.vmap(lambda position: index_at(ORDER, position))(torch.arange(3))
    with pytest.raises(IndexError, match="position"):
        index_at(
            LengthGroupedOrder(
                order=EpochOrder(length=3, seed=1, num_samples=3),
                lengths=[1, 2, 3],
                window_size=2,
                batch_size=2,
                seed=1,
            ),
            3,
        )


def test_the_lengths_of_several_sources_in_a_list_are_refused_with_the_remedy() -> None:
    base = MixtureOrder(orders=[EpochOrder(length=2, seed=1), EpochOrder(length=1, seed=2)], weights=(1, 1))
    with pytest.raises(TypeError, match="a tuple of such with one row per source, got a list of 2 rows"):
        LengthGroupedOrder(order=base, lengths=[[3, 4], [5]], window_size=2, batch_size=1, seed=1)
