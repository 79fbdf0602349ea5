"""Valid calls of models, losses and adapters."""

from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from bionemo.adapters import distributed, huggingface, megatron
from bionemo.adapters import lightning as lightning_adapter
from bionemo.core.model import config as model_config
from bionemo.core.model import cross_entropy, functional, loss
from bionemo.data import pipes
from tests.fuzzing.calls.parts import IDS, LOSS, PIPELINE, SIZES, Call, LinearConfig, call, generator, rng


def model_calls() -> Iterator[Call]:
    config = LinearConfig()
    yield call(model_config.build_model, generator, config=config)
    yield call(functional.init_params, generator, config=config)
    params = functional.init_params(config, generator=rng())
    yield call(functional.apply, config=config, params=params, args=(torch.ones(1, 2),), training=False)
    yield call(cross_entropy.TokenCrossEntropy, validation_step=False)
    yield from (
        call(function, losses=[LOSS, LOSS]) for function in (loss.add_losses, loss.mean_loss, loss.mean_metrics)
    )
    yield call(loss.scale_for_ranks, loss=LOSS, num_tokens=torch.tensor(3), world_size=2)
    yield call(loss.sum_over_ranks, loss=LOSS, group=None)
    yield call(
        cross_entropy.token_cross_entropy, logits=torch.ones(3, 4), labels=torch.arange(3), weights=torch.ones(3)
    )
    makers = {"optimizer": torch.optim.SGD, "lr_scheduler": None}
    yield call(lightning_adapter.TrainableModule, generator, config=config, **makers, seed=3)
    pipelines = {"train": PIPELINE, "validation": PIPELINE, "test": None, "predict": None}
    yield call(lightning_adapter.PipelineDataModule, **pipelines, batches_per_epoch=2, num_workers=0)
    yield call(lightning_adapter.find_checkpoint, folder=Path(__file__).parent)
    yield call(lightning_adapter.check_checkpoint, path=Path("does not exist"))
    model = torch.nn.Linear(1, 1)
    parts = {"model": model, "optimizer": torch.optim.SGD(model.parameters()), "batches": pipes.loader(PIPELINE)}
    yield call(distributed.find_checkpoint, folder=Path(__file__).parent)
    yield call(distributed.load_checkpoint, path=Path("does not exist"), **parts, others={})
    yield call(distributed.CheckpointWriter, folder=Path(__file__).parent, keep=2)
    yield call(distributed.rank_and_world_size, ranks=None)
    accelerated = {"batches": pipes.loader(PIPELINE), "accelerator": Accelerator(cpu=True)}
    yield call(huggingface.accelerate_loader, **accelerated)
    yield call(huggingface.gather_parts, accelerator=accelerated["accelerator"], values={"ids": IDS})
    transformer = megatron.TransformerSizes(**SIZES)
    shape = {"ffn_hidden_size": 16, "num_query_groups": 2, "hidden_dropout": 0.1, "attention_dropout": 0.1, "extra": {}}
    yield call(megatron.TransformerSizes, **SIZES, **shape)
    options = {"vocab_size": 8, "max_length": 4, "position_embedding_type": "rope"}
    for kind in (megatron.MegatronGPTConfig, megatron.MegatronBertConfig):
        yield call(kind, transformer=transformer, **options, share_embeddings_and_output_weights=False)
    yield call(megatron.split_into_micro_batches, pipeline=PIPELINE, num_micro_batches=2)
    yield call(megatron.transformer_config, sizes=transformer, cls=None)
    yield call(megatron.iter_micro_batches, loader=pipes.loader(PIPELINE), device="cpu")
    yield call(megatron.mean_reports, reports=[{"loss": torch.tensor([1.0, 2.0])}], group=None)
    micro_batch = megatron.MicroBatch({"ids": IDS}, 3, 0)
    batches = {"model": len, "loss": cross_entropy.TokenCrossEntropy(), "seed": 3}
    yield call(megatron.forward_step, lambda: {"batches": iter([micro_batch])}, **batches)
