"""Run by test_lightning_place.py under torchrun: what a trainer is told on ranks that share a model, and on others."""

import sys
from pathlib import Path
from types import SimpleNamespace

import torch.distributed

from bionemo.adapters.lightning.place import trainer_place
from bionemo.adapters.megatron import model_parallel


def main(folder: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    trainer = SimpleNamespace(global_rank=rank, world_size=2)
    with model_parallel(tensor_model_parallel_size=2):
        try:
            said = str(trainer_place(trainer))
        except RuntimeError as error:
            said = str(error)
    with model_parallel():
        place = trainer_place(trainer)
    Path(folder, f"{rank}.txt").write_text(f"{said}\n{place}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
