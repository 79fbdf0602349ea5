"""Transforms that take many samples at once."""

from functools import partial

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, MixtureOrder, Pipeline, Source, batch_at, random_crop_rows, sample_at
from bionemo.data.pipeline.record import pipeline_spec
from bionemo.data.pipes import loader

ROWS = [list(range(number, number + 10)) for number in range(20)]
crop = partial(random_crop_rows, length=3)


def make(sources, **fields) -> Pipeline:
    order = EpochOrder(length=20, seed=42, num_samples=50)
    return Pipeline(**{"order": order, "sources": sources, "batch_size": 8, "seed": 7, "collate": list, **fields})


def with_seeds(samples: list, *, seeds: torch.Tensor) -> list:
    assert seeds.dtype == torch.int64
    assert type(samples) is list
    return list(zip(samples, seeds.tolist(), strict=True))


def test_a_sample_is_the_same_alone_in_any_batch_and_on_any_rank() -> None:
    pipeline = make(Source(ROWS, transform=crop, batched=True))
    samples = [sample_at(pipeline, position) for position in range(50)]
    assert all(len(sample) == 3 for sample in samples)
    assert [row for batch in loader(pipeline) for row in batch] == samples
    other = make(Source(ROWS, transform=crop, batched=True), batch_size=7)
    assert [row for step in range(8) for rank in range(5) for row in batch_at(other, step, rank, 5)] == samples


@pytest.mark.parametrize("dataset", [torch.arange(20), np.arange(20), list(range(20))])
def test_it_gets_a_list_of_samples_and_their_seeds(dataset) -> None:
    pipeline = make(Source(dataset, transform=with_seeds, batched=True))
    (first, seed), *others = batch_at(pipeline, 0)
    assert len({seed, *(other for _, other in others)}) == 8
    assert sample_at(pipeline, 0) == (first, seed)


def test_a_function_without_seeds_is_taken_and_each_source_has_its_own() -> None:
    doubled = Source(list(range(20)), transform=lambda samples: [2 * sample for sample in samples], batched=True)
    orders = [EpochOrder(length=20, seed=seed) for seed in (1, 2)]
    order = MixtureOrder(orders=orders, weights=(1, 1), num_samples=40)
    plain = make((range(20), range(20)), order=order)
    pipeline = make((range(20), doubled), order=order)
    for step in range(5):
        is_second = order.index_at(np.arange(8 * step, 8 * step + 8)).source == 1
        assert (np.array(batch_at(plain, step)) * (1 + is_second)).tolist() == batch_at(pipeline, step)


def test_an_empty_part_of_a_batch_is_not_transformed() -> None:
    def first_of_each(samples: list) -> list:
        return [samples[0] for _ in samples] if len(samples) else samples[0]

    pipeline = make(Source(ROWS, transform=first_of_each, batched=True), batch_size=1)
    assert batch_at(pipeline, 0, rank=0, world_size=2) == []


def test_errors_name_the_samples() -> None:
    pipeline = make(Source(ROWS, transform=lambda samples: samples[1:], batched=True))
    with pytest.raises(ValueError, match="one sample per sample, got 7 for 8") as caught:
        batch_at(pipeline, 1)
    assert caught.value.__notes__[0].startswith("while reading position 8: SampleIndex(source=0, epoch=0, idx=")
    with pytest.raises(ValueError, match="one sample per sample, got 0 for 1"):
        sample_at(pipeline, 3)


def test_what_a_transform_takes_is_checked_at_once() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'seeds'") as caught:
        Source(ROWS, transform=crop)
    assert "pass batched=True for a function of many" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="batched must be False without a transform"):
        Source(ROWS, batched=True)


def test_the_record_says_that_a_transform_is_batched() -> None:
    source = Source(ROWS, transform=sorted, batched=True)
    assert pipeline_spec(make(source))["transforms"] == ["batched builtins.sorted"]
    assert repr(source) == "Source(list of 20, transform=builtins.sorted, batched=True)"
