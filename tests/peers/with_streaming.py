"""Resumes of MosaicML Streaming."""

import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.peers import without_vision
from tests.data.testing.known_faults import MOSAIC
from tests.peers.verdicts import Job, Ways, of_sources, taken, verdict

REQUIREMENTS = MOSAIC


def cases() -> dict[str, Callable[[], str]]:
    without_vision()
    import streaming
    from streaming.base.partition import get_partitions

    ways = Ways(ids_of=lambda batch: batch["idx"])

    def write(first: int = 0) -> str:
        folder = tempfile.mkdtemp()
        with streaming.MDSWriter(out=folder, columns={"idx": "int"}, size_limit=200) as writer:
            for idx in range(first, first + 48):
                writer.write({"idx": idx})
        return folder

    folder, other = write(), write(100)

    def job(*, batch_size: int = 4, num_workers: int = 0, data: Callable[[], Any] = lambda: {"local": folder}) -> Job:
        def make() -> list[Any]:
            streaming.base.util.clean_stale_shared_memory()
            rows = streaming.StreamingDataset(**data(), shuffle=True, batch_size=batch_size, shuffle_seed=1)
            return [streaming.StreamingDataLoader(rows, batch_size=batch_size, num_workers=num_workers)]

        return make

    def mixture(fraction: float) -> Job:
        def data() -> dict[str, Any]:
            parts = zip((folder, other), (fraction, 1 - fraction), strict=True)
            streams = [streaming.Stream(local=local, proportion=part) for local, part in parts]
            return {"streams": streams, "epoch_size": 48}

        return job(data=data)

    def ranks(before: int, after: int) -> str:
        """Return whether the ranks that resume after 24 samples have the remaining steps of 8 samples."""

        def steps(world_size: int, consumed: int) -> list[list[int]]:
            parts = get_partitions("relaxed", 48, 1, 1, world_size, 1, 8 // world_size, consumed)
            batches = parts.reshape(world_size, -1, 8 // world_size)
            return [sorted(batches[:, step].ravel().tolist()) for step in range(batches.shape[1])]

        try:
            return "exact" if steps(after, 24) == steps(before, 0)[3:] else "other steps"
        except ValueError as error:
            return f"refuses: ValueError: {error}"

    return {
        "within an epoch": lambda: verdict(ways, job()),
        "twice": lambda: verdict(ways, job(), stops=(3, 2)),
        "2 workers → none": lambda: verdict(ways, job(num_workers=2), job()),
        "no worker → 2": lambda: verdict(ways, job(), job(num_workers=2)),
        "2 ranks → 4, samples of the partition": lambda: ranks(2, 4),
        "2 ranks → 1, samples of the partition": lambda: ranks(2, 1),
        "batches of 4 → 8": lambda: verdict(ways, job(), job(batch_size=8)),
        "proportions 1:1 → 1:1": lambda: verdict(ways, mixture(0.5)),
        "proportions 1:1 → 3:1": lambda: of_sources(ways, mixture(0.5), mixture(0.75)),
        "other data": lambda: taken(ways, job(), job(data=lambda: {"local": other})),
    }
