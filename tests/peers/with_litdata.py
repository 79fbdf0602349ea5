"""Resumes of LitData's streams."""

import tempfile
from collections.abc import Callable
from typing import Any

from tests.data.testing.known_faults import LITDATA
from tests.peers.verdicts import Job, Ways, of_sources, taken, verdict

REQUIREMENTS = LITDATA


def cases() -> dict[str, Callable[[], str]]:
    import litdata
    from litdata.utilities.env import _DistributedEnv

    ways = Ways()

    def write(first: int = 0) -> str:
        folder = tempfile.mkdtemp()
        numbers = list(range(first, first + 48))
        litdata.optimize(fn=int, inputs=numbers, output_dir=folder, chunk_size=8, num_workers=1)
        return folder

    folder, other = write(), write(100)

    def ranks(world_size: int = 1, *, batch_size: int = 4, local: str = folder, seed: int = 1) -> Job:
        def make() -> list[Any]:
            loaders = []
            for rank in range(world_size):
                rows = litdata.StreamingDataset(local, shuffle=True, seed=seed)
                rows.distributed_env = _DistributedEnv(world_size, rank, 1)
                loaders.append(litdata.StreamingDataLoader(rows, batch_size=batch_size, num_workers=0))
            return loaders

        return make

    def mixture(fraction: float) -> Job:
        def make() -> list[Any]:
            parts = [litdata.StreamingDataset(local, shuffle=True, seed=1) for local in (folder, other)]
            weights = [fraction, 1 - fraction]
            rows = litdata.CombinedStreamingDataset(parts, weights=weights, seed=1, iterate_over_all=False)
            return [litdata.StreamingDataLoader(rows, batch_size=4, num_workers=0)]

        return make

    return {
        "within an epoch": lambda: verdict(ways, ranks()),
        "twice": lambda: verdict(ways, ranks(), stops=(3, 2)),
        "2 ranks → 2": lambda: verdict(ways, ranks(2)),
        "2 ranks → 1": lambda: verdict(ways, ranks(2), ranks(1)),
        "2 ranks → 3": lambda: verdict(ways, ranks(2), ranks(3)),
        "1 rank → 2": lambda: verdict(ways, ranks(1), ranks(2)),
        "batches of 4 → 8": lambda: verdict(ways, ranks(), ranks(batch_size=8)),
        "batches of 4 → 2": lambda: verdict(ways, ranks(), ranks(batch_size=2)),
        "weights 1:1 → 1:1": lambda: verdict(ways, mixture(0.5)),
        "weights 1:1 → 3:1": lambda: of_sources(ways, mixture(0.5), mixture(0.75)),
        "another seed": lambda: taken(ways, ranks(), ranks(seed=2)),
        "other data": lambda: taken(ways, ranks(), ranks(local=other)).replace(folder, "A").replace(other, "B"),
    }
