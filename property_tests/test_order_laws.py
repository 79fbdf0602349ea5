"""Laws of EpochOrder."""

import json
import pickle

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data import EpochOrder, SampleIndex, index_at, indices_at, order_id, position_of
from bionemo.data.record import to_record

SEEDS = st.integers(0, 2**63 - 1)


@st.composite
def orders(draw: st.DrawFn, longest: int = 2**62) -> EpochOrder:
    return EpochOrder(
        length=draw(st.one_of(st.integers(1, min(50, longest)), st.integers(1, longest))),
        seed=draw(SEEDS),
        num_samples=draw(st.one_of(st.none(), st.integers(1, 300), st.integers(1, 2**62))),
        shuffle=draw(st.booleans()),
    )


@st.composite
def orders_and_positions(draw: st.DrawFn) -> tuple[EpochOrder, list[int]]:
    order = draw(orders())
    last = 2**62 if order.num_samples is None else order.num_samples - 1
    return order, draw(
        st.lists(st.one_of(st.integers(0, min(last, 500)), st.integers(0, last)), min_size=1, max_size=20)
    )


@given(length=st.integers(1, 200), seed=SEEDS, epoch=st.integers(0, 10**9), shuffle=st.booleans())
def test_each_epoch_holds_every_sample_once(length: int, seed: int, epoch: int, shuffle: bool) -> None:
    order = EpochOrder(length=length, seed=seed, shuffle=shuffle)
    index = index_at(order, torch.arange(epoch * length, (epoch + 1) * length))
    assert torch.equal(index.idx.sort().values, torch.arange(length))
    assert (index.epoch == epoch).all()
    assert (index.source == 0).all()


@given(case=orders_and_positions())
def test_position_of_inverts_and_tensors_give_what_integers_give(case: tuple[EpochOrder, list[int]]) -> None:
    order, positions = case
    indices = [index_at(order, position) for position in positions]
    assert [position_of(order, index) for index in indices] == positions
    bulk = index_at(order, torch.tensor(positions))
    assert [SampleIndex(*place) for place in zip(*(part.tolist() for part in bulk), strict=True)] == indices
    assert position_of(order, bulk).tolist() == positions
    assert indices_at(order, positions * 3) == indices * 3


@given(order=orders(), other=orders())
def test_records_pickle_and_their_ids_tell_them_apart(order: EpochOrder, other: EpochOrder) -> None:
    copy = pickle.loads(pickle.dumps(order))
    assert copy == order
    assert hash(copy) == hash(order)
    assert order_id(copy) == order_id(order)
    assert (order_id(order) == order_id(other)) == (order == other)
    assert json.loads(json.dumps(to_record(order))) == to_record(order)
