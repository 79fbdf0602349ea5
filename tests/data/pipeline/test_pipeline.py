"""Pipelines: the batch at a step."""

import pickle
from functools import partial

import attrs
import pytest
import torch

from bionemo.core.random import fold_in, make_generator
from bionemo.data import (
    EpochOrder,
    Pipeline,
    SampleIndex,
    Source,
    batch_at,
    batch_from,
    index_at,
    num_batches,
    pipeline_spec,
    record_differences,
)


@attrs.frozen
class InTurn:
    """An order that draws from two data sets in turn."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position, /):
        return SampleIndex(position % 2, position * 0, position // 2)


def as_list(samples: list) -> list:
    return list(samples)


def with_number(sample, *, generator: torch.Generator):
    return sample, int(torch.randint(10**9, (), generator=generator))


def with_seeds(batch: list, *, seeds: torch.Tensor) -> list:
    return list(zip(batch, seeds.tolist(), strict=True))


def make(length: int = 10, **fields) -> Pipeline:
    fields = {"order": EpochOrder(length=length, seed=42, num_samples=length), "sources": list(range(length)), **fields}
    return Pipeline(**{"batch_size": 4, "seed": 7, "collate": as_list, **fields})


def test_batches_follow_the_order() -> None:
    pipeline = make()
    expected = [index_at(pipeline.order, position).idx for position in range(10)]
    assert [batch_at(pipeline, step) for step in range(3)] == [expected[:4], expected[4:8], expected[8:]]


def test_an_order_without_end_has_the_steps_whose_positions_fit_int64() -> None:
    endless, last = make(order=EpochOrder(length=10, seed=42)), (2**63 - 1) // 4 - 1
    assert len(batch_at(endless, last)) == 4
    with pytest.raises(IndexError, match=rf"step must be in 0\.\.{last}, got step={last + 1}\."):
        batch_at(endless, last + 1)


@pytest.mark.parametrize(("drop_last", "batches"), [(False, 3), (True, 2)])
def test_a_short_last_batch_is_delivered_or_dropped(drop_last: bool, batches: int) -> None:
    pipeline = make(drop_last=drop_last)
    assert num_batches(pipeline) == batches
    with pytest.raises(IndexError, match=rf"step must be in 0\.\.{batches - 1}, got step={batches}"):
        batch_at(pipeline, batches)
    with pytest.raises(IndexError, match="got step=-1"):
        batch_at(pipeline, -1)


def test_an_endless_order_has_a_batch_at_any_step() -> None:
    pipeline = make(order=EpochOrder(length=10, seed=42))
    assert num_batches(pipeline) is None
    far = 10**15
    assert batch_at(pipeline, far) == [index_at(pipeline.order, 4 * far + offset).idx for offset in range(4)]


def test_a_batch_that_starts_between_two_steps_ends_at_the_next_one() -> None:
    pipeline = make()
    assert batch_from(pipeline, 5) == batch_at(pipeline, 1)[1:]
    assert batch_from(pipeline, 8) == batch_at(pipeline, 2)


@pytest.mark.parametrize(("start", "drop_last"), [(10, False), (11, False), (8, True), (9, True), (-1, False)])
def test_a_position_at_which_no_batch_starts_is_refused(start: int, drop_last: bool) -> None:
    with pytest.raises(IndexError, match=f"got start={start} with num_samples=10"):
        batch_from(make(drop_last=drop_last), start)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 5, 11])
def test_ranks_read_contiguous_parts_of_each_batch(world_size: int) -> None:
    pipeline = make()
    for step in range(3):
        parts = [batch_at(pipeline, step, rank, world_size) for rank in range(world_size)]
        assert [sample for part in parts for sample in part] == batch_at(pipeline, step)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("rank", "world_size"), [(1, 1), (-1, 2), (2, 2), (0, 0)])
def test_a_rank_outside_of_the_world_is_named(rank: int, world_size: int) -> None:
    with pytest.raises(ValueError, match=f"got (rank={rank}|world_size={world_size})"):
        batch_at(make(), 0, rank, world_size)


def test_a_sample_has_the_generator_of_its_position_in_any_batch_and_rank() -> None:
    pipeline = make(sources=Source(list(range(10)), transform=with_number))
    samples = [sample for step in range(3) for sample in batch_at(pipeline, step)]
    expected = [
        int(torch.randint(10**9, (), generator=make_generator(7, "sample", position))) for position in range(10)
    ]
    assert [number for _, number in samples] == expected
    other = attrs.evolve(pipeline, batch_size=3)
    assert [sample for step in range(4) for rank in range(2) for sample in batch_at(other, step, rank, 2)] == samples


def test_a_row_has_the_seed_of_its_position_in_any_batch_and_rank() -> None:
    pipeline = make(batch_transform=with_seeds)
    rows = [row for step in range(3) for row in batch_at(pipeline, step)]
    assert [seed for _, seed in rows] == [fold_in(7, "row", position) for position in range(10)]
    other = attrs.evolve(pipeline, batch_size=3)
    assert [row for step in range(4) for rank in range(5) for row in batch_at(other, step, rank, 5)] == rows


def test_each_source_has_its_own_transform() -> None:
    pipeline = make(order=InTurn(), sources=("abcde", Source("vwxyz", transform=with_number)))
    first = batch_at(pipeline, 0)
    assert first[::2] == ["a", "b"]
    assert [sample[0] for sample in first[1::2]] == ["v", "w"]


@pytest.mark.parametrize("length", [1, 2])
def test_a_tiny_data_set_leaves_ranks_without_samples(length: int) -> None:
    pipeline = make(length)
    assert sorted(batch_at(pipeline, 0)) == list(range(length))
    assert [batch_at(pipeline, 0, rank, 3) for rank in range(3)].count([]) == 3 - length


def test_an_error_in_a_data_set_names_the_sample_and_keeps_its_type() -> None:
    class Broken(list):
        def __getitem__(self, idx: int):
            raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire") as caught:
        batch_at(make(sources=Broken(range(10))), 1)
    assert caught.value.__notes__ == [f"while reading position 4: {index_at(make().order, 4)}"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sources": list(range(9))}, r"of lengths \(9,\) for \(10,\). Make the order with length=len\(dataset\)"),
        ({"sources": (list(range(10)), [])}, "one per source of the order, got 2 for 1"),
        ({"sources": ()}, "got 0 for 1"),
        ({"batch_size": 0}, "batch_size must be in 1.*got batch_size=0"),
        ({"seed": -1}, "got seed=-1"),
        ({"drop_last": "pad"}, "drop_last must be True or False, got drop_last='pad'"),
        ({"order": None}, "order must have num_samples, num_sources and index_at, got None"),
        ({"order": EpochOrder}, "order must have num_samples, num_sources and index_at"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_fields_are_named(fields: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(**fields)


def test_a_pipeline_pickles_and_is_frozen() -> None:
    pipeline = make(sources=Source(list(range(10)), transform=with_number))
    assert batch_at(pickle.loads(pickle.dumps(pipeline)), 1) == batch_at(pipeline, 1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        pipeline.seed = 3


def test_the_record_says_what_is_read() -> None:
    pipeline = make(sources=Source(list(range(10)), transform=partial(with_number, extra=1)))
    record = pipeline_spec(pipeline)
    assert record["order"] == {"type": "EpochOrder", "length": 10, "seed": 42, "num_samples": 10, "shuffle": True}
    assert record["lengths"] == [10]
    assert record["transforms"][0].endswith("test_pipeline.with_number(extra=1)")
    assert record["batch_transform"] is None
    other = attrs.evolve(pipeline, seed=8, order=EpochOrder(length=10, seed=43, num_samples=10))
    assert record_differences(record, pipeline_spec(other)) == {"order.seed": (42, 43), "seed": (7, 8)}


def test_pipelines_are_equal_if_their_fields_are_and_the_data_set_is_the_same_object() -> None:
    rows = [torch.arange(3), torch.arange(4)]
    order = EpochOrder(length=2, seed=1)
    one, same, other = (make(order=order, sources=data) for data in (rows, rows, list(rows)))
    assert one == same != other
    assert hash(one) == hash(same)


def test_a_list_of_sources_is_taken_as_a_tuple() -> None:
    sources = [Source("abcde"), Source("vwxyz")]
    assert make(order=InTurn(), sources=sources).sources == tuple(sources)
