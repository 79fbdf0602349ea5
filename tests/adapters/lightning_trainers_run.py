"""Program for test_lightning_ranks_of_trainers.py: rank_and_world_size if two processes share a model, and if not."""

import sys
from pathlib import Path
from types import SimpleNamespace

import torch.distributed

from bionemo.adapters.lightning.epoch_loader import rank_and_world_size
from bionemo.adapters.megatron import model_parallel


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    trainer = SimpleNamespace(global_rank=rank, world_size=2)
    with model_parallel(tensor_model_parallel_size=2):
        try:
            shared = str(rank_and_world_size(trainer))
        except RuntimeError as error:
            shared = str(error)
    with model_parallel():
        separate = rank_and_world_size(trainer)
    Path(folder, f"{rank}.txt").write_text(f"{shared}\n{separate}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
