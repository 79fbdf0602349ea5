"""Train a model sharded by FSDP2: `torchrun --nproc-per-node=2 -m bionemo.examples.fsdp2 [FOLDER] [STEPS]`.

Run it again, on any number of processes, to resume from the newest checkpoint in the folder.
"""

import os
import sys

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, load_checkpoint, rank_and_world_size
from bionemo.core.model.config import build_model
from bionemo.core.model.loss import mean_loss, scale_for_ranks, sum_over_ranks
from bionemo.core.random import make_generator
from bionemo.data import step_of
from bionemo.data.pipes import loader
from bionemo.examples.protein_mlm.model import ProteinModelConfig
from bionemo.examples.protein_mlm.pipelines import make_pipelines
from bionemo.examples.protein_mlm.proteins import VOCABULARY, embedded_proteins

_BATCH_SIZE = 32
"""Proteins per step, over all processes together."""


def _main() -> None:
    """Train on the embedded proteins, from the newest checkpoint if there is one."""
    folder = sys.argv[1] if sys.argv[1:] else "fsdp2"
    steps = int(sys.argv[2]) if sys.argv[2:] else 100
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    mesh = init_device_mesh(device.type, (int(os.environ["WORLD_SIZE"]),))
    rank, world_size = rank_and_world_size(mesh)
    config = ProteinModelConfig(vocab_size=len(VOCABULARY), max_length=128, dropout=0.0)
    model = build_model(config, generator=make_generator(42, "model")).to(device)
    for part in (*model.encoder.layers, model):
        fully_shard(part, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    generator = make_generator(42, "data")
    pipeline = make_pipelines(embedded_proteins(), batch_size=_BATCH_SIZE, max_length=128, generator=generator).train
    batches = loader(pipeline, rank, world_size, device=device)
    newest = find_checkpoint(folder)
    if newest is not None:
        load_checkpoint(newest, model, optimizer, batches)
    start = step_of(pipeline, batches.consumed_samples)
    loss_func = config.get_loss_reduction_class()()
    with CheckpointWriter(folder) as checkpoints:
        for step, batch in zip(range(start + 1, steps + 1), batches, strict=False):
            loss = loss_func.forward(batch, model(batch))
            total = sum_over_ranks(loss)
            optimizer.zero_grad()
            scale_for_ranks(loss, total.num_tokens, world_size).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 10 == 0 or step == steps:
                checkpoints.save(step, model, optimizer, batches)  # written while the training continues
                if rank == 0:
                    print(f"step {step:4}  loss {mean_loss([total]).item():.4f}", flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main()
