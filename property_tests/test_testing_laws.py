"""No false alarms: the laws for everybody's loaders hold for ours, whatever the pipeline, topology and history."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionemo.core.padding import pad_token_ids
from bionemo.data import (
    EpochOrder,
    LoggedBatch,
    Order,
    Pipeline,
    batch_at,
    collate_packed,
    describe_batch,
    index_at,
    num_batches,
    verify_run,
)
from bionemo.data.permute import permute, unpermute
from bionemo.data.pipes import loader
from bionemo.data.testing import (
    assert_batch_invariant,
    assert_bijection,
    assert_collate_accepts_empty,
    assert_epochs_differ,
    assert_exact_coverage,
    assert_megatron_compatible,
    assert_order,
    assert_pure,
    assert_ranks_draw_differently,
    assert_resumes_exactly,
    assert_resumes_on_other_ranks,
    assert_worker_safe,
    check_pure_reads,
    strategies,
)
from bionemo.data.testing.strategies import Job
from bionemo.data.testing.strategies.runs import MAX_RANKS

pytestmark = [
    pytest.mark.filterwarnings("ignore:a step of .* leaves ranks"),
    pytest.mark.usefixtures("no_type_checks"),  # they take most of the time
]

few = settings(max_examples=max(8, settings().max_examples // 5) if settings().max_examples < 100 else 1000)
"""A thousand examples in `make laws`."""


def ids_of(batch: list) -> list[int]:
    return [sample.id for sample in batch]


def ids_of_order(pipeline: Pipeline) -> list[int]:
    index = index_at(pipeline.order, range(len(pipeline.order)))
    return (100 * index.source + index.idx).tolist()


@few
@given(pipeline=strategies.pipelines(), world_size=st.integers(1, MAX_RANKS))
def test_ranks_cover_an_order_exactly(pipeline: Pipeline, world_size: int) -> None:
    dropped = (pipeline.batch_size or 1) - 1 if pipeline.drop_last else 0
    expected = ids_of_order(pipeline)
    assert_exact_coverage(partial(loader, pipeline), ids_of, expected, world_size, max_dropped=dropped)


@few
@given(pipeline=strategies.pipelines())
def test_a_loader_resumes_exactly(pipeline: Pipeline) -> None:
    assume(num_batches(pipeline))
    assert_resumes_exactly(partial(loader, pipeline), ids_of, num_epochs=1)


@few
@given(length=st.integers(2, 60), seed=strategies.seeds(), batch_size=st.integers(1, 9), pause=st.integers(1, 9))
def test_a_loader_resumes_exactly_in_later_passes(length: int, seed: int, batch_size: int, pause: int) -> None:
    pipeline = Pipeline(
        order=EpochOrder(length=length, seed=seed), sources=range(length), batch_size=batch_size, seed=0
    )
    assert_resumes_exactly(partial(loader, pipeline, batches_per_epoch=pause), list, num_epochs=3)
    if batch_size * pause >= 10 and length >= 10:
        assert_epochs_differ(partial(loader, pipeline, batches_per_epoch=pause), list)


@few
@given(pipeline=strategies.pipelines(), world_sizes=st.lists(st.integers(1, MAX_RANKS), min_size=2, max_size=4))
def test_a_loader_resumes_on_other_ranks(pipeline: Pipeline, world_sizes: list[int]) -> None:
    assert_resumes_on_other_ranks(partial(loader, pipeline), ids_of, world_sizes=world_sizes)


@few
@given(pipeline=strategies.pipelines(), world_size=st.integers(1, MAX_RANKS))
def test_no_two_batches_draw_alike(pipeline: Pipeline, world_size: int) -> None:
    assume(num_batches(pipeline) > 1)
    draws = partial(map, lambda sample: (sample.draw, sample.seed))
    assert_ranks_draw_differently(
        partial(loader, pipeline), lambda batch: [*draws(batch)], world_size, num_epochs=1, num_batches=3
    )


@few
@given(order=strategies.orders())
def test_orders_obey_the_laws(order: Order) -> None:
    assert_order(order, num_positions=10)


@few
@given(length=st.integers(10, 300), seed=strategies.seeds())
def test_epochs_are_shuffles(length: int, seed: int) -> None:
    assert_order(EpochOrder(length=length, seed=seed), shuffles_epochs=True, num_positions=3)


@few
@given(length=st.integers(0, 500), seed=strategies.seeds())
def test_permutations_are_bijections(length: int, seed: int) -> None:
    options = {"length": length, "seed": seed}
    assert_bijection(partial(permute, **options), length, inverse=partial(unpermute, **options))


@few
@given(rows=strategies.token_rows(), padding_len=st.none() | st.integers(20, 30))
def test_padding_is_pure_and_accepts_an_empty_list(rows: list[Tensor], padding_len: int | None) -> None:
    assert_pure(pad_token_ids, rows, padding_len=padding_len)
    assert_collate_accepts_empty(pad_token_ids, [row.long() for row in rows])


def loss_of(batch: Any) -> Tensor:
    ids, weights = (batch[0], batch[1]) if isinstance(batch, tuple) and len(batch) == 2 else (batch["ids"], 1)
    return ((ids % 7 + 0.5) * weights).sum()


@few
@given(rows=strategies.token_rows(min_length=1).filter(lambda rows: len(rows) > 1))
def test_a_sum_over_tokens_does_not_depend_on_the_batch(rows: list[Tensor]) -> None:
    assert_batch_invariant(loss_of, rows, pad_token_ids, partial(pad_token_ids, padding_len=25), collate_packed)


@few
@given(pipeline=strategies.pipelines())
def test_batches_are_pure_reads(pipeline: Pipeline) -> None:
    assume(num_batches(pipeline))
    check_pure_reads(partial(batch_at, pipeline), range(min(num_batches(pipeline), 4)))


@few
@given(dataset=strategies.datasets())
def test_data_sets_are_read_alike_in_workers(dataset: Any) -> None:
    assert_worker_safe(dataset, num_workers=[1])


@few
@given(length=st.integers(1, 40), tokens=st.integers(1, 9))
def test_mappings_of_tensors_fit_megatron(length: int, tokens: int) -> None:
    assert_megatron_compatible([{"tokens": torch.arange(tokens) + idx} for idx in range(length)])


@few
@given(pipeline=strategies.pipelines(), history=strategies.histories(), data=st.data())
def test_the_log_of_any_history_is_verified(pipeline: Pipeline, history: list[Job], data: st.DataObject) -> None:
    assume(num_batches(pipeline))
    log: list[LoggedBatch] = []
    step = 0
    for job in [*history, Job(1, 1, num_batches(pipeline), 0)]:
        stop = min(step + job.num_steps, num_batches(pipeline))
        for number in range(step, stop):
            for rank in range(job.world_size):
                rows = describe_batch(pipeline, number, rank, job.world_size)
                ids = [[row.source, row.epoch, row.idx] for row in rows]
                log.append(LoggedBatch(number, rank, ids, job.world_size))
        step = data.draw(st.integers(step, stop))  # resumed from a checkpoint before the end
    found = verify_run(log, pipeline)
    assert (found.first_step, found.num_steps) == (0, 1 + max(batch.step for batch in log))
    latest, sizes = {batch[:2]: batch for batch in log}, {batch.step: batch.world_size for batch in log}
    counted = [
        batch
        for batch in latest.values()
        if batch.ids and batch.rank < sizes[batch.step] and batch.step < found.num_steps - 1
    ]
    if counted:
        lost = data.draw(st.sampled_from(counted))
        with pytest.raises(AssertionError, match=rf"rank {lost.rank} must .* of step {lost.step}, "):
            verify_run([batch._replace(ids=batch.ids[1:]) if batch is lost else batch for batch in log], pipeline)
