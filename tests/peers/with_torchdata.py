"""Resumes of torchdata's StatefulDataLoader over data sets with an index."""

from collections.abc import Callable
from typing import Any

import torch

from tests.peers.verdicts import Job, Ways, taken, verdict

REQUIREMENTS = ("torchdata==0.11.0",)


class Noise:
    """A data set that returns random numbers of torch's global state."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, idx: int) -> float:
        return float(torch.rand(()))


def cases() -> dict[str, Callable[[], str]]:
    from torchdata.stateful_dataloader import StatefulDataLoader
    from torchdata.stateful_dataloader.sampler import StatefulDistributedSampler

    ways = Ways()

    def job(*, num_workers: int = 0, batch_size: int = 4, dataset: Any = range(48)) -> Job:
        def make() -> list[Any]:
            torch.manual_seed(1)
            options = {"batch_size": batch_size, "num_workers": num_workers}
            return [StatefulDataLoader(dataset, shuffle=True, **options)]

        return make

    def ranks(world_size: int) -> Job:
        def make() -> list[Any]:
            samplers = [StatefulDistributedSampler(range(48), world_size, rank, seed=1) for rank in range(world_size)]
            return [StatefulDataLoader(range(48), batch_size=4, sampler=sampler) for sampler in samplers]

        return make

    workers = job(num_workers=2)
    return {
        "within an epoch": lambda: verdict(ways, workers),
        "twice": lambda: verdict(ways, workers, stops=(3, 2)),
        "2 workers → 1": lambda: verdict(ways, workers, job(num_workers=1)),
        "2 workers → none": lambda: verdict(ways, workers, job()),
        "no worker → 2": lambda: verdict(ways, job(), workers),
        "2 ranks → 2": lambda: verdict(ways, ranks(2)),
        "2 ranks → 3": lambda: verdict(ways, ranks(2), ranks(3)),
        "2 ranks → 1": lambda: verdict(ways, ranks(2), ranks(1)),
        "batches of 4 → 8": lambda: verdict(ways, workers, job(num_workers=2, batch_size=8)),
        "noise of the global state, 2 workers": lambda: verdict(ways, job(num_workers=2, dataset=Noise())),
        "other data": lambda: taken(ways, workers, job(num_workers=2, dataset=range(100, 148))),
    }
