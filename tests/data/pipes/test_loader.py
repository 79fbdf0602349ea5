"""The loader of a pipeline."""

import json
from collections.abc import Callable
from functools import partial

import attrs
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from bionemo.data import (
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    Order,
    Pipeline,
    SkipOrder,
    Source,
    batch_at,
    fingerprint,
    first_divergence,
)
from bionemo.data.pipes import batch_sampler, loader


def make(num_samples: int | None = 10, **fields) -> Pipeline:
    fields = {"order": EpochOrder(length=10, seed=42, num_samples=num_samples), "sources": list(range(10)), **fields}
    return Pipeline(**{"batch_size": 4, "seed": 7, "collate": list, **fields})


def tagged(sample, *, generator: torch.Generator, tag: str = ""):
    return sample, tag


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_loader_yields_the_batches_of_the_pipeline(drop_last: bool, world_size: int) -> None:
    pipeline = make(27, drop_last=drop_last)
    for rank in range(world_size):
        batches = loader(pipeline, rank, world_size)
        assert len(batches) == (6 if drop_last else 7)
        assert list(batches) == [batch_at(pipeline, step, rank, world_size) for step in range(len(batches))]


def test_a_loader_stays_at_the_end_of_a_finite_order() -> None:
    batches = loader(make())
    assert len(list(batches)) == 3
    with pytest.warns(
        UserWarning, match=r"ended at position 10 in an earlier iteration.* Start over with restart=True"
    ):
        assert list(batches) == []
    assert batches.state_dict()["consumed_samples"] == 10
    resumed = loader(make())
    resumed.load_state_dict(batches.state_dict())
    assert list(resumed) == []  # no warning: a finished run that is resumed has nothing left


def test_a_pipeline_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="order must have samples to read, got num_samples=0"):
        make(0)


def test_a_loader_pauses_and_continues() -> None:
    pipeline = make(None)
    batches = loader(pipeline, batches_per_epoch=3)
    assert len(batches) == 3
    epochs = [list(batches) for _ in range(4)]
    assert [len(epoch) for epoch in epochs] == [3, 3, 3, 3]
    assert sum(epochs, []) == [batch_at(pipeline, step) for step in range(12)]
    assert batches.consumed_samples == 48


def test_an_interrupted_epoch_continues_to_its_pause() -> None:
    batches = loader(make(None), batches_per_epoch=5)
    iterator = iter(batches)
    first = [next(iterator), next(iterator)]
    assert len(first) + len(list(batches)) == 5
    assert len(list(batches)) == 5


def test_restart_starts_over_with_the_same_batches() -> None:
    batches = loader(make(), restart=True)
    first = list(batches)
    next(iter(batches))
    assert list(batches) == first


def test_restart_starts_over_at_start_also_after_a_state_was_loaded() -> None:
    batches = loader(make(), restart=True, start=4)
    expected = [batch_at(make(), step) for step in (1, 2)]
    assert list(batches) == expected
    assert list(batches) == expected
    batches.load_state_dict(loader(make(), start=8).state_dict())
    assert list(batches) == expected


def test_an_order_without_end_and_pause_has_no_length_but_is_true() -> None:
    batches = loader(make(None))
    with pytest.raises(TypeError, match="no length. Give batches_per_epoch"):
        len(batches)
    assert batches


@pytest.mark.filterwarnings("ignore:a step of . samples? leaves ranks")
def test_the_state_is_plain_small_and_the_same_on_every_rank() -> None:
    pipeline = make()
    states = []
    for rank in range(3):
        batches = loader(pipeline, rank, 3)
        next(iter(batches))
        states.append(batches.state_dict())
    assert states[0] == states[1] == states[2] == json.loads(json.dumps(states[0]))
    assert states[0]["consumed_samples"] == 4
    assert states[0]["order_id"] == fingerprint(pipeline.order)


@pytest.mark.parametrize("steps", range(7))
def test_another_loader_continues_from_a_state(steps: int) -> None:
    pipeline = make(27)
    first = loader(pipeline)
    iterator = iter(first)
    for _ in range(steps):
        next(iterator)
    second = loader(pipeline)
    second.load_state_dict(first.state_dict())
    assert list(second) == list(iterator)


def test_a_far_position_is_resumed_without_replay() -> None:
    pipeline = make(None)
    batches = loader(pipeline)
    batches.load_state_dict(loader(pipeline, start=4 * 10**15).state_dict())
    assert next(iter(batches)) == batch_at(pipeline, 10**15)


def test_after_a_change_of_batch_size_a_short_batch_ends_at_a_multiple_of_the_new_one() -> None:
    first = loader(make(27))
    iterator = iter(first)
    delivered = [*next(iterator), *next(iterator)]
    second = loader(make(27, batch_size=5), 0, 1)
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert [len(batch) for batch in rest] == [2, 5, 5, 5, 2]
    assert delivered + sum(rest, []) == sum(loader(make(27)), [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": EpochOrder(length=10, seed=43, num_samples=10)}, r"order.seed \(was 42, is 43\)"),
        (
            {"order": EpochOrder(length=11, seed=42, num_samples=10), "sources": list(range(11))},
            r"lengths.0 \(was 10, is 11\)",
        ),
        ({"seed": 8}, r"differs in seed \(was 7, is 8\)"),
    ],
)
def test_the_state_of_another_order_is_refused_with_the_fields_that_differ(fields: dict, message: str) -> None:
    state = loader(make()).state_dict()
    batches = loader(make(**fields))
    with pytest.raises(ValueError, match=message):
        batches.load_state_dict(state)
    assert batches.consumed_samples == 0


def test_the_state_of_another_version_of_the_algorithms_is_refused() -> None:
    state = loader(make()).state_dict() | {"order_id": "0" * 64}
    with pytest.raises(ValueError, match="differs in its order_id"):
        loader(make()).load_state_dict(state)


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": Source(list(range(10)), transform=partial(tagged, tag="b"))},
        {"collate": tuple},
        {"batch_transform": partial(tagged, generator=torch.Generator())},
    ],
)
def test_functions_with_other_names_warn(fields: dict) -> None:
    state = loader(make(sources=Source(list(range(10)), transform=partial(tagged, tag="a")))).state_dict()
    with pytest.warns(UserWarning, match="continues with other functions: (transforms|collate|batch_transform)"):
        loader(make(**fields)).load_state_dict(state)


@pytest.mark.filterwarnings("ignore:a step of . samples? leaves ranks")
def test_batch_size_drop_last_and_world_size_may_change() -> None:
    state = loader(make(), start=8).state_dict()
    batches = loader(make(batch_size=3, drop_last=True), 1, 2)
    batches.load_state_dict(state)
    assert batches.consumed_samples == 8


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    "state",
    [None, 3, {}, {"consumed_samples": 4}, {"consumed_samples": "4", "pipeline": {}, "order_id": ""}, {"position": 3}],
)
def test_what_is_not_a_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match=r"state must be what a loader's state_dict\(\) returned"):
        loader(make()).load_state_dict(state)


@pytest.mark.parametrize("consumed", [-1, 11])
def test_a_position_outside_of_the_order_is_refused(consumed: int) -> None:
    state = loader(make()).state_dict() | {"consumed_samples": consumed}
    with pytest.raises(ValueError, match=f"got consumed_samples={consumed}"):
        loader(make()).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "world_size": 2}, "got rank=2"),
        ({"batches_per_epoch": 0}, "got batches_per_epoch=0"),
        ({"start": 11}, "got start=11"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loader(make(), **options)


@pytest.mark.filterwarnings("ignore:a step of . samples? leaves ranks")
def test_ranks_without_samples_have_as_many_batches() -> None:
    pipeline = make(9, batch_size=2)
    counts = {len(list(loader(pipeline, rank, 5))) for rank in range(5)}
    assert counts == {5}


def stop(sample, **_: object):
    next(iter([]))


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": Source(list(range(10)), transform=stop)},
        {"collate": stop},
        {"batch_transform": stop},
    ],
)
def test_a_stop_iteration_in_a_users_function_is_an_error(fields: dict) -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration: an iterator in it has ended"):
        list(loader(make(**fields)))


def test_numpy_integers_are_accepted() -> None:
    batches = loader(make(27), np.int64(0), np.int32(2), batches_per_epoch=np.int64(2), start=np.int64(8))
    state = batches.state_dict()
    assert type(state["consumed_samples"]) is int
    loader(make(27)).load_state_dict(state)
    assert len(list(batches)) == 2


def test_an_older_iteration_is_over_when_a_newer_one_begins_or_a_state_is_loaded() -> None:
    batches = loader(make(27))
    older = iter(batches)
    next(older)
    newer = iter(batches)
    assert next(newer) == batch_at(make(27), 1)
    with pytest.raises(RuntimeError, match="this iteration is over"):
        next(older)
    batches.load_state_dict(loader(make(27), start=20).state_dict())
    with pytest.raises(RuntimeError, match="this iteration is over"):
        next(newer)
    assert next(iter(batches)) == batch_at(make(27), 5)


def test_a_loader_knows_when_it_is_exhausted() -> None:
    batches = loader(make(10, drop_last=True))
    assert not batches.is_exhausted
    list(batches)
    assert batches.is_exhausted
    assert batches.consumed_samples == 8


def test_a_default_device_changes_nothing() -> None:
    pipeline = make(64, sources=Source(list(range(10)), transform=tagged), batch_size=40, batch_transform=with_seeds)
    expected = batch_at(pipeline, 0)
    with torch.device("meta"):
        assert batch_at(pipeline, 0) == expected == next(iter(loader(pipeline)))


def with_seeds(batch: list, *, seeds: torch.Tensor) -> list:
    return list(zip(batch, seeds.tolist(), strict=True))


class Named(list):
    """A data set with a fingerprint."""

    fingerprint = "v1"


def test_a_state_holds_everything_that_determines_what_is_read() -> None:
    rows = list(range(30))
    order = EpochOrder(length=30, seed=1)

    def make_loader(source):
        return loader(Pipeline(order=order, sources=source, batch_size=4, seed=2))

    class ByEpoch(list):
        def __getitem__(self, index):
            return super().__getitem__(index.idx)

    with pytest.raises(ValueError, match=r"differs in index.0 \(was 'idx', is 'epoch'\)"):
        make_loader(Source(ByEpoch(rows), index="epoch")).load_state_dict(make_loader(rows).state_dict())

    named, other = Named(rows), Named(rows[::-1])
    other.fingerprint = "v2"
    with pytest.raises(ValueError, match=r"fingerprints.0 \(was 'v1', is 'v2'\).*say so with Source\(dataset"):
        make_loader(other).load_state_dict(make_loader(named).state_dict())
    same = Source(other, fingerprint="v1")
    make_loader(same).load_state_dict(make_loader(named).state_dict())
    make_loader(rows).load_state_dict(make_loader(named).state_dict())  # these rows have no fingerprint
    old = make_loader(rows).state_dict()
    old["pipeline"] = {name: value for name, value in old["pipeline"].items() if name not in {"index", "fingerprints"}}
    make_loader(named).load_state_dict(old)


@pytest.mark.filterwarnings("ignore:Specifying null_placement")
def test_a_hugging_face_data_set_has_its_own_fingerprint() -> None:
    one, other = (Dataset.from_dict({"x": rows}) for rows in ([1, 2, 3], [3, 2, 1]))
    pipelines = [
        Pipeline(order=EpochOrder(length=3, seed=1), sources=dataset, batch_size=2, seed=1) for dataset in (one, other)
    ]
    state = loader(pipelines[0]).state_dict()
    assert isinstance(state["pipeline"]["fingerprints"][0], str)
    loader(pipelines[0]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"differs in fingerprints.0"):
        loader(pipelines[1]).load_state_dict(state)
    sorted_again = Pipeline(order=EpochOrder(length=3, seed=1), sources=one.sort("x"), batch_size=2, seed=1)
    with pytest.raises(ValueError, match=r"differs in fingerprints.0"):
        loader(sorted_again).load_state_dict(state)


def test_a_fingerprint_is_a_string() -> None:
    with pytest.raises(TypeError, match="fingerprint must be a string or None, got fingerprint=3"):
        Source([1], fingerprint=3)
    assert Source(pd.Series(["a"], index=["fingerprint"])).fingerprint is None


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"order": EpochOrder(length=10, seed=1, num_samples=9)}, 1),  # steps of 4, 4 and 1
        ({"batch_size": 2}, 2),
        ({"order": EpochOrder(length=10, seed=1), "batch_size": 1}, 1),
    ],
)
@pytest.mark.parametrize("collate", [torch.stack, default_collate, pad_sequence])
def test_a_rank_without_samples_is_known_before_the_first_step_on_every_rank(
    fields: dict, size: int, collate: Callable
) -> None:
    pipeline = make(sources=torch.arange(20.0).reshape(10, 2), **fields | {"collate": collate})
    for rank in range(3):
        with pytest.raises(ValueError, match=rf"got a step of {size} samples? for 3 ranks \(batch_size=\d+.*drop_last"):
            loader(pipeline, rank, 3)
    assert loader(pipeline, 0, size)


def test_a_batch_that_a_state_leaves_short_is_checked_when_it_is_loaded() -> None:
    state = loader(make(None, sources=torch.arange(10)), start=7).state_dict()
    batches = loader(make(None, sources=torch.arange(10), collate=torch.stack), 0, 2)
    with (
        pytest.warns(UserWarning, match="continues with other functions"),
        pytest.raises(ValueError, match="a step of 1"),
    ):
        batches.load_state_dict(state)
    assert batches.consumed_samples == 0


def test_no_collate_is_called_for_nothing_where_each_rank_has_samples() -> None:
    calls: list[int] = []

    def collate(samples: list) -> list:
        calls.append(len(samples))
        return samples

    for world_size in (1, 2):
        list(loader(make(collate=collate), world_size - 1, world_size))
    list(loader(make(collate=collate, batch_size=3, drop_last=True), 0, 3))
    assert min(calls) == 1


def test_ranks_that_will_have_an_empty_batch_are_told_so() -> None:
    with pytest.warns(UserWarning, match="a step of 2 samples leaves ranks of 4 without any"):
        loader(make(), 0, 4)
    with pytest.warns(UserWarning, match="a step of 2 samples leaves ranks of 4 without any"):
        batch_sampler(make(), 0, 4)


def test_an_iterator_that_failed_does_not_say_that_the_data_ended() -> None:
    bad = {5}
    batches = loader(make(sources=Source(list(range(10)), transform=partial(fail_at, bad=bad))))
    iterator = iter(batches)
    delivered: list = []
    with pytest.raises(LookupError, match="no 5"):
        for batch in iterator:
            delivered += batch
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"this iteration ended with LookupError\('no 5'\)\. Begin a new one"):
            next(iterator)
    bad.clear()
    assert delivered + sum(batches, []) == sum(loader(make()), [])


def fail_at(sample: int, *, bad: set) -> int:
    if sample in bad:
        message = f"no {sample}"
        raise LookupError(message)
    return sample


MIXED = (EpochOrder(length=10, seed=1), EpochOrder(length=10, seed=2))


def mixture(
    num_samples: int | None = None, changes: tuple = (), first: int | None = None, strategy: str = "first_exhausted"
) -> MixtureOrder:
    orders = (attrs.evolve(MIXED[0], num_samples=first), MIXED[1])
    return MixtureOrder(
        orders=orders, weights=(1, 1), num_samples=num_samples, changes=changes, stopping_strategy=strategy
    )


def grouped(num_samples: int | None) -> LengthGroupedOrder:
    base = EpochOrder(length=10, seed=3, num_samples=num_samples)
    return LengthGroupedOrder(order=base, lengths=range(10), window_size=8, batch_size=4, seed=3)


@pytest.mark.parametrize(
    ("before", "after", "agreed"),
    [
        (EpochOrder(length=10, seed=1, num_samples=8), EpochOrder(length=10, seed=1, num_samples=16), 8),
        (EpochOrder(length=10, seed=1, num_samples=8), EpochOrder(length=10, seed=1), 8),
        (mixture(), mixture(changes=((12, (2, 1)),)), 12),
        (mixture(changes=((4, (2, 1)), (12, (1, 2)))), mixture(changes=((4, (2, 1)), (20, (1, 2)))), 12),
        (mixture(16), mixture(24), 16),
        (mixture(first=8), mixture(first=12), 17),
        (mixture(first=8), mixture(first=12, strategy="all_exhausted_without_replacement"), 16),
        (mixture(first=10, strategy="all_exhausted_without_replacement"), mixture(), 20),
        (mixture(first=10), mixture(first=10, strategy="all_exhausted"), 21),
        (mixture(changes=((8, (0, 1)),)), mixture(changes=((8, (0, 1)), (20, (1, 1)))), 20),
        (grouped(16), grouped(24), 10),
        (grouped(18), grouped(30), 18),
        (
            MixtureOrder(orders=(mixture(), grouped(16)), weights=(1, 1)),
            MixtureOrder(orders=(mixture(changes=((5, (2, 1)),)), grouped(24)), weights=(1, 1)),
            11,
        ),
    ],
)
def test_a_run_may_be_extended_up_to_where_the_orders_agree(before: Order, after: Order, agreed: int) -> None:
    sources = tuple(range(10) for _ in range(before.num_sources))
    old, new = (Pipeline(order=order, sources=sources, batch_size=1, seed=7) for order in (before, after))
    ends = [order.num_samples for order in (before, after) if order.num_samples is not None]
    limit = min([agreed + 5, *ends])
    divergence = first_divergence(before, after, limit=limit)
    assert divergence is None or divergence >= agreed
    for position in range(1, limit + 1):
        state, resumed = loader(old, start=position).state_dict(), loader(new)
        if position <= agreed:
            resumed.load_state_dict(state)
            assert resumed.consumed_samples == position
        else:
            with pytest.raises(ValueError, match=f"The orders agree below position {agreed}, and the state is at"):
                resumed.load_state_dict(state)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EpochOrder(length=10, seed=1, num_samples=16), EpochOrder(length=10, seed=1, num_samples=8)),
        (EpochOrder(length=10, seed=1), EpochOrder(length=10, seed=1, num_samples=8)),
        (mixture(first=12), mixture(first=8)),
        (grouped(24), grouped(16)),
        (
            EpochOrder(length=10, seed=1, num_samples=16),
            SkipOrder(order=EpochOrder(length=10, seed=1, num_samples=12), positions=[9]),
        ),
    ],
)
def test_a_run_may_not_be_shortened(before: Order, after: Order) -> None:
    sources = tuple(range(10) for _ in range(before.num_sources))
    old, new = (Pipeline(order=order, sources=sources, batch_size=1, seed=7) for order in (before, after))
    with pytest.raises(ValueError, match=r"num_samples \(was .*num_samples must not shrink at position 4"):
        loader(new).load_state_dict(loader(old, start=4).state_dict())


def test_other_weights_are_refused_with_the_way_to_change_them() -> None:
    old, new = (
        Pipeline(order=attrs.evolve(mixture(), weights=weights), sources=(range(10),) * 2, batch_size=1, seed=7)
        for weights in ((1, 1), (2, 1))
    )
    message = r"differs in order.weights.0 \(was 1, is 2\).* gets other weights by changes=, e.g. \[\(4, \(1, 1\)\)\]"
    with pytest.raises(ValueError, match=message):
        loader(new).load_state_dict(loader(old, start=4).state_dict())


def test_reprs_are_one_short_line_whatever_the_size_of_the_data() -> None:
    tokens, rows = [f"<{number}>" for number in range(100_000)], list(range(10**6))
    pipeline = Pipeline(
        order=EpochOrder(length=10**6, seed=1),
        sources=Source(rows, transform=partial(tagged, tag=tokens), fingerprint="a" * 10**6),
        batch_size=4,
        seed=2,
    )
    for shown in (repr(pipeline), repr(loader(pipeline)), repr(pipeline.sources[0])):
        assert len(shown) < 500
        assert "\n" not in shown
        assert "list of 1000000" in shown
    orders = tuple(EpochOrder(length=5, seed=seed) for seed in range(1000))
    many = MixtureOrder(orders=orders, weights=(1,) * 1000)
    assert len(repr(Pipeline(order=many, sources=tuple([range(5)] * 1000), batch_size=4, seed=2))) < 500
    assert repr(Source("abc")) == "Source(str of 3)"
    assert repr(loader(make(), 1, 2)).endswith("rank=1, world_size=2, consumed_samples=0)")
