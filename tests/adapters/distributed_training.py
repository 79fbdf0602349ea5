"""Training sharded by FSDP2, or not, with distributed checkpoints and a log of what was read."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, load_checkpoint, rank_and_world_size
from bionemo.core.model.config import build_model
from bionemo.core.model.loss import scale_for_ranks, sum_over_ranks
from bionemo.core.random import integers_at, make_generator
from bionemo.data import (
    EpochOrder,
    Pipeline,
    RaggedField,
    ScalarField,
    Source,
    collate_fields,
    log_line,
    mask_tokens,
)
from bionemo.data.pipes import loader
from bionemo.examples.protein_mlm.model import ProteinModelConfig

NUM_ROWS, BATCH_SIZE = 50, 7
NUM_SAMPLES = 8 * BATCH_SIZE + 2
"""The last step has 2 samples: with 3 ranks, one of them has none."""

CONFIG = ProteinModelConfig(vocab_size=32, max_length=20, hidden_size=16, num_heads=2, dropout=0.0)


def as_sample(row: int) -> dict[str, Any]:
    """Return a row of 1 to 19 tokens."""
    return {"row": row, "ids": 2 + integers_at(row, torch.arange(integers_at(7, row, 19) + 1), 30)}


def hide(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:
    masked = mask_tokens(
        batch["ids"], batch["mask"], seeds=seeds, mask_id=1, replacement_ids=range(2, 32), mask_prob=0.4
    )
    return {**batch, "ids": masked.ids, "labels": masked.labels}


def make_pipeline(*, seed: int = 1, num_samples: int | None = NUM_SAMPLES) -> Pipeline:
    fields = {"ids": RaggedField(torch.int64), "row": ScalarField(torch.int64)}
    return Pipeline(
        order=EpochOrder(length=NUM_ROWS, seed=seed, num_samples=num_samples),
        sources=Source(list(range(NUM_ROWS)), transform=as_sample),
        batch_size=BATCH_SIZE,
        seed=2,
        collate=partial(collate_fields, fields=fields, padding_len=20),
        batch_transform=hide,
    )


def make_model(mesh: DeviceMesh | None = None, *, device: str = "cpu") -> nn.Module:
    """Return a model that is sharded over a mesh's dimensions `replicas` and `shards`, and split over its `tensor`."""
    model = build_model(CONFIG, generator=make_generator(42, "model")).to(device)
    if mesh is None:
        return model
    names = mesh.mesh_dim_names or ()
    if "tensor" in names:
        plan = {"linear1": ColwiseParallel(), "linear2": RowwiseParallel()}
        for layer in model.encoder.layers:
            parallelize_module(layer, mesh["tensor"], plan)
    if "shards" in names:
        data = mesh[tuple(name for name in ("replicas", "shards") if name in names)]
        for part in (*model.encoder.layers, model):
            fully_shard(part, mesh=data)
    return model


def make_mesh(sizes: Mapping[str, int], *, device: str = "cpu") -> DeviceMesh:
    return init_device_mesh(device, tuple(sizes.values()), mesh_dim_names=tuple(sizes))


def make_optimizer(model: nn.Module, kind: str = "adamw") -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.1)
    # Some gradients are rounding errors alone: with a large eps, Adam doesn't divide them by their own size.
    return torch.optim.AdamW(model.parameters(), lr=0.01, eps=1e-3)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    weights = {name: part.detach() for name, part in model.state_dict().items()}
    return {
        name: (part.full_tensor() if isinstance(part, DTensor) else part).cpu().clone()
        for name, part in weights.items()
    }


def train(
    folder: Path,
    *,
    steps: int,
    save_every: int = 0,
    sizes: Mapping[str, int] = {},
    device: str = "cpu",
    optimizer_kind: str = "adamw",
    num_samples: int | None = NUM_SAMPLES,
    pause: float = 0.0,
) -> dict[str, Tensor]:
    """Train up to a step from the newest checkpoint in a folder, log what is read, and return the weights."""
    mesh = make_mesh(sizes, device=device) if sizes else None
    data = None if mesh is None else mesh[tuple(name for name in sizes if name != "tensor")]
    rank, world_size = rank_and_world_size(data)
    model = make_model(mesh, device=device)
    optimizer = make_optimizer(model, optimizer_kind)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 5], gamma=0.5)
    batches = loader(make_pipeline(num_samples=num_samples), rank, world_size, device=torch.device(device))
    newest = find_checkpoint(folder)
    if newest is not None:
        load_checkpoint(newest, model, optimizer, batches, others={"schedule": schedule})
    start = batches.consumed_samples // BATCH_SIZE
    loss_func = CONFIG.get_loss_reduction_class()()
    with CheckpointWriter(folder) as checkpoints, Path(folder, "log.jsonl").open("a") as log:
        for step, batch in zip(range(start, steps), batches, strict=False):
            line = log_line(step=step, rank=rank, ids=batch["row"], world_size=world_size)
            print(line, file=log, flush=True)
            loss = loss_func.forward(batch, model(batch))
            total = sum_over_ranks(loss, None if data is None else flat_group(data))
            optimizer.zero_grad()
            scale_for_ranks(loss, total.num_tokens, world_size).backward()
            optimizer.step()
            schedule.step()
            if save_every and (step + 1) % save_every == 0:
                checkpoints.save(step + 1, model, optimizer, batches, others={"schedule": schedule})
            time.sleep(pause)
    return weights_of(model)


def flat_group(mesh: DeviceMesh) -> Any:
    return mesh.get_group() if mesh.ndim == 1 else mesh._flatten().get_group()
