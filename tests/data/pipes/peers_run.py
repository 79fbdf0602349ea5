"""Program for test_peers.py: ranks that share a model read the same batches, each with a loader of its own."""

import hashlib
import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed

from bionemo.data import (
    EpochOrder,
    PackedOrder,
    Pipeline,
    collate_packed,
    mask_packed_tokens,
    shard_for_context_parallel,
    unshard_context_parallel,
)
from bionemo.data.pipes import loader

ROWS = [torch.arange(number % 13 + 1, dtype=torch.uint8) + 4 for number in range(64)]
OPTIONS = [
    {"num_threads": 2},
    {"num_workers": 1, "multiprocessing_context": "fork", "device": "cpu", "transform_on": "device"},
]
"""Of each rank: how batches are read differs, what is read doesn't."""


def hide(batch: dict, *, seeds: torch.Tensor) -> dict:
    return mask_packed_tokens(batch, seeds=seeds, mask_id=1, replacement_ids=range(4, 17))


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    lengths = [len(row) for row in ROWS]
    order = PackedOrder(
        order=EpochOrder(length=64, seed=1, num_samples=64),
        lengths=lengths,
        max_tokens=64,
        bins_per_step=1,
        window_size=32,
        divisible_by=2 * world_size,
        seed=2,
    )
    collate = partial(collate_packed, divisible_by=2 * world_size)
    pipeline = Pipeline(
        order=order, sources=ROWS, seed=3, collate=collate, batch_transform=hide, seed_global_states=False
    )
    digest, shards = hashlib.sha256(), []
    names = ["ids", "labels", "positions", "segment_ids", "mask"]
    for batch in loader(pipeline, **OPTIONS[rank]):
        for name in names:
            digest.update(batch[name].numpy().tobytes())
        shards.append((batch, shard_for_context_parallel(batch, rank, world_size, names=names)))
    digests: list = [None] * world_size
    torch.distributed.all_gather_object(digests, digest.hexdigest())
    assert len(set(digests)) == 1, digests
    for batch, shard in shards:
        parts: list = [None] * world_size
        torch.distributed.all_gather_object(parts, shard)
        whole = unshard_context_parallel(parts, names=names)
        assert all(torch.equal(whole[name], batch[name]) for name in names)
    Path(folder, f"{rank}.txt").write_text(str(len(shards)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
