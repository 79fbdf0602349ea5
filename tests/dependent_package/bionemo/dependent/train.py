"""Train in a plain loop, as a pure function, under Lightning or Megatron: `python -m bionemo.dependent.train`."""

import json
import sys
from functools import partial

import torch
from lightning.pytorch import Callback, Trainer

from bionemo.adapters.lightning import PipelineDataModule, TrainableModule
from bionemo.adapters.megatron import (
    MegatronWrapper,
    forward_step,
    iter_micro_batches,
    mean_reports,
    model_parallel,
    rank_and_world_size,
)
from bionemo.core.model.config import build_model
from bionemo.core.model.functional import apply, init_params
from bionemo.core.model.loss import mean_loss
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data.pipes import loader
from bionemo.dependent.data import make_pipeline
from bionemo.dependent.model import StrandConfig

SEED = 7
OPTIMIZER = partial(torch.optim.SGD, lr=0.5)


def by_a_plain_loop(config: StrandConfig, steps: int) -> list[float]:
    """Return the loss of each step."""
    model = build_model(config, generator=make_generator(SEED, "model"))
    loss_class = config.get_loss_reduction_class()()
    optimizer, losses = OPTIMIZER(model.parameters()), []
    for step, batch in enumerate(loader(make_pipeline(SEED), batches_per_epoch=steps)):
        with random_torch_context(make_generator(SEED, "step", step, 0)):
            loss = loss_class.reduce([loss_class.forward(batch, model(batch))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def as_a_pure_function(config: StrandConfig, steps: int) -> list[float]:
    """Return the loss of each step, computed as a pure function of the parameters."""
    loss_class = config.get_loss_reduction_class()()

    def loss_fn(params: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return mean_loss([loss_class.forward(batch, apply(config, params, batch, training=True))])

    params, losses = init_params(config, generator=make_generator(SEED, "model")), []
    for step, batch in enumerate(loader(make_pipeline(SEED), batches_per_epoch=steps)):
        with random_torch_context(make_generator(SEED, "step", step, 0)):
            gradients, loss = torch.func.grad_and_value(loss_fn)(params, batch)
        params = {name: part - 0.5 * gradients[name] for name, part in params.items()}
        losses.append(float(loss))
    return losses


class _Losses(Callback):
    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.found.append(float(trainer.callback_metrics["train_loss"]))


def under_lightning(config: StrandConfig, steps: int) -> list[float]:
    """Return the loss of each step."""
    losses = _Losses()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        callbacks=[losses],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    module = TrainableModule(config, optimizer=OPTIMIZER, generator=make_generator(SEED, "model"), seed=SEED)
    trainer.fit(module, PipelineDataModule(train=make_pipeline(SEED), batches_per_epoch=steps))
    return losses.found


def under_megatron(config: StrandConfig, steps: int) -> list[float]:
    """Return the loss of each step, with megatron-core's schedule and gradient buffers: needs CUDA, real or mocked."""
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
    from megatron.core.pipeline_parallel import get_forward_backward_func

    losses = []
    with model_parallel():
        model = MegatronWrapper(build_model(config, generator=make_generator(SEED, "model")))
        model = DistributedDataParallel(model.config, DistributedDataParallelConfig(), model)
        batches = iter_micro_batches(loader(make_pipeline(SEED), *rank_and_world_size()))
        optimizer = OPTIMIZER(model.parameters())
        for _ in range(steps):
            model.zero_grad_buffer()
            optimizer.zero_grad()
            reports = get_forward_backward_func()(
                forward_step_func=partial(forward_step, loss=config.get_loss_reduction_class()(), seed=SEED),
                data_iterator=batches,
                model=model,
                num_microbatches=1,
                seq_length=40,
                micro_batch_size=8,
            )
            for parameter in model.parameters():
                parameter.grad = parameter.main_grad
            optimizer.step()
            losses.append(float(mean_reports(reports)["loss"]))
    return losses


WAYS = {
    "plain": by_a_plain_loop,
    "functional": as_a_pure_function,
    "lightning": under_lightning,
    "megatron": under_megatron,
}

if __name__ == "__main__":
    found = {name: WAYS[name](StrandConfig(dropout=float(sys.argv[1])), 10) for name in sys.argv[2:]}
    sys.stdout.write(json.dumps(found))
