"""Training with megatron-core's own schedules, gradient buffers, optimizers and checkpoints."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from bionemo.adapters.megatron import (
    MegatronBertConfig,
    MegatronGPTConfig,
    MicroBatch,
    TransformerSizes,
    forward_step,
    iter_micro_batches,
    mean_reports,
    model_parallel,
    rank_and_world_size,
    split_into_micro_batches,
)
from bionemo.core.model.config import build_model
from bionemo.core.random import integers_at, make_generator
from bionemo.data import (
    EpochOrder,
    PackedOrder,
    Pipeline,
    RaggedField,
    ScalarField,
    Source,
    collate_fields,
    collate_packed,
    mask_packed_tokens,
    mask_tokens,
    next_packed_labels,
    next_token_labels,
)
from bionemo.data.pipes import loader

VOCAB_SIZE, MAX_LENGTH, PACKED_LENGTH = 32, 20, 64
KINDS = {"gpt": MegatronGPTConfig, "bert": MegatronBertConfig}


def as_sample(row: int) -> dict[str, Any]:
    """Return a row of 1 to 19 tokens, each 1 or 2 above the one before it."""
    steps = integers_at(row, torch.arange(integers_at(7, row, 19) + 1), 2) + 1
    return {"row": row, "ids": 2 + steps.cumsum(0) % 30}


def label_next(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:
    return {**batch, "labels": next_token_labels(batch["ids"], batch["mask"])}


def hide(batch: Mapping[str, Tensor], *, seeds: Tensor) -> dict[str, Tensor]:
    masked = mask_tokens(
        batch["ids"], batch["mask"], seeds=seeds, mask_id=1, replacement_ids=range(2, 32), mask_prob=0.4
    )
    return {**batch, "ids": masked.ids, "labels": masked.labels}


def make_pipeline(kind: str = "gpt") -> Pipeline:
    return Pipeline(
        order=EpochOrder(length=50, seed=1),
        sources=Source(list(range(50)), transform=as_sample),
        batch_size=8,
        seed=2,
        collate=partial(
            collate_fields,
            fields={"ids": RaggedField(torch.int64), "row": ScalarField(torch.int64)},
            padding_len=MAX_LENGTH,
        ),
        batch_transform={"gpt": label_next, "bert": hide}[kind],
    )


def make_packed_pipeline(kind: str = "gpt") -> Pipeline:
    """Return a pipeline of the same rows, packed into one bin per step and data-parallel rank."""
    fields = {"ids": RaggedField(torch.int64), "row": ScalarField(torch.int64)}
    return Pipeline(
        order=PackedOrder(
            order=EpochOrder(length=50, seed=1),
            lengths=[len(as_sample(row)["ids"]) for row in range(50)],
            max_tokens=PACKED_LENGTH,
            bins_per_step=rank_and_world_size()[1],
            divisible_by=4,
            window_size=50,
            seed=3,
        ),
        sources=Source(list(range(50)), transform=as_sample),
        seed=2,
        collate=partial(collate_packed, fields=fields, divisible_by=4, length=PACKED_LENGTH),
        batch_transform={"gpt": label_next_packed, "bert": hide_packed}[kind],
    )


def label_next_packed(batch: Mapping[str, Any], *, seeds: Tensor) -> dict[str, Any]:
    return {**batch, "labels": next_packed_labels(batch)}


def hide_packed(batch: Mapping[str, Any], *, seeds: Tensor) -> dict[str, Any]:
    return mask_packed_tokens(batch, seeds=seeds, mask_id=1, replacement_ids=range(2, 32), mask_prob=0.4)


def make_config(kind: str = "gpt", dropout: float = 0.1, **fields: Any) -> MegatronGPTConfig | MegatronBertConfig:
    sizes = TransformerSizes(
        num_layers=2, hidden_size=32, num_attention_heads=4, hidden_dropout=dropout, attention_dropout=dropout
    )
    return KINDS[kind](transformer=sizes, vocab_size=VOCAB_SIZE, max_length=MAX_LENGTH, **fields)


def record_rows(batches: Iterator[MicroBatch], rows: list[list[int]]) -> Iterator[MicroBatch]:
    for micro_batch in batches:
        rows.append(micro_batch.batch["row"].tolist())
        yield micro_batch


def train(
    kind: str = "gpt",
    *,
    dropout: float = 0.1,
    steps: int = 20,
    num_micro_batches: int = 2,
    packed: bool = False,
    sizes: Mapping[str, int] = {},
    position_embedding_type: str = "rope",
    share_embeddings: bool = False,
    save_at: int | None = None,
    checkpoint: str | None = None,
    resume: bool = False,
    backend: str = "gloo",
    device: str | None = None,
    layer_spec: Any = None,
    optimizer_options: Mapping[str, Any] = {},
) -> dict[str, list]:
    """Return the loss of each step over all ranks, the rows of this rank's micro-batches, and some weights."""
    with model_parallel(backend=backend, **sizes):
        from megatron.core import dist_checkpointing, parallel_state
        from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
        from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
        from megatron.core.pipeline_parallel import get_forward_backward_func

        config = make_config(
            kind,
            dropout,
            position_embedding_type=position_embedding_type,
            share_embeddings_and_output_weights=share_embeddings,
        )
        model = build_model(config, generator=make_generator(1), layer_spec=layer_spec).to(device)
        options = {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.01, "clip_grad": 0.0, **optimizer_options}
        is_sharded = options.get("use_distributed_optimizer", False)
        ddp = DistributedDataParallelConfig(use_distributed_optimizer=is_sharded)
        model = DistributedDataParallel(model.config, ddp, model)
        optimizer = get_megatron_optimizer(OptimizerConfig(**options), [model])
        if packed:
            pipeline = make_packed_pipeline(kind)
        else:
            pipeline = split_into_micro_batches(make_pipeline(kind), num_micro_batches)
        batches = loader(pipeline, *rank_and_world_size())

        def state(*, is_loading: bool) -> dict[str, Any]:
            sharded = model.module.sharded_state_dict()
            moments = optimizer.sharded_state_dict(sharded, is_loading=is_loading)
            return {"model": sharded, "optimizer": moments, "batches": batches.state_dict()}

        if resume:
            loaded = dist_checkpointing.load(state(is_loading=True), checkpoint)
            model.module.load_state_dict(loaded["model"])
            optimizer.load_state_dict(loaded["optimizer"])
            batches.load_state_dict(loaded["batches"])
        step_func = partial(forward_step, loss=config.get_loss_reduction_class()(), seed=7)
        rows: list[list[int]] = []
        losses: list[float] = []
        iterator = record_rows(iter_micro_batches(batches, device=device), rows)
        for step in range(steps):
            if step == save_at:
                Path(checkpoint).mkdir(exist_ok=True)
                torch.distributed.barrier()
                dist_checkpointing.save(state(is_loading=False), checkpoint)
            model.zero_grad_buffer()
            optimizer.zero_grad()
            reports = get_forward_backward_func()(
                forward_step_func=step_func,
                data_iterator=iterator,
                model=model,
                num_microbatches=num_micro_batches,
                seq_length=PACKED_LENGTH if packed else MAX_LENGTH,
                micro_batch_size=1 if packed else 8 // num_micro_batches // batches.world_size,
            )
            optimizer.step()
            group = parallel_state.get_data_parallel_group(with_context_parallel=True)
            means = mean_reports(reports, group=group)
            losses += [float(mean) for mean in means.values()]
        first = next(parameter for name, parameter in model.named_parameters() if name.endswith("linear_qkv.weight"))
        return {"losses": losses, "rows": rows, "weights": first.detach().flatten()[:8].tolist()}
