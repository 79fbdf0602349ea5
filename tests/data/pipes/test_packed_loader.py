"""Tests of loaders of packed pipelines: workers, ranks, resume, replay, and errors where the data isn't as planned."""

import pickle

import attrs
import numpy as np
import pytest
import torch

from bionemo.data import (
    EpochOrder,
    PackedOrder,
    Pipeline,
    SampleIndex,
    Source,
    TokenBudgetOrder,
    batch_at,
    collate_packed,
    describe_batch,
    find_sample,
    mask_packed_tokens,
    num_batches,
    random_crop,
    unpack,
)
from bionemo.data.pipes import batch_sampler, loader

GENERATOR = np.random.default_rng(0)
ROWS = [GENERATOR.integers(4, 24, length) for length in GENERATOR.integers(1, 100, 300)]
LENGTHS = [len(row) for row in ROWS]
ORDER = PackedOrder(
    order=EpochOrder(length=300, seed=7, num_samples=700),
    lengths=LENGTHS,
    max_tokens=256,
    bins_per_step=4,
    window_size=100,
    seed=3,
)


def hide(batch: dict, *, seeds: torch.Tensor) -> dict:
    return mask_packed_tokens(batch, seeds=seeds, mask_id=1, replacement_ids=range(4, 24))


PIPELINE = Pipeline(order=ORDER, sources=ROWS, seed=5, collate=collate_packed, batch_transform=hide)


def samples_of(batch: dict) -> list[list]:
    """Return the tokens and labels of each sample."""
    return [[ids.tolist(), labels.tolist()] for ids, labels in zip(unpack(batch), unpack(batch, "labels"), strict=True)]


def test_ranks_share_a_step_by_bins() -> None:
    for step in range(num_batches(PIPELINE)):
        whole = samples_of(batch_at(PIPELINE, step))
        for world_size in (1, 2, 3, 4):
            parts = [batch_at(PIPELINE, step, rank, world_size) for rank in range(world_size)]
            assert [sample for part in parts for sample in samples_of(part)] == whole
            bins = -(-4 // world_size)
            assert all(len(part["ids"]) <= 256 * bins for part in parts)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_resumes_at_any_step_on_any_number_of_ranks(num_workers: int) -> None:
    whole = [samples_of(batch_at(PIPELINE, step)) for step in range(num_batches(PIPELINE))]
    for stop in (1, 5, len(whole) - 1):
        first = loader(PIPELINE)
        delivered = [samples_of(batch) for _, batch in zip(range(stop), first, strict=False)]
        ranks = [loader(PIPELINE, rank, 2, num_workers=num_workers) for rank in range(2)]
        for rank in ranks:
            rank.load_state_dict(first.state_dict())
        delivered += [samples_of(one) + samples_of(two) for one, two in zip(*ranks, strict=True)]
        assert delivered == whole
        for rank in ranks:
            rank.close()


def test_iteration_pauses_after_a_number_of_steps_counted_from_the_start_of_the_order() -> None:
    total = num_batches(PIPELINE)
    batches = loader(PIPELINE, batches_per_epoch=4)
    resumed = loader(PIPELINE, batches_per_epoch=4)
    assert [len(list(batches)) for _ in range(2)] == [4, 4]
    next(iter(batches))
    resumed.load_state_dict(batches.state_dict())
    assert len(list(resumed)) == 3
    assert sum(len(list(resumed)) for _ in range(-(-(total - 12) // 4))) == total - 12
    assert len(loader(PIPELINE)) == total


def test_a_sample_is_found_where_it_is_read() -> None:
    for step in range(num_batches(PIPELINE)):
        for rank in range(3):
            for slot, row in enumerate(describe_batch(PIPELINE, step, rank, 3)):
                found = find_sample(PIPELINE, SampleIndex(*row[1:]), world_size=3)
                assert found == (row.position, step, rank, slot)


def test_a_batch_sampler_gives_the_keys_of_each_step() -> None:
    sampler = batch_sampler(PIPELINE)
    keys = list(sampler)
    assert [[LENGTHS[key] for key in part] for part in keys] == [
        batch_at(PIPELINE, step)["cu_seqlens"].diff().tolist() for step in range(num_batches(PIPELINE))
    ]
    assert sampler.state_after(3)["consumed_samples"] == sum(map(len, keys[:3]))


def test_a_token_budget_is_kept_by_the_padded_batch_of_a_rank() -> None:
    fields = {name: getattr(ORDER, name) for name in ("order", "lengths", "bins_per_step", "window_size", "seed")}
    order = TokenBudgetOrder(**fields, max_tokens=512)
    pipeline = Pipeline(order=order, sources=ROWS, seed=5, collate=sizes)
    for step in range(num_batches(pipeline)):
        for rank in range(4):
            number, longest = batch_at(pipeline, step, rank, 4)
            assert number * longest <= 512


def sizes(rows: list) -> tuple[int, int]:
    return len(rows), max(map(len, rows), default=0)


def test_a_collator_may_take_the_planned_bins() -> None:
    pipeline = attrs.evolve(PIPELINE, collate=planned, batch_transform=None)
    for step in range(num_batches(pipeline)):
        rows, bins = batch_at(pipeline, step)
        assert [tokens for part in bins for tokens in part] == list(map(len, rows))
        assert all(sum(part) <= 256 for part in bins)
        assert len(bins) <= 4


def planned(rows: list, *, bins: list) -> tuple[list, list]:
    return rows, bins


def test_rows_of_other_lengths_than_planned_are_named() -> None:
    pipeline = attrs.evolve(PIPELINE, sources=[*ROWS[:-1], ROWS[-1][:-1]])
    with pytest.raises(
        ValueError, match=r"got \d+ tokens in sample \d+ of the batch, for which \d+ are planned"
    ) as caught:
        list(loader(pipeline))
    assert any("idx=299" in line for line in caught.value.__notes__)


def test_truncated_lengths_need_a_crop_that_agrees() -> None:
    order = attrs.evolve(ORDER, max_tokens=64, truncate=True)
    cropped = Source(ROWS, transform=lambda row, *, generator: random_crop(row, length=64, generator=generator))
    assert len(list(loader(attrs.evolve(PIPELINE, order=order, sources=cropped)))) == order.step_of(700)
    with pytest.raises(ValueError, match="with truncate=True, crop longer samples to max_tokens"):
        list(loader(attrs.evolve(PIPELINE, order=order)))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"batch_size": 4}, ValueError, "batch_size must be left out, got batch_size=4: a PackedOrder makes the steps"),
        ({"order": ORDER.order}, TypeError, "batch_size must be given, got batch_size=None"),
    ],
)
def test_a_pipeline_has_a_batch_size_or_a_planned_order(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        attrs.evolve(PIPELINE, **fields)


def test_more_ranks_than_bins_are_refused() -> None:
    with pytest.raises(
        ValueError, match="a step must have a bin per rank, got 4 for world_size=5. Raise bins_per_step"
    ):
        loader(PIPELINE, 0, 5)


def test_a_state_of_another_plan_is_refused() -> None:
    batches = loader(PIPELINE)
    next(iter(batches))
    other = attrs.evolve(PIPELINE, order=attrs.evolve(ORDER, bins_per_step=2))
    with pytest.raises(ValueError, match=r"order.bins_per_step \(was 4, is 2\)"):
        loader(other).load_state_dict(batches.state_dict())
    longer = attrs.evolve(PIPELINE, order=attrs.evolve(ORDER, order=attrs.evolve(ORDER.order, num_samples=None)))
    resumed = loader(longer)
    resumed.load_state_dict(batches.state_dict())
    assert samples_of(next(iter(resumed))) == samples_of(batch_at(PIPELINE, 1))


def test_a_packed_pipeline_pickles() -> None:
    assert pickle.loads(pickle.dumps(ORDER)) == ORDER
    assert samples_of(batch_at(pickle.loads(pickle.dumps(PIPELINE)), 3)) == samples_of(batch_at(PIPELINE, 3))
