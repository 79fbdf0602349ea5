"""Known-answer tests: seeded results change if and only if `ALGORITHM_VERSION` does."""

import hashlib
import json

import torch

from bionemo.core.random import (
    bits_at,
    fold_in,
    integers_at,
    make_generator,
    sample_by_weight,
    sample_with_replacement,
    sample_without_replacement,
    uniforms_at,
)
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    ResampleOrder,
    WeightedOrder,
    corrupt_spans,
    fingerprint,
    index_at,
    mask_tokens,
    random_crop,
    random_reverse_complement,
)
from bionemo.data.orders.order import ALGORITHM_VERSION
from bionemo.data.permute import permute

DIGESTS = {
    2: "37f7228ed54a7e7b120ebbaf94ccc7be74fd3ab389c8e989d986118a8c0530fb",
    3: "1b7d4e6f2b79dc344e533ceba584d98884e2de75c0a8483d06a3054b02224483",
}
"""By version: the sha256 of `seeded_results()`.

Training runs resume and replay by these results. If one must change, increase `ALGORITHM_VERSION` and
add a line here.
"""

SEEDS = (0, 42, 2**63 - 1)
POSITIONS = torch.tensor([*range(40), 10**6, 10**12, 2**62 - 1])


def orders(seed: int) -> list:
    epoch = EpochOrder(length=13, seed=seed)
    block = BlockShuffleOrder(length=10**9 + 7, block_size=1000, blocks_per_window=16, seed=seed)
    resample = ResampleOrder(length=10**12, seed=seed)
    weighted = WeightedOrder(weights=[0.5, 0, 2, 1e-3, 7], seed=seed)
    mixture = MixtureOrder(orders=(epoch, resample, weighted), weights=(5, 3, 2), changes=((20, (1, 1, 1)),))
    small = BlockShuffleOrder(length=13, block_size=4, blocks_per_window=2, seed=seed)
    by_length = LengthGroupedOrder(
        order=epoch, lengths=[3, 1, 3, 3, 7, 1, 5, 3, 3, 1, 7, 7, 2], window_size=8, batch_size=2, seed=seed
    )
    unshuffled = EpochOrder(length=13, seed=seed, shuffle=False)
    return [epoch, unshuffled, block, small, resample, weighted, mixture, by_length]


def seeded_results() -> list:
    """Return the results of all seeded functions, as plain values."""
    found: list = []
    for seed in SEEDS:
        found += [[part.tolist() for part in index_at(order, POSITIONS)] for order in orders(seed)]
        found += [
            permute(torch.arange(min(length, 100)), length, seed).tolist()
            for length in (1, 2, 63, 64, 1023, 1024, 2**62)
        ]
        found += [fold_in(seed, "tag", 7), bits_at(seed, POSITIONS).tolist(), uniforms_at(seed, POSITIONS).tolist()]
        found += [
            uniforms_at(seed, POSITIONS, dtype=torch.float32).tolist(),
            integers_at(seed, POSITIONS, 10**9).tolist(),
        ]
        generator = make_generator(seed)
        found.append(sample_with_replacement(10**9, 5, generator=generator).tolist())
        found.append(sample_without_replacement(10**9, 5, generator=generator).tolist())
        found.append(sample_without_replacement(9, 8, generator=generator).tolist())
        found.append(sample_by_weight([1, 2, 3], 20, generator=generator).tolist())
        ids = torch.arange(10, 50).reshape(2, 20)
        masked = mask_tokens(ids, ids % 7 > 0, seeds=torch.tensor([seed, 1]), mask_id=1, replacement_ids=range(10, 50))
        found.append([part.tolist() for part in masked])
        options = {"mask_id": 1, "replacement_ids": range(10, 50), "min_one": True}
        by_span = mask_tokens(ids, ids > 0, seeds=torch.tensor([seed, 1]), spans=ids // 3, **options)
        found.append([part.tolist() for part in by_span])
        corrupted = corrupt_spans(ids, ids > 0, seeds=torch.tensor([seed, 1]), sentinel_ids=range(100, 110))
        found.append([part.tolist() for part in corrupted])
        found.append([random_crop(range(100), length=9, generator=generator).start for _ in range(5)])
        strands = [
            random_reverse_complement([0, 0], complement=[1, 0], generator=generator, prob=0.3) for _ in range(20)
        ]
        found.append(strands)
    return found


def test_seeded_results_change_if_and_only_if_the_algorithm_version_does() -> None:
    assert hashlib.sha256(json.dumps(seeded_results()).encode()).hexdigest() == DIGESTS[ALGORITHM_VERSION]
    assert max(DIGESTS) == ALGORITHM_VERSION
    assert len(set(DIGESTS.values())) == len(DIGESTS)


def test_known_fingerprints_of_orders_do_not_change() -> None:
    """They include `ALGORITHM_VERSION`."""
    assert [fingerprint(order)[:8] for order in orders(42)] == [
        "d058e33f",
        "5d8d046c",
        "8a2dabd6",
        "531df8c0",
        "4f7b4cc9",
        "2c58e99d",
        "b1b48a06",
        "2cb00ed2",
    ]
