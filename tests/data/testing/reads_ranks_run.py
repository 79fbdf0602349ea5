"""Run by test_reads.py under torchrun: compares batches that are equal on both ranks, and batches that are not."""

import re
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from bionemo.data import EpochOrder, Pipeline, batch_at
from bionemo.data.testing import check_same_on_ranks


def verdict(batch: Any) -> str:
    try:
        check_same_on_ranks(batch)
    except AssertionError as error:
        return str(error)
    except TypeError as error:
        return re.sub(r"main.<locals>.| at 0x\w+|\. Leave.*", "", str(error))
    return "same"


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    torch.manual_seed(rank)
    names = ["P12345", "Q67890", "A0A000"]
    pipeline = Pipeline(order=EpochOrder(length=20, seed=1), sources=torch.arange(20), batch_size=4, seed=2)
    verdicts = [
        verdict({"ids": batch_at(pipeline, 3), "names": names}),
        verdict({"ids": torch.tensor([hash(name) for name in names]), "names": names}),
        verdict({"names": names, "draw": torch.rand(2)}),
        verdict({"names": set(names), frozenset(names): 1}),
        verdict({"ids": (name for name in names) if rank else 1}),
    ]
    Path(folder, f"{rank}.txt").write_text("\n".join(verdicts))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
