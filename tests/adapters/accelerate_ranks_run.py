"""Program for test_huggingface_accelerate.py: loaders of two processes, without the import of transformers."""

import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.parallelism_config import ParallelismConfig
from torch.utils.data import DataLoader

from bionemo.adapters.huggingface import accelerate_loader, gather_parts
from bionemo.adapters.huggingface.ranks import rank_and_world_size
from bionemo.data import EpochOrder, Pipeline
from bionemo.data.pipes import batch_sampler, loader

PIPELINE = Pipeline(order=EpochOrder(length=40, seed=1), sources=torch.arange(40), batch_size=5, seed=1)


def refusal(*arguments) -> str:
    try:
        accelerate_loader(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def main(folder: str) -> None:
    seen: dict = {"refused": refusal(loader(PIPELINE), Accelerator(cpu=True))}
    config = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2, dataloader_config=config)
    batches = accelerate_loader(loader(PIPELINE, batches_per_epoch=5), accelerator)
    seen["ids"], seen["gathered"], seen["synced"] = [], [], []
    for _ in range(2):
        for ids in batches:
            with accelerator.accumulate():
                seen["ids"].append(ids.tolist())
                seen["gathered"].append(gather_parts(accelerator, {"ids": ids})["ids"].tolist())
                seen["synced"].append(accelerator.sync_gradients)
            if len(seen["ids"]) == 2:
                accelerator.save_state(folder)
    accelerator.load_state(folder)
    seen["resumed"] = next(iter(batches)).tolist()
    try:
        accelerator.prepare(DataLoader(range(40), batch_sampler=batch_sampler(PIPELINE, batches_per_epoch=5)))
    except RuntimeError as error:
        seen["refused_to_deal"] = str(error)
    seen["sharing"] = {}
    for name in ("tp_size", "cp_size", "dp_shard_size"):
        # On the CPU, accelerate makes no mesh of devices.
        accelerator.state.parallelism_config = ParallelismConfig(**{name: 2})
        seen["sharing"][name] = rank_and_world_size(accelerator)
    accelerator.state.parallelism_config = ParallelismConfig(sp_size=2)
    seen["refused_sp"] = refusal(loader(PIPELINE), accelerator)
    Path(folder, f"seen-{accelerator.process_index}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
