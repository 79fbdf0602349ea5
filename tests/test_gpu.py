"""Tests that results on a GPU equal those on the CPU."""

import pytest
import torch

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import bits_at, fold_in, uniforms_at
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    ResampleOrder,
    WeightedOrder,
    corrupt_spans,
    index_at,
    mask_tokens,
    next_token_labels,
    position_of,
)
from bionemo.data.permute import permute

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

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
