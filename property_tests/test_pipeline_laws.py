"""Laws of pipelines and loaders: after any history of stops and resumes, no sample is lost and none is read twice."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bionemo.data import (
    Pipeline,
    SampleIndex,
    batch_at,
    batch_from,
    describe_batch,
    find_sample,
    index_at,
    num_batches,
    sample_at,
    step_of,
)
from bionemo.data.pipeline.steps import step_start
from bionemo.data.pipes import batch_sampler, loader
from bionemo.data.testing import strategies
from bionemo.data.testing.strategies import Job, Topology
from bionemo.data.testing.strategies.runs import MAX_RANKS

pytestmark = [
    pytest.mark.filterwarnings("ignore:a step of .* leaves ranks"),
    pytest.mark.usefixtures("no_type_checks"),  # they take most of the time
]


WORLDS = st.integers(1, MAX_RANKS)


def union(pipeline: Pipeline, step: int, world_size: int) -> list:
    return [row for rank in range(world_size) for row in batch_at(pipeline, step, rank, world_size)]


@settings(max_examples=settings().max_examples // 3)  # each reads all batches on up to 14 ranks
@given(pipeline=strategies.pipelines(), worlds=st.tuples(WORLDS, WORLDS))
def test_a_step_holds_the_same_samples_for_every_world_size(pipeline: Pipeline, worlds: tuple[int, int]) -> None:
    for step in range(num_batches(pipeline)):
        assert union(pipeline, step, worlds[0]) == union(pipeline, step, worlds[1])
        sizes = [len(batch_at(pipeline, step, rank, worlds[0])) for rank in range(worlds[0])]
        assert pipeline.batch_size is None or max(sizes) - min(sizes) <= 1


READING = [
    {},
    {"num_threads": 2},
    {"device": "cpu"},
    {"num_threads": 1, "device": "cpu", "transform_on": "device"},
    {"read_ahead": 2},
    {"read_ahead": 3, "num_threads": 2},
    {"read_ahead": 7, "num_threads": 1},
]
"""Ways to read the same batches."""


@given(
    pipeline=strategies.pipelines(),
    topology=strategies.topologies(),
    reading=st.sampled_from(READING),
    pause=st.none() | st.integers(1, 5),
)
def test_a_loader_yields_the_batches_of_batch_at(
    pipeline: Pipeline, topology: Topology, reading: dict, pause: int | None
) -> None:
    rank, world_size = topology
    expected = [batch_at(pipeline, step, rank, world_size) for step in range(num_batches(pipeline))]
    batches = loader(pipeline, rank, world_size, batches_per_epoch=pause, **reading)
    found: list = []
    while not batches.is_exhausted:
        assert step_of(pipeline, batches.consumed_samples) == len(found)
        found += batches
    assert step_of(pipeline, batches.consumed_samples) == len(found)
    assert found == expected
    assert pause is not None or batches.stats().num_steps == len(expected)


@settings(max_examples=settings().max_examples // 3)  # each reads a batch from every position
@given(pipeline=strategies.pipelines())
def test_a_batch_from_any_position_ends_where_its_step_does(pipeline: Pipeline) -> None:
    starts = [step_start(pipeline, step) for step in range(num_batches(pipeline))]
    if pipeline.batch_size is not None:
        assert starts == list(range(0, num_batches(pipeline) * pipeline.batch_size, pipeline.batch_size))
    for step, start in enumerate(starts):
        whole = batch_at(pipeline, step)
        for offset in range(len(whole)):
            assert batch_from(pipeline, start + offset) == whole[offset:]
            assert step_of(pipeline, start + offset) == step


def check_history(pipeline: Pipeline, history: list[Job]) -> None:
    """Run a series of jobs, each of which loads the state of the previous one, runs some steps and is discarded.

    Together they deliver a prefix of the order: every sample once per epoch, none lost, none read twice. The last job
    runs to the end, so only the samples that `drop_last` drops are missing.
    """
    one = pipeline if pipeline.batch_size is None else attrs.evolve(pipeline, batch_size=1, drop_last=False)
    whole = [row for batch in loader(one) for row in batch]
    indices = [index_at(pipeline.order, position) for position in range(len(whole))]
    assert [row.id for row in whole] == [index.idx + 100 * index.source for index in indices]
    assert len(set(indices)) == len(indices)
    delivered: list = []
    state = loader(pipeline).state_dict()
    for world_size, batch_size, steps, num_workers in [*history, Job(2, pipeline.batch_size, 10**6, 0)]:
        options = {"num_workers": num_workers, "multiprocessing_context": "fork"} if num_workers else {}
        changed = pipeline if pipeline.batch_size is None else attrs.evolve(pipeline, batch_size=batch_size)
        ranks = [loader(changed, rank, world_size, **options) for rank in range(world_size)]
        for rank in ranks:
            rank.load_state_dict(state)
        for _, parts in zip(range(steps), zip(*ranks, strict=True), strict=False):
            delivered += [row for part in parts for row in part]
            states = [rank.state_dict()["consumed_samples"] for rank in ranks]
            assert states == [len(delivered)] * world_size
        state = ranks[0].state_dict()
        for rank in ranks:
            rank.close()
    assert delivered == whole[: len(delivered)]
    missing = len(whole) - len(delivered)
    assert missing < (pipeline.batch_size or 1) if pipeline.drop_last else missing == 0


@settings(max_examples=settings().max_examples // (2 if settings().max_examples < 100 else 1))  # slow; all in histories
@given(pipeline=strategies.pipelines(), history=strategies.histories())
def test_any_history_of_worlds_and_batch_sizes_delivers_the_order(pipeline: Pipeline, history: list[Job]) -> None:
    check_history(pipeline, history)


@given(pipeline=strategies.pipelines(), world_size=WORLDS)
def test_find_sample_inverts_describe_batch_which_lists_the_samples_of_a_batch(
    pipeline: Pipeline, world_size: int
) -> None:
    for step in range(num_batches(pipeline)):
        for rank in range(world_size):
            rows = describe_batch(pipeline, step, rank, world_size)
            batch = batch_at(pipeline, step, rank, world_size)
            assert [row.idx + 100 * row.source for row in rows] == [row.id for row in batch]
            assert [sample_at(pipeline, row.position) for row in rows] == [row._replace(seed=0) for row in batch]
            for slot, row in enumerate(rows):
                assert find_sample(pipeline, SampleIndex(*row[1:]), world_size=world_size) == (
                    row.position,
                    step,
                    rank,
                    slot,
                )


@given(pipeline=strategies.pipelines(), data=st.data())
def test_state_after_equals_the_state_of_a_loader_that_stopped_there(pipeline: Pipeline, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, pipeline.order.num_samples))
    sampler, stopped = batch_sampler(pipeline, start=start), loader(pipeline, start=start)
    batches = iter(stopped)
    states = [stopped.state_dict(), *(stopped.state_dict() for _ in batches)]
    assert len(list(sampler)) == len(states) - 1
    assert [sampler.state_after(number) for number in range(len(states))] == states
    with pytest.raises(ValueError, match=f"got num_batches={len(states)}"):
        sampler.state_after(len(states))


@given(pipeline=strategies.pipelines(), data=st.data())
def test_last_positions_are_the_positions_of_the_last_batch(pipeline: Pipeline, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, pipeline.order.num_samples))
    batches = loader(pipeline, start=start)
    assert len(batches.last_positions) == 0
    found = []
    for batch in batches:
        assert [sample_at(pipeline, position) for position in batches.last_positions] == [
            row._replace(seed=0) for row in batch
        ]
        found += batches.last_positions
    assert found == list(range(start, batches.consumed_samples))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch warns on machines with one core
@settings(max_examples=max(1, settings().max_examples // 4))
@given(pipeline=strategies.pipelines(), history=strategies.histories(max_ranks=2, max_workers=2, max_jobs=3))
def test_any_history_with_worker_processes_delivers_the_order(pipeline: Pipeline, history: list[Job]) -> None:
    check_history(pipeline, history)
