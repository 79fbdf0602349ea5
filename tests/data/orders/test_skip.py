"""Tests of `SkipOrder` and `PlannedSkipOrder`."""

import pickle

import attrs
import numpy as np
import pytest

from bionemo.data import (
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    PlannedSkipOrder,
    SampleIndex,
    SkipOrder,
    batch_at,
    describe_batch,
    fingerprint,
    from_json,
    index_at,
    num_batches,
    position_of,
    to_json,
)
from bionemo.data.pipes import loader

BASE = EpochOrder(length=10, seed=3, num_samples=40)
PACKED = PackedOrder(order=BASE, lengths=range(1, 11), max_tokens=12, bins_per_step=2, window_size=10, seed=4)


def make(order, **fields) -> Pipeline:
    sizes = {} if isinstance(order, PackedOrder | PlannedSkipOrder) else {"batch_size": 4}
    return Pipeline(order=order, sources=range(10), seed=7, collate=list, **sizes | fields)


def batches_of(pipeline: Pipeline) -> list[list[int]]:
    return [batch_at(pipeline, step) for step in range(num_batches(pipeline))]


def test_skipping_whole_batches_leaves_all_others_as_they_are() -> None:
    whole = batches_of(make(BASE))
    assert batches_of(make(SkipOrder(order=BASE, positions=[(8, 16), (20, 24)]))) == whole[:2] + whole[4:5] + whole[6:]


def test_what_comes_after_single_positions_moves_up() -> None:
    order = SkipOrder(order=BASE, positions=[0, 5, 39])
    found = sum(batches_of(make(order)), [])
    assert found == [idx for position, idx in enumerate(sum(batches_of(make(BASE)), [])) if position not in {0, 5, 39}]
    assert len(order) == 37


def test_samples_are_skipped_where_they_are_read() -> None:
    where = position_of(BASE, SampleIndex(source=0, epoch=np.arange(4)[:, None], idx=[3, 7])).ravel()
    order = SkipOrder(order=BASE, positions=where)
    assert sorted(index_at(order, range(len(order))).idx) == sorted([0, 1, 2, 4, 5, 6, 8, 9] * 4)
    with pytest.raises(IndexError, match="index must be of a sample that isn't skipped, got one at position"):
        position_of(order, SampleIndex(source=0, epoch=1, idx=7))


def test_skipping_steps_of_a_packed_order_leaves_all_others_as_they_are() -> None:
    pipeline = make(PACKED)
    whole = batches_of(pipeline)
    for steps in ([0], [2, 3], [len(whole) - 1], [1, 4, 5]):
        where = [row.position for step in steps for row in describe_batch(pipeline, step)]
        left = make(PlannedSkipOrder(order=PACKED, positions=where))
        expected = [batch for step, batch in enumerate(whole) if step not in steps]
        assert batches_of(left) == expected == list(loader(left))


def test_a_step_of_which_a_part_is_skipped_has_the_rest() -> None:
    pipeline = make(PACKED)
    where = [describe_batch(pipeline, step)[0].position for step in (1, 2)]
    left = make(PlannedSkipOrder(order=PACKED, positions=where))
    whole = batches_of(pipeline)
    assert batches_of(left) == [batch[step in {1, 2} :] for step, batch in enumerate(whole)]
    assert [loader(left, start=start).state_dict()["consumed_samples"] for start in (0, 5)] == [0, 5]


@pytest.mark.parametrize(
    "order", [BASE, PACKED, MixtureOrder(orders=(BASE,), weights=(1,))], ids=lambda order: str(order)[:9]
)
def test_a_run_may_skip_what_it_has_not_reached_yet(order) -> None:
    kind = PlannedSkipOrder if isinstance(order, PackedOrder) else SkipOrder
    first = loader(make(order))
    batches = iter(first)
    delivered = next(batches) + next(batches)
    ahead = kind(order=order, positions=[(20, 24)])
    resumed = loader(make(ahead))
    resumed.load_state_dict(first.state_dict())
    delivered += sum(resumed, [])
    assert delivered == sum(batches_of(make(ahead)), [])
    # Once more, later on; and a skip that lies ahead may be taken back.
    state = loader(make(ahead), start=12).state_dict()
    loader(make(kind(order=order, positions=[(20, 24), 30]))).load_state_dict(state)
    loader(make(order)).load_state_dict(state)
    for positions, agreed in (([3], 3), ([(2, 9)], 2)):
        with pytest.raises(ValueError, match=f"The orders agree below position {agreed}, and the state is at"):
            loader(make(kind(order=order, positions=positions))).load_state_dict(first.state_dict())


def test_a_window_over_an_order_with_skips_is_another_one() -> None:
    """It doesn't end with the epochs, so the plans differ from the start."""
    packed = attrs.evolve(PACKED, order=SkipOrder(order=BASE, positions=[30]))
    with pytest.raises(ValueError, match="state must be of the same order"):
        loader(make(packed)).load_state_dict(loader(make(PACKED), start=1).state_dict())
    longer = attrs.evolve(PACKED, order=SkipOrder(order=BASE, positions=[30, 38]))
    loader(make(longer)).load_state_dict(loader(make(packed), start=20).state_dict())
    with pytest.raises(ValueError, match="The orders agree below position 30"):
        loader(make(longer)).load_state_dict(loader(make(packed), start=31).state_dict())


def test_records_come_back_and_equal_positions_are_equal_orders() -> None:
    for order in (SkipOrder(order=BASE, positions=[1, (4, 6)]), PlannedSkipOrder(order=PACKED, positions=[(4, 6), 1])):
        assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
        assert attrs.evolve(order, positions=np.array([5, 4, 1, 1])) == order
        assert fingerprint(attrs.evolve(order, positions=[5, 4, 1])) == fingerprint(order)
    many = SkipOrder(order=BASE, positions=range(0, 40, 2))
    assert "positions=((0, 1), (2, 3), (4, 5), ... 17 more)" in repr(many)


def test_positions_beyond_int64_are_refused() -> None:
    order = SkipOrder(order=EpochOrder(length=10, seed=3), positions=[(5, 9)])
    for position in (2**63 - 1, [0, 2**63 - 2]):
        with pytest.raises(IndexError, match="position must be at most 9223372036854775803, got position="):
            index_at(order, position)
    assert position_of(order, index_at(order, 2**63 - 5)) == 2**63 - 5


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"positions": [40]}, ValueError, "positions must be below num_samples=40, got 40"),
        ({"positions": [(3, 41)]}, ValueError, "positions must be below num_samples=40, got 40"),
        ({"positions": [-1]}, ValueError, r"positions\[0\] must be in 0.*got positions\[0\]=-1"),
        ({"positions": [1, (5, 4)]}, ValueError, r"positions\[1\] must be in 5"),
        (
            {"positions": [1.5]},
            TypeError,
            r"positions must hold integers and pairs \(start, stop\), got positions\[0\]=1.5",
        ),
        ({"positions": [True]}, TypeError, "positions must hold integers and pairs"),
        ({"positions": [(1, 2, 3)]}, TypeError, "positions must hold integers and pairs"),
        ({"positions": 3}, TypeError, "positions must be a sequence"),
        ({"order": PACKED}, TypeError, "order must not make the steps itself, got PackedOrder.* with PlannedSkipOrder"),
        ({"order": range(3)}, TypeError, "order must have num_samples"),
    ],
)
def test_wrong_fields_are_refused(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SkipOrder(**{"order": BASE, "positions": [3]} | fields)


def test_only_a_planned_order_has_planned_skips() -> None:
    with pytest.raises(TypeError, match="order must make the steps itself, got EpochOrder.* with SkipOrder"):
        PlannedSkipOrder(order=BASE, positions=[3])
