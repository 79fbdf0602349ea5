"""Resumes of torchtitan's loader, which packs the tokens of texts into rows."""

import copy
from collections.abc import Callable
from typing import Any

from tests.peers.verdicts import Job, Ways, verdict

REQUIREMENTS = (
    "torchtitan==0.3.0",
    "docstring-parser==0.18.0",
    "shtab==1.13.0",
    "spmd-types==0.3.1",
    "typeguard==4.6.1",
    "tyro==1.0.17",
)


class Repeating:
    """A tokenizer that repeats a number four to eight times."""

    def encode(self, text: str, *, add_bos: bool, add_eos: bool) -> list[int]:
        return [int(text)] * (4 + int(text) % 5)


def cases() -> dict[str, Callable[[], str]]:
    import datasets
    from torchtitan.components.dataloader import ParallelAwareDataloader
    from torchtitan.hf_datasets import text_datasets

    numbers = datasets.Dataset.from_dict({"idx": list(range(40))})
    kind = type(text_datasets.DATASETS["c4_test"])
    text_datasets.DATASETS["numbers"] = kind(
        path="",
        loader=lambda _: numbers.to_iterable_dataset(num_shards=4),
        sample_processor=lambda row: str(row["idx"]),
    )
    ways = Ways(ids_of=lambda batch: batch[0]["input"].flatten().tolist())

    class Copying(text_datasets.HuggingFaceTextDataset):
        """Copies its state, which the original changes after it was saved."""

        def state_dict(self) -> Any:
            return copy.deepcopy(super().state_dict())

    def ranks(
        world_size: int = 1,
        num_workers: int = 0,
        batch_size: int = 2,
        dataset: Any = text_datasets.HuggingFaceTextDataset,
    ) -> Job:
        def make() -> list[Any]:
            loaders = []
            for rank in range(world_size):
                rows = dataset("numbers", None, Repeating(), 16, rank, world_size)
                options = {"batch_size": batch_size, "num_workers": num_workers}
                loaders.append(ParallelAwareDataloader(rows, rank, world_size, **options))
            return loaders

        return make

    return {
        "within an epoch, with its packing": lambda: verdict(ways, ranks(), stops=(2,)),
        "twice": lambda: verdict(ways, ranks(), stops=(2, 2)),
        "2 ranks → 2": lambda: verdict(ways, ranks(2), stops=(1,)),
        "2 ranks → 1": lambda: verdict(ways, ranks(2), ranks(1), stops=(1,)),
        "no worker → 2": lambda: verdict(ways, ranks(), ranks(num_workers=2), stops=(1,)),
        "2 workers → 2, tokens": lambda: verdict(ways, ranks(num_workers=2), stops=(2,)),
        "2 workers → 2, tokens, if the state is copied": lambda: verdict(
            ways, ranks(num_workers=2, dataset=Copying), stops=(2,)
        ),
        "batches of 2 → 4": lambda: verdict(ways, ranks(), ranks(batch_size=4), stops=(1,)),
    }
