"""Tests that results on a GPU equal those on the CPU."""

import pytest
import torch

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import bits_at, fold_in, uniforms_at
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    Pipeline,
    ResampleOrder,
    WeightedOrder,
    batch_at,
    collate_packed,
    corrupt_spans,
    index_at,
    mask_packed_tokens,
    mask_tokens,
    next_packed_labels,
    next_token_labels,
    position_of,
)
from bionemo.data.permute import permute
from bionemo.data.pipes import loader
from bionemo.data.pipes.device import to_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def hide(batch: tuple, *, seeds: torch.Tensor) -> tuple:
    return mask_tokens(*batch, seeds=seeds, mask_id=1, replacement_ids=range(4, 24))


PIPELINE = Pipeline(
    order=EpochOrder(length=400, seed=1, num_samples=800),
    sources=[torch.full((number % 300 + 1,), number % 20 + 4, dtype=torch.uint8) for number in range(400)],
    batch_size=32,
    seed=2,
    collate=pad_token_ids,
    batch_transform=hide,
)
POSITIONS = torch.arange(5000) * 10**9
ORDERS = [
    EpochOrder(length=1000, seed=1),
    EpochOrder(length=10**9 + 7, seed=1),
    BlockShuffleOrder(length=10**6, block_size=1000, blocks_per_window=8, seed=1),
    ResampleOrder(length=10**12, seed=1),
    WeightedOrder(weights=[1, 2, 3], seed=1),
    MixtureOrder(orders=[EpochOrder(length=10, seed=1), ResampleOrder(length=9, seed=1)], weights=(2, 1)),
]


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_returns_tensors_on_the_device_of_the_positions(order) -> None:
    index = index_at(order, POSITIONS.cuda())
    for found, expected in zip(index, index_at(order, POSITIONS), strict=True):
        assert found.is_cuda
        assert torch.equal(found.cpu(), expected)
    if hasattr(order, "position_of") and not isinstance(
        order, MixtureOrder
    ):  # one of the mixture's orders has no inverse
        assert torch.equal(position_of(order, index).cpu(), POSITIONS)


def test_draws_and_permutations_are_equal_on_cpu_and_gpu() -> None:
    for function in (
        lambda counters: bits_at(42, counters),
        lambda counters: uniforms_at(42, counters),
        lambda counters: fold_in(42, "tag", counters),
        lambda counters: permute(counters, 10**13, 42),
    ):
        assert torch.equal(function(POSITIONS.cuda()).cpu(), function(POSITIONS))


def test_a_million_rows_are_equal_on_cpu_and_gpu() -> None:
    ids = torch.arange(10**6 * 8).reshape(10**6, 8) % 20 + 4
    mask = torch.arange(8) < (torch.arange(10**6) % 9)[:, None]
    seeds = fold_in(42, "row", torch.arange(10**6))
    options = {"mask_id": 1, "replacement_ids": range(4, 24), "special_ids": (5, 7)}
    found = mask_tokens(ids.cuda(), mask.cuda(), seeds=seeds.cuda(), **options)
    for part, expected in zip(found, mask_tokens(ids, mask, seeds=seeds, **options), strict=True):
        assert torch.equal(part.cpu(), expected)
    counters = torch.arange(10**6)
    assert torch.equal(bits_at(seeds.cuda(), counters.cuda()).cpu(), bits_at(seeds, counters))
    assert torch.equal(permute(counters.cuda(), 10**6, 7).cpu(), permute(counters, 10**6, 7))


def test_packed_batches_are_equal_on_cpu_and_gpu() -> None:
    batch = collate_packed([torch.arange(length) % 20 + 4 for length in range(1, 400)], divisible_by=4, length=90_000)
    moved = to_device(batch, "cuda")
    options = {"seeds": torch.arange(399), "mask_id": 1, "replacement_ids": range(4, 24), "min_one": True}
    found = mask_packed_tokens(moved, **options | {"seeds": options["seeds"].cuda()})
    expected = mask_packed_tokens(batch, **options)
    for name in ("ids", "labels"):
        assert torch.equal(found[name].cpu(), expected[name])
    assert torch.equal(next_packed_labels(moved).cpu(), next_packed_labels(batch))


@pytest.mark.parametrize("transform_on", ["worker", "device"])
@pytest.mark.parametrize("options", [{}, {"num_threads": 2}, {"num_workers": 2}], ids=str)
def test_a_loader_delivers_the_same_batches_on_the_gpu(options: dict, transform_on: str) -> None:
    batches = loader(PIPELINE, device="cuda", transform_on=transform_on, **options)
    for step, batch in enumerate(batches):
        torch.cuda._sleep(10**6)  # the consumer is slow: nothing of its batch may be written to meanwhile
        for found, expected in zip(batch, batch_at(PIPELINE, step), strict=True):
            assert found.is_cuda
            assert torch.equal(found.cpu(), expected)
    batches.close()


def test_masks_and_targets_are_equal_on_cpu_and_gpu() -> None:
    ids, mask = pad_token_ids([list(range(10, 10 + length)) for length in (50, 3, 200, 0, 1)])
    seeds = torch.arange(5)
    for function in (
        lambda *block: mask_tokens(*block[:2], seeds=block[2], mask_id=1, replacement_ids=range(10, 30), min_one=True),
        lambda *block: mask_tokens(*block[:2], seeds=block[2], mask_id=1, replacement_ids=[7], spans=block[0] // 3),
        lambda *block: corrupt_spans(*block[:2], seeds=block[2], sentinel_ids=range(300, 340)),
        lambda *block: (next_token_labels(*block[:2]),),
    ):
        for found, expected in zip(
            function(ids.cuda(), mask.cuda(), seeds.cuda()), function(ids, mask, seeds), strict=True
        ):
            assert found.is_cuda
            assert torch.equal(found.cpu(), expected)
