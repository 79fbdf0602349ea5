"""Where a loader waits."""

import time

import pytest
import torch

from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens
from bionemo.data.pipes import loader
from bionemo.data.pipes.delivery import size_of

ROWS = [torch.full((number % 7 + 1,), number, dtype=torch.uint8) for number in range(64)]
MOMENT = 0.01


class Slow(list):
    """A data set that takes its time."""

    def __getitems__(self, indices: list[int]) -> list:
        time.sleep(MOMENT)
        return [self[index] for index in indices]


def slow_transform(samples: list) -> list:
    time.sleep(MOMENT)
    return samples


def slow_batch_transform(batch: tuple) -> tuple:
    time.sleep(MOMENT)
    return batch


def slow_collate(rows: list) -> tuple:
    time.sleep(MOMENT)
    return pad_token_ids(rows)


def make(sources, **fields) -> Pipeline:
    order = EpochOrder(length=64, seed=1, num_samples=64)
    return Pipeline(
        **{"order": order, "sources": sources, "batch_size": 8, "seed": 2, "collate": pad_token_ids, **fields}
    )


@pytest.mark.parametrize("options", [{}, {"num_threads": 2}, {"num_workers": 1, "multiprocessing_context": "fork"}])
@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (make(Slow(ROWS)), "read"),
        (make(Source(ROWS, transform=slow_transform, batched=True)), "transform"),
        (make(ROWS, collate=slow_collate), "collate"),
        (make(ROWS, batch_transform=slow_batch_transform), "batch_transform"),
        (make(ROWS), "consumer"),
    ],
    ids=["data set", "transform", "collate", "batch transform", "consumer"],
)
def test_what_is_slow_is_told_apart(pipeline: Pipeline, expected: str, options: dict) -> None:
    batches = loader(pipeline, restart=True, **options)
    list(batches)  # worker processes have started then
    for _ in batches:
        time.sleep(12 * MOMENT if expected == "consumer" else 0)
    stats = batches.stats()
    batches.close()
    assert stats.bottleneck == expected, str(stats)
    assert stats.num_steps == 8
    if expected != "consumer":
        assert sum(stats.stages[expected].values()) >= 8 * MOMENT
        assert stats.waited >= MOMENT
    assert f"limited by {expected}" in str(stats)
    assert 0 <= stats.waited_p50 <= stats.waited_p95 <= stats.waited_p99 <= stats.waited_max <= stats.waited


def test_tokens_samples_and_bytes_are_counted() -> None:
    batches = loader(make(ROWS))
    found = list(batches)
    stats, throughput = batches.stats(), batches.stats().throughput
    tokens = sum(len(row) for row in ROWS)
    assert throughput.num_tokens == tokens
    assert throughput.padding_fraction == pytest.approx(1 - tokens / sum(ids.numel() for ids, _ in found))
    assert stats.num_bytes == sum(ids.numel() + mask.numel() for ids, mask in found)
    assert throughput.samples_per_second * stats.seconds == pytest.approx(64)


def test_each_iteration_is_measured_anew_and_workers_apart() -> None:
    batches = loader(make(ROWS), restart=True, num_threads=2)
    assert batches.stats().num_steps == 0
    assert batches.stats().bottleneck == "consumer"
    for _ in range(2):
        list(batches)
        assert batches.stats().num_steps == 8
    assert set(batches.stats().stages["collate"]) <= {0, 1}
    workers = loader(make(ROWS), num_workers=2, multiprocessing_context="fork")
    for _ in workers:
        time.sleep(MOMENT)
    stats = workers.stats()
    workers.close()
    assert set(stats.stages["read"]) == {0, 1}
    assert sum(stats.stages["transfer"].values()) > 0
    assert stats.num_ready > 0


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"ids": torch.zeros(4, dtype=torch.int32), "mask": torch.tensor([True, True, False, True])}, (20, 3, 4)),
        ((torch.zeros(2, 2), torch.zeros(2, 2)), (32, 0, 0)),
        ((torch.zeros(2), torch.zeros(2), torch.tensor([True, False])), (18, 1, 2)),
        ([torch.zeros(3), torch.zeros(2)], (20, 0, 0)),
        (["a", "b"], (0, 0, 0)),
        ([], (0, 0, 0)),
        ({"mask": None, "names": ["a"], "more": {"x": torch.zeros(2)}}, (8, 0, 0)),
        ("text", (0, 0, 0)),
    ],
)
def test_the_size_of_a_batch(batch, expected: tuple) -> None:
    assert tuple(size_of(batch)) == expected


def hide(batch: tuple, *, seeds: torch.Tensor) -> dict:
    ids, mask = batch
    masked = mask_tokens(ids, mask, seeds=seeds, mask_id=1, replacement_ids=range(4, 24))
    return {"ids": masked.ids.long(), "labels": masked.labels, "mask": mask}


def test_compact_rows_take_two_bytes_per_element_through_a_queue() -> None:
    """Ids of one byte and a mask: labels and int64 are made where the batch is used."""
    options = {"num_workers": 1, "multiprocessing_context": "fork", "device": "cpu"}
    sizes = {}
    for where in ("worker", "device"):
        batches = loader(make(ROWS, batch_transform=hide), transform_on=where, **options)
        found = list(batches)
        sizes[where] = batches.stats().num_bytes / sum(batch["ids"].numel() for batch in found)
        batches.close()
        assert found[0]["ids"].dtype == torch.int64
    assert sizes == {"worker": 17, "device": 2}
