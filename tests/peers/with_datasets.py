"""Resumes of Hugging Face's streams, with TRL's packing."""

from collections.abc import Callable
from typing import Any

from tests.peers.verdicts import Job, Ways, of_sources, taken, verdict

REQUIREMENTS = ("datasets==5.2.0", "torchdata==0.11.0")


def cases() -> dict[str, Callable[[], str]]:
    import datasets
    from datasets.distributed import split_dataset_by_node
    from torchdata.stateful_dataloader import StatefulDataLoader

    rows, batches = Ways(ids_of=lambda row: [row["idx"]]), Ways(ids_of=lambda batch: batch["idx"])

    def stream(first: int = 0) -> Any:
        numbers = list(range(first, first + 48))
        return datasets.Dataset.from_dict({"idx": numbers}).to_iterable_dataset(num_shards=4)

    def ranks(world_size: int) -> Job:
        return lambda: [split_dataset_by_node(stream(), rank, world_size) for rank in range(world_size)]

    def workers(num_workers: int, batch_size: int = 2) -> Job:
        return lambda: [StatefulDataLoader(stream(), batch_size=batch_size, num_workers=num_workers)]

    def mixture(*probabilities: float) -> Job:
        return lambda: [datasets.interleave_datasets([stream(), stream(100)], list(probabilities), seed=1)]

    def alone() -> list[Any]:
        return [stream()]

    return {
        "within an epoch": lambda: verdict(rows, alone, stops=(13,)),
        "twice": lambda: verdict(rows, alone, stops=(13, 5)),
        "shuffle buffer of 10": lambda: verdict(rows, lambda: [stream().shuffle(seed=1, buffer_size=10)], stops=(13,)),
        "2 ranks → 2": lambda: verdict(rows, ranks(2), stops=(6,)),
        "2 ranks → 4": lambda: verdict(rows, ranks(2), ranks(4), stops=(6,)),
        "2 ranks → 1": lambda: verdict(rows, ranks(2), ranks(1), stops=(6,)),
        "2 workers → 2": lambda: verdict(batches, workers(2)),
        "2 workers → 2, twice": lambda: verdict(batches, workers(2), stops=(3, 2)),
        "2 workers → 2, twice, each after 1 batch": lambda: verdict(batches, workers(2), stops=(1, 1)),
        "2 workers → 4": lambda: verdict(batches, workers(2), workers(4)),
        "2 workers → none": lambda: verdict(batches, workers(2), workers(0)),
        "batches of 2 → 4": lambda: verdict(batches, workers(2), workers(2, 4)),
        "weights 1:1 → 1:1": lambda: verdict(rows, mixture(0.5, 0.5), stops=(13,)),
        "weights 1:1 → 9:1": lambda: of_sources(rows, mixture(0.5, 0.5), mixture(0.9, 0.1), stop=13),
        "other data": lambda: taken(rows, alone, lambda: [stream(100)]),
    }
