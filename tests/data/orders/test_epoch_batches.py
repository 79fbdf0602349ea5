"""Tests of `EpochBatchOrder`."""

import pickle

import attrs
import pytest

from bionemo.data import (
    BlockShuffleOrder,
    EpochBatchOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    PlannedSkipOrder,
    SampleIndex,
    batch_at,
    find_sample,
    from_json,
    index_at,
    num_batches,
    position_of,
    to_json,
)
from bionemo.data.pipes import loader

BASE = EpochOrder(length=10, seed=3, num_samples=30)


def make(rest: str = "short", batch_size: int = 4, order=BASE) -> Pipeline:
    order = EpochBatchOrder(order=order, batch_size=batch_size, rest=rest)
    return Pipeline(order=order, sources=range(10), seed=7, collate=list)


def batches_of(pipeline: Pipeline) -> list[list[int]]:
    return [batch_at(pipeline, step) for step in range(num_batches(pipeline))]


@pytest.mark.parametrize(("rest", "sizes"), [("short", [4, 4, 2]), ("drop", [4, 4]), ("repeat", [4, 4, 4])])
def test_no_batch_holds_samples_of_two_epochs(rest: str, sizes: list[int]) -> None:
    pipeline = make(rest)
    batches = batches_of(pipeline)
    assert [len(batch) for batch in batches] == sizes * 3
    assert batches == list(loader(pipeline))
    for epoch in range(3):
        of_epoch = batches[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        own = index_at(BASE, range(10 * epoch, 10 * epoch + 10)).idx.tolist()
        assert sum(of_epoch, []) == {"short": own, "drop": own[:8], "repeat": own + own[:2]}[rest]
        assert all(len({*batch}) == len(batch) for batch in of_epoch)


@pytest.mark.parametrize(("rest", "last"), [("short", [[4], [3]]), ("drop", [[4]]), ("repeat", [[4], [4]])])
def test_the_last_epoch_may_end_early(rest: str, last: list) -> None:
    pipeline = make(rest, order=attrs.evolve(BASE, num_samples=17))
    batches = batches_of(pipeline)
    assert [[len(batch)] for batch in batches][-len(last) :] == last
    assert all(len({*batch}) == len(batch) for batch in batches)


@pytest.mark.filterwarnings("ignore:a step of 1 sample leaves ranks of 2 without any")
@pytest.mark.parametrize("rest", ["short", "drop", "repeat"])
@pytest.mark.parametrize("num_samples", [None, 30, 17])
def test_a_loader_resumes_at_any_position_on_any_number_of_ranks(rest: str, num_samples: int | None) -> None:
    pipeline = make(rest, order=attrs.evolve(BASE, num_samples=num_samples))
    end = pipeline.order.num_samples or 30
    positions = index_at(pipeline.order, range(end)).idx.tolist()
    for start in range(end):
        ranks = [loader(pipeline, rank, 2, start=start, batches_per_epoch=5) for rank in range(2)]
        found = [one + other for one, other in zip(*ranks, strict=True)]
        read = sum(found, [])
        assert positions[start : start + len(read)] == read[: end - start] != []
        assert ranks[0].consumed_samples == ranks[1].consumed_samples


@pytest.mark.parametrize("rest", ["short", "drop"])
@pytest.mark.parametrize(
    "order",
    [
        BASE,
        BlockShuffleOrder(length=10, block_size=3, blocks_per_window=2, seed=1),
        LengthGroupedOrder(order=BASE, lengths=range(10), window_size=5, batch_size=2, seed=1),
    ],
    ids=["epochs", "blocks", "grouped"],
)
def test_position_of_inverts_index_at(rest: str, order) -> None:
    pipeline = make(rest, order=order)
    positions = range(24)
    assert position_of(pipeline.order, index_at(pipeline.order, positions)).tolist() == list(positions)
    for position in positions:
        found = find_sample(pipeline, index_at(pipeline.order, position))
        assert found.position == position
        assert batch_at(pipeline, found.step)[found.slot] == index_at(pipeline.order, position).idx


def test_the_rest_may_be_filled_from_the_next_epoch_which_begins_anew_after_it() -> None:
    batches = batches_of(make("next"))
    assert [len(batch) for batch in batches] == [4] * 9
    own = [index_at(attrs.evolve(BASE, num_samples=None), range(10 * epoch, 10 * epoch + 12)).idx for epoch in range(3)]
    assert sum(batches, []) == [idx for epoch in own for idx in epoch.tolist()]
    assert position_of(make("next").order, index_at(BASE, 10)) == 12


def test_ranks_that_will_get_no_sample_of_a_short_step_are_told_so_before_the_first_step() -> None:
    with pytest.warns(UserWarning, match="a step of 2 samples leaves ranks of 3 without any"):
        loader(make(), 0, 3)
    with pytest.raises(ValueError, match=r"each step must have a sample per rank.* \(a planned order"):
        loader(attrs.evolve(make(), collate=max), 0, 3)


def test_ranks_are_also_told_of_steps_that_a_skip_makes_short() -> None:
    even = make(batch_size=5).order
    assert even.short_steps == ()
    for positions, sizes in (([(15, 18)], {2}), ([(0, 4), 29], {1, 4}), ([(5, 10)], set())):
        order = PlannedSkipOrder(order=even, positions=positions)
        pipeline = Pipeline(order=order, sources=range(10), seed=7, collate=list)
        assert {*order.short_steps} - {0, 5} == sizes == {len(batch) for batch in batches_of(pipeline)} - {5}


def test_a_dropped_sample_has_no_position_and_a_repeated_one_its_first() -> None:
    dropped = index_at(BASE, 18)
    with pytest.raises(IndexError, match="index must be of a sample that isn't dropped, got index=SampleIndex"):
        position_of(make("drop").order, dropped)
    assert position_of(make("repeat").order, index_at(make("repeat").order, 22)) == 12


def test_a_run_may_be_extended_and_change_its_batch_size() -> None:
    state = loader(make(), start=8).state_dict()
    longer = make(order=attrs.evolve(BASE, num_samples=60))
    for pipeline in (longer, make(batch_size=5)):
        resumed = loader(pipeline)
        resumed.load_state_dict(state)
        assert next(iter(resumed)) == index_at(BASE, range(8, 10)).idx.tolist()
    loader(make("drop", order=attrs.evolve(BASE, num_samples=60))).load_state_dict(
        loader(make("drop"), start=24).state_dict()
    )
    for other in (make("drop"), make(order=attrs.evolve(BASE, seed=4))):
        with pytest.raises(ValueError, match="state must be of the same order"):
            loader(other).load_state_dict(state)
    with pytest.raises(ValueError, match=r"differs in order\.batch_size"):
        loader(make("repeat", 5)).load_state_dict(loader(make("repeat"), start=4).state_dict())


def test_records_come_back_and_steps_may_be_skipped() -> None:
    order = make().order
    assert from_json(to_json(order)) == pickle.loads(pickle.dumps(order)) == order
    skipping = Pipeline(
        order=PlannedSkipOrder(order=order, positions=[(8, 10), (20, 24)]), sources=range(10), seed=7, collate=list
    )
    batches = batches_of(make())
    assert batches_of(skipping) == batches[:2] + batches[3:6] + batches[7:]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"rest": "pad"}, ValueError, "rest must be .*'repeat'.*got .*'pad'"),
        ({"batch_size": 0}, ValueError, "batch_size must be in 1"),
        (
            {"batch_size": 11, "rest": "drop"},
            ValueError,
            "batch_size must be at most the length of an epoch, 10, got 11",
        ),
        ({"order": MixtureOrder(orders=(BASE,), weights=(1,))}, TypeError, "order must have epochs of equal length"),
        (
            {"order": PackedOrder(order=BASE, lengths=[1] * 10, max_tokens=2, bins_per_step=1, window_size=5, seed=1)},
            TypeError,
            "order must have epochs of equal length and must not make the steps, got PackedOrder",
        ),
    ],
)
def test_wrong_fields_are_refused(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EpochBatchOrder(**{"order": BASE, "batch_size": 4} | fields)


def test_a_position_whose_sample_lies_beyond_int64_is_refused() -> None:
    order = EpochBatchOrder(order=EpochOrder(length=29, seed=7), batch_size=2, rest="drop")
    end = (2**63 - 1) // 29 * 28
    assert position_of(order, index_at(order, end - 1)) == end - 1
    for position in (end, [0, end], 2**63 - 1):
        with pytest.raises(IndexError, match=f"position must be below {end}"):
            index_at(order, position)


def test_a_sample_beyond_the_order_is_refused() -> None:
    with pytest.raises(IndexError):
        position_of(make().order, SampleIndex(source=0, epoch=3, idx=0))
    with pytest.raises(IndexError, match=r"step must be in 0\.\.8, got step=9"):
        batch_at(make(), 9)
