"""Program that torchrun starts anew whenever the number of its agents changes: it trains on all ranks there are."""

import sys
from pathlib import Path

import torch.distributed

from tests.adapters.distributed_training import train


def main(folder: str, steps: str) -> None:
    torch.distributed.init_process_group("gloo")
    sizes = {"shards": torch.distributed.get_world_size()}
    weights = train(Path(folder), steps=int(steps), save_every=2, sizes=sizes, num_samples=None, pause=0.2)
    if torch.distributed.get_rank() == 0:
        torch.save(weights, Path(folder, "weights.pt"))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
