"""Tests of EpochOrder."""

import pickle

import numpy as np
import pytest
import torch

from bionemo.data import EpochIndex, EpochOrder, SampleIndex, index_at, position_of


def test_known_values_do_not_change() -> None:
    order = EpochOrder(length=5, seed=42)
    assert [index_at(order, position).idx for position in range(15)] == [4, 1, 2, 3, 0, 1, 3, 4, 0, 2, 1, 0, 3, 2, 4]
    assert index_at(EpochOrder(length=10**9 + 7, seed=42), 10**12) == (0, 999, 720528299)


def test_each_epoch_has_every_sample_once_in_a_different_order() -> None:
    order = EpochOrder(length=100, seed=42)
    epochs = [[index_at(order, 100 * epoch + offset) for offset in range(100)] for epoch in range(3)]
    for number, epoch in enumerate(epochs):
        assert {index.epoch for index in epoch} == {number}
        assert sorted(index.idx for index in epoch) == list(range(100))
    assert len({tuple(index.idx for index in epoch) for epoch in epochs}) == 3


def test_epochs_of_neighbouring_seeds_differ() -> None:
    later = [index_at(EpochOrder(length=100, seed=42), position).idx for position in range(100, 200)]
    other = [index_at(EpochOrder(length=100, seed=43), position).idx for position in range(100)]
    assert later != other


def test_without_shuffle_an_epoch_is_in_the_order_of_the_data_set() -> None:
    order = EpochOrder(length=3, seed=42, shuffle=False)
    assert [tuple(index_at(order, position)) for position in range(4)] == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)]
    assert position_of(order, SampleIndex(0, 1, 0)) == 3


def test_a_tensor_of_positions_may_span_epochs() -> None:
    order = EpochOrder(length=7, seed=42)
    positions = torch.randperm(70, generator=torch.Generator().manual_seed(0)).reshape(10, 7)
    found = index_at(order, positions)
    assert all(part.shape == (10, 7) for part in found)
    for row, column in ((0, 0), (3, 4), (9, 6)):
        expected = index_at(order, int(positions[row, column]))
        assert tuple(int(part[row, column]) for part in found) == tuple(expected)
    assert torch.equal(position_of(order, found), positions)


@pytest.mark.parametrize("position", [0, 10**9, 10**12, 2**62, 2**63 - 1])
@pytest.mark.parametrize("length", [1, 2, 10**9 + 7, 2**40 + 1, 2**62])
def test_position_of_inverts_index_at_up_to_the_largest_lengths_and_positions(length: int, position: int) -> None:
    order = EpochOrder(length=length, seed=42)
    index = index_at(order, position)
    assert index.epoch == position // length
    assert position_of(order, index) == position
    assert tuple(int(part) for part in index_at(order, torch.tensor([position]))) == tuple(index)


def test_the_last_epoch_may_be_incomplete() -> None:
    order = EpochOrder(length=3, seed=42, num_samples=7)
    assert len(order) == 7
    missing = {0, 1, 2} - {index_at(order, 6).idx}
    assert position_of(order, SampleIndex(0, 2, index_at(order, 6).idx)) == 6
    for idx in missing:
        with pytest.raises(IndexError, match=r"position must be in 0\.\.6, got position=[78]"):
            position_of(order, SampleIndex(0, 2, idx))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (SampleIndex(1, 0, 0), r"source must be in 0\.\.0, got source=1"),
        (SampleIndex(0, -1, 0), "epoch must be in .* got epoch=-1"),
        (SampleIndex(0, 0, 3), r"idx must be in 0\.\.2, got idx=3"),
        (SampleIndex(torch.tensor([0]), torch.tensor([0]), torch.tensor([5])), "got idx=5"),
    ],
)
def test_a_sample_the_order_never_reaches_is_refused(index: SampleIndex, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        position_of(EpochOrder(length=3, seed=42), index)


def test_an_endless_order_has_no_length_but_is_true() -> None:
    with pytest.raises(TypeError, match="no length, got num_samples=None"):
        len(EpochOrder(length=3, seed=42))
    assert EpochOrder(length=3, seed=42)
    assert EpochOrder(length=3, seed=42, num_samples=0)


def test_equality_hash_pickle_and_repr() -> None:
    order = EpochOrder(length=np.int64(3), seed=np.uint8(42))
    assert order == EpochOrder(length=3, seed=42)
    assert hash(order) == hash(EpochOrder(length=3, seed=42))
    assert pickle.loads(pickle.dumps(order)) == order
    assert repr(order) == "EpochOrder(length=3, seed=42, num_samples=None, shuffle=True)"
    assert type(order.length) is int


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"length": 0, "seed": 1}, ValueError, "got length=0"),
        ({"length": 2**62 + 1, "seed": 1}, ValueError, "length must be in 1"),
        ({"length": 1, "seed": -1}, ValueError, "got seed=-1"),
        ({"length": 1, "seed": 1, "num_samples": -1}, ValueError, "got num_samples=-1"),
        ({"length": 1.0, "seed": 1}, TypeError, "length must be an integer, got length=1.0"),
        ({"length": 1, "seed": 1, "shuffle": 1}, TypeError, "shuffle"),
    ],
)
def test_invalid_fields_are_named(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EpochOrder(**fields)


def test_an_epoch_index_is_a_pair() -> None:
    assert EpochIndex(epoch=1, idx=2) == (1, 2)


@pytest.mark.parametrize("epoch", [2**24, 2**62])
def test_a_position_beyond_int64_is_refused_for_ints_and_tensors(epoch: int) -> None:
    order = EpochOrder(length=2**40, seed=42)
    for index in (SampleIndex(0, epoch, 3), SampleIndex(*(torch.tensor([part]) for part in (0, epoch, 3)))):
        with pytest.raises(IndexError, match=f"epoch must be in .*got epoch={epoch}"):
            position_of(order, index)


def test_small_numpy_integers_do_not_overflow() -> None:
    order = EpochOrder(length=10**6, seed=42)
    index = index_at(order, 5 * 10**9)
    small = SampleIndex(np.int8(0), np.int16(index.epoch), np.int32(index.idx))
    assert position_of(order, small) == 5 * 10**9
