"""What scDataset reads in each epoch and on each rank; it saves no state."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

REQUIREMENTS = ("scdataset==0.3.0",)


def cases() -> dict[str, Callable[[], str]]:
    from scdataset import BlockShuffling, scDataset

    cells = np.arange(96)

    def rows(seed: int = 1, rank: int = 0, world_size: int = 1) -> Any:
        options = {"batch_size": 8, "fetch_factor": 4, "seed": seed, "rank": rank, "world_size": world_size}
        return scDataset(cells, BlockShuffling(block_size=4), **options)

    def epochs(**options: Any) -> str:
        loader = DataLoader(rows(), batch_size=None, **options)
        first, second = ([batch.tolist() for batch in loader] for _ in range(2))
        return "the same order" if first == second else "another order"

    def of_seeds() -> str:
        first, second = rows(0), rows(1000)
        list(first)
        is_same = [batch.tolist() for batch in first] == [batch.tolist() for batch in second]
        return "the same order" if is_same else "another order"

    def of_ranks() -> str:
        sizes = [len(list(rows(rank=rank, world_size=2))) for rank in range(2)]
        return f"{sizes[0]} and {sizes[1]} batches"

    return {
        "is there a `state_dict`": lambda: "yes" if hasattr(rows(), "state_dict") else "no",
        "second epoch, no worker": epochs,
        "second epoch, 2 workers": lambda: epochs(num_workers=2),
        "second epoch, 2 persistent workers": lambda: epochs(num_workers=2, persistent_workers=True),
        "epoch 1 of seed 0 and epoch 0 of seed 1000": of_seeds,
        "96 cells in fetches of 32 on 2 ranks": of_ranks,
    }
