"""Batch samplers for torch's DataLoader and torchdata's StatefulDataLoader."""

import json
from itertools import islice

import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from bionemo.data import EpochIndex, EpochOrder, MixtureOrder, Pipeline, SampleIndex, Source, batch_at, index_at
from bionemo.data.pipes import batch_sampler, loader

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core


def make(num_samples: int | None = 70, **fields) -> Pipeline:
    order = EpochOrder(length=30, seed=42, num_samples=num_samples)
    return Pipeline(**{"order": order, "sources": range(30), "batch_size": 8, "seed": 7} | fields)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_data_loader_reads_the_batches_of_the_pipeline(num_workers: int) -> None:
    for rank in range(2):
        sampler = batch_sampler(make(), rank, 2)
        batches = DataLoader(
            range(30),
            batch_sampler=sampler,
            collate_fn=list,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,
        )
        assert len(batches) == 9
        assert list(batches) == [batch_at(make(), step, rank, 2) for step in range(9)]


def test_the_keys_are_what_the_data_set_is_indexed_by() -> None:
    by_index = next(iter(batch_sampler(make())))
    assert by_index == [index_at(make().order, position).idx for position in range(8)]
    assert {type(key) for key in by_index} == {int}
    by_epoch = next(iter(batch_sampler(make(sources=Source(range(30), index="epoch")))))
    assert by_epoch == [EpochIndex(*index_at(make().order, position)[1:]) for position in range(8)]
    mixture = MixtureOrder(orders=(make().order, EpochOrder(length=9, seed=1)), weights=(1, 1))
    several = next(iter(batch_sampler(make(order=mixture, sources=(range(30), range(9))))))
    assert several == [index_at(mixture, position) for position in range(8)]
    assert all(isinstance(index, SampleIndex) for index in several)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("steps", range(1, 10))
def test_a_plain_data_loader_resumes_from_the_state_after_the_delivered_batches(steps: int, num_workers: int) -> None:
    whole = [batch_at(make(), step) for step in range(9)]
    context = "fork" if num_workers else None
    first = batch_sampler(make())
    batches = DataLoader(
        range(30), batch_sampler=first, collate_fn=list, num_workers=num_workers, multiprocessing_context=context
    )
    delivered = list(islice(batches, steps))
    state = json.loads(json.dumps(first.state_after(steps)))
    assert state["consumed_samples"] == min(8 * steps, 70)
    if num_workers == 0:
        assert state == first.state_dict()
    second = batch_sampler(make())
    second.load_state_dict(state)
    assert delivered + list(DataLoader(range(30), batch_sampler=second, collate_fn=list)) == whole
    third = loader(make())  # a loader resumes from the state of a sampler
    third.load_state_dict(state)
    assert delivered + list(third) == whole


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata 0.11 under torch 2.13
@pytest.mark.parametrize(
    ("steps", "num_workers"),
    # Not (4, 2): with workers, its own state, taken at the end of an epoch, loses the next epoch (torchdata 0.11).
    [(1, 0), (3, 0), (4, 0), (5, 0), (8, 0), (1, 2), (3, 2), (5, 2), (11, 2)],
)
def test_a_stateful_data_loader_saves_and_restores_the_position(steps: int, num_workers: int) -> None:
    whole = [batch_at(make(None), step) for step in range(12)]

    def begin() -> StatefulDataLoader:
        return StatefulDataLoader(
            range(30),
            batch_sampler=batch_sampler(make(None), batches_per_epoch=4),
            collate_fn=list,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,
        )

    first, delivered = begin(), []
    for _ in range(steps // 4):
        delivered += list(first)
    if steps % 4:
        delivered += list(islice(iter(first), steps % 4))
    second = begin()
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        delivered += list(second)
    assert delivered[:12] == whole


def test_a_state_after_more_batches_than_were_delivered_is_refused() -> None:
    sampler = batch_sampler(make(), start=4)
    batches = iter(sampler)
    [next(batches) for _ in range(3)]
    assert [sampler.state_after(steps)["consumed_samples"] for steps in range(4)] == [4, 8, 16, 24]
    with pytest.raises(
        ValueError, match="num_batches must be the number of batches delivered, or less, got num_batches=4"
    ):
        sampler.state_after(4)
    ended = batch_sampler(make())
    assert len(list(ended)) == 9
    assert ended.state_after(9)["consumed_samples"] == 70
    with pytest.raises(ValueError, match="got num_batches=10"):
        ended.state_after(10)


def test_state_after_counts_from_the_start_of_the_current_iteration() -> None:
    sampler = batch_sampler(make(None), batches_per_epoch=2)
    sampler.load_state_dict(loader(make(None), start=40).state_dict())
    assert sampler.state_after(0) == sampler.state_dict()
    list(sampler)
    iter(sampler)
    assert sampler.state_after(0)["consumed_samples"] == 48
    iterator = iter(sampler)
    next(iterator)
    assert sampler.state_after(1)["consumed_samples"] == 56
    sampler.load_state_dict(loader(make(None), start=8).state_dict())
    with pytest.raises(ValueError, match="got num_batches=1"):
        sampler.state_after(1)
    ended = batch_sampler(make(), start=70)
    assert list(ended) == []
    with pytest.raises(ValueError, match="got num_batches=1"):
        ended.state_after(1)


def test_a_restarting_sampler_starts_over() -> None:
    sampler = batch_sampler(make(), restart=True)
    first = list(sampler)
    assert list(sampler) == first


def test_a_sampler_is_rewound_after_its_data_loader_was_left_early() -> None:
    sampler = batch_sampler(make(None), batches_per_epoch=6)
    batches = DataLoader(
        range(30), batch_sampler=sampler, collate_fn=list, num_workers=2, multiprocessing_context="fork"
    )
    delivered = list(islice(batches, 2))
    sampler.load_state_dict(sampler.state_after(2))
    assert delivered + list(batches) == [batch_at(make(None), step) for step in range(6)]
