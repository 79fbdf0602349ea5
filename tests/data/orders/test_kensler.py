"""The order of bionemo-core 2.x. The expected values were observed on 2.4.5."""

import sys

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import install
from bionemo.data import KenslerOrder, SampleIndex, index_at, position_of
from bionemo.data.testing.strategies import positions_in
from bionemo.data.testing.strategies.single_orders import kensler_orders

OBSERVED = {
    (2, 7): [0, 1, 1, 0, 1, 0],
    (10, 42): [8, 9, 7, 5, 4, 6, 2, 0, 3, 1, 5, 3, 1, 6, 4, 9, 7, 0, 8, 2],
}


@pytest.mark.parametrize(("length", "seed"), OBSERVED)
def test_the_samples_are_those_of_2x(length: int, seed: int) -> None:
    expected = OBSERVED[length, seed]
    order = KenslerOrder(length=length, seed=seed, num_samples=len(expected))
    assert index_at(order, range(len(order))).idx.tolist() == expected


def test_the_seeds_of_epochs_are_those_of_2x() -> None:
    assert KenslerOrder(length=10, seed=42, num_samples=20).seeds_of(np.arange(2)).tolist() == [191664963, 1662057957]
    assert KenslerOrder(length=10, seed=2**70).seeds_of(0) == 1364144169


@pytest.mark.slow  # installs bionemo-core 2.4.5
@pytest.mark.parametrize("seed", [0, 42, 2**70])
def test_every_permutation_is_that_of_2x(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(
        str(install("bionemo-core==2.4.5", "bionemo-core==2.4.5") / "bionemo" / "core" / "data")
    )
    permute = __import__("permute").permute
    for length in (2, 3, 31, 32, 33, 1000, 2**20 + 1, 2**31, 3 * 10**9, 2**32 - 1, 2**32):
        order = KenslerOrder(length=length, seed=seed, num_samples=3 * length)
        positions = np.random.default_rng(seed).integers(3 * length, size=300)
        expected = [permute(i % length, length, order.seeds_of(i // length)) for i in positions.tolist()]
        assert index_at(order, positions).idx.tolist() == expected
    sys.modules.pop("permute")


@given(st.data())
def test_each_epoch_has_every_sample_once_and_positions_are_found(data: st.DataObject) -> None:
    order = data.draw(kensler_orders())
    positions = data.draw(positions_in(order))
    found = index_at(order, positions)
    assert position_of(order, found).tolist() == positions
    assert [index_at(order, position) for position in positions] == list(zip(*map(np.ravel, found), strict=True))
    if order.length <= 40:
        whole = index_at(attrs.evolve(order, num_samples=3 * order.length), range(3 * order.length)).idx
        assert (np.sort(whole.reshape(3, -1)) == np.arange(order.length)).all()


@given(kensler_orders(), st.integers(0, 500))
def test_a_longer_order_begins_with_a_shorter_one(order: KenslerOrder, more: int) -> None:
    stop = len(order)
    longer = attrs.evolve(order, num_samples=stop + more)
    assert (index_at(longer, range(stop)).idx == index_at(order, range(stop)).idx).all()
    assert (longer.seeds_of(np.arange(more)) == order.seeds_of(np.arange(1000))[:more]).all()


@pytest.mark.parametrize(("length", "reached"), [(4, 8), (8, 1024)])
def test_few_orders_of_short_data_sets_are_reached(length: int, reached: int) -> None:
    num_samples = 30_000 * length
    epochs = index_at(KenslerOrder(length=length, seed=1), np.arange(num_samples)).idx.reshape(-1, length)
    assert len(np.unique(epochs, axis=0)) == reached


@pytest.mark.usefixtures("no_type_checks")
def test_what_it_cannot_have_is_refused() -> None:
    given = {"length": 10, "seed": 1, "num_samples": 20}
    for name, value, message in (
        ("length", 2**32 + 1, r"length must be in 1\.\.4294967296, got length=4294967297"),
        ("length", 0, "got length=0"),
        ("seed", -1, "seed must be at least 0, got seed=-1"),
        ("num_samples", 2**62 + 1, "got num_samples="),
    ):
        with pytest.raises(ValueError, match=message):
            KenslerOrder(**given | {name: value})
    with pytest.raises(ValueError, match="epoch must be small enough for this machine's memory"):
        index_at(KenslerOrder(length=1, seed=1), 2**62)
    for index in (SampleIndex(0, 0, 10), SampleIndex(0, -1, 0)):
        with pytest.raises(IndexError, match="epoch must be in|idx must be in"):
            position_of(KenslerOrder(**given), index)
