"""Resumes of streams that TRL has packed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.peers.verdicts import Job, Ways, verdict

REQUIREMENTS = ("trl==1.16.0",)
ROWS = [[number] * (3 + number % 5) for number in range(40)]


def cases() -> dict[str, Callable[[], str]]:
    import datasets
    from trl.data_utils import pack_dataset

    tokens = Ways(ids_of=lambda row: row["input_ids"])

    def job(strategy: str) -> Job:
        def make() -> list[Any]:
            stream = datasets.Dataset.from_dict({"input_ids": ROWS}).to_iterable_dataset(num_shards=2)
            return [pack_dataset(stream, 16, strategy=strategy, map_kwargs={"batch_size": 10})]

        return make

    stops = {"within a packed batch": (3,), "twice": (3, 2)}
    strategies = ("bfd", "bfd_split", "wrapped")
    return {
        f"{one}, {name}": partial(verdict, tokens, job(one), stops=stops[name]) for one in strategies for name in stops
    }
