"""Runs of accelerate and of transformers' Trainer that are stopped and resumed, and the same runs without a stop.

As a program, started by torchrun, it reads a pickled list of runs, and makes them on every rank.
"""

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import attrs
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch.nn.functional import cross_entropy
from transformers import TrainingArguments

from bionemo.adapters.huggingface import PipelineTrainer, accelerate_loader
from bionemo.data.pipes import loader
from tests.adapters.huggingface_setups import Setup, evaluation_loader, model_of, training_loader


@attrs.frozen(kw_only=True)
class Run:
    """A setup, trained in a folder."""

    setup: Setup
    folder: str
    name: str
    is_resumed: bool = False
    killed_at: int | None = None
    """Batch before which the last rank kills itself, counted in this process."""
    ends_at: int | None = None
    """Optimizer step after which it ends."""


class StoppedError(Exception):
    """Raised to end a run."""


class Seen:
    """The batches of a run on this rank, in a file: a killed run leaves those that it has begun."""

    def __init__(self, run: Run, rank: int, world_size: int) -> None:
        self.run, self.number, self.is_last = run, 0, rank == world_size - 1
        self.path = Path(run.folder, f"{run.name}-{rank}.txt")
        self.path.parent.mkdir(exist_ok=True, parents=True)
        self.path.write_text("")

    def add(self, global_step: int, batch: Any) -> None:
        if self.number == self.run.killed_at and self.is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.number += 1
        with self.path.open("a") as file:
            file.write(f"{global_step} {batch['input_ids'].tolist()}\n")


def mean_over_tokens(outputs, labels, num_items_in_batch=None):
    losses = cross_entropy(outputs["logits"].flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    return losses / (num_items_in_batch if num_items_in_batch is not None else (labels != -100).sum())


class WatchedTrainer(PipelineTrainer):
    """Records the batches, and ends early if the run says so."""

    seen: Seen

    def training_step(self, model, inputs, *rest):
        if self.state.global_step == self.seen.run.ends_at:
            raise StoppedError
        self.seen.add(self.state.global_step, inputs)
        return super().training_step(model, inputs, *rest)


def arguments_of(setup: Setup, folder: str, world_size: int, **changes: Any) -> TrainingArguments:
    limit = {"max_steps": setup.max_steps} if setup.num_epochs is None else {"num_train_epochs": setup.num_epochs}
    evaluated = {} if setup.eval_steps is None else {"eval_strategy": "steps", "eval_steps": setup.eval_steps}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss"} if setup.load_best else {}
    given = {
        "per_device_train_batch_size": -(-setup.batch_size // world_size),
        "gradient_accumulation_steps": setup.accumulated,
        "save_steps": setup.save_steps,
        "learning_rate": 0.01,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(f"{folder}/checkpoints", **given | limit | evaluated | best | changes)


def trainer_of(run: Run, **changes: Any) -> WatchedTrainer:
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    setup = run.setup
    trainer = WatchedTrainer(
        model_of(setup),
        arguments_of(setup, run.folder, world_size, **changes),
        train_dataset=training_loader(setup),
        eval_dataset=evaluation_loader() if setup.eval_steps else None,
        compute_loss_func=mean_over_tokens if setup.model == "masked" else None,
    )
    trainer.seen = Seen(run, rank, world_size)
    return trainer


def train_with_trainer(run: Run):
    trainer = trainer_of(run)
    try:
        trainer.train(resume_from_checkpoint=run.is_resumed)
    except StoppedError:
        return None
    if run.setup.eval_steps:
        predicted = trainer.predict(evaluation_loader())
        Path(run.folder, f"{run.name}.pickle").write_bytes(pickle.dumps((predicted.predictions, predicted.label_ids)))
    return trainer.model


def token_mean(accelerator: Accelerator, model, batch):
    """Return the sum of a rank's losses, over the tokens of all ranks, so that DDP's mean is that of all tokens."""
    labels = batch["labels"]
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[:, :-1]
    losses = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
    num_tokens = accelerator.reduce((labels[:, 1:] != -100).sum())
    return losses / num_tokens * accelerator.num_processes


def accelerator_of(setup: Setup) -> Accelerator:
    config = DataLoaderConfiguration(split_batches=True)
    return Accelerator(cpu=True, gradient_accumulation_steps=setup.accumulated, dataloader_config=config)


def train_with_accelerate(run: Run):
    setup, folder = run.setup, Path(run.folder, "checkpoints")
    accelerator = accelerator_of(setup)
    model = model_of(setup)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 100)
    batches = accelerate_loader(training_loader(setup), accelerator)
    validation = accelerate_loader(loader(evaluation_loader().pipeline, restart=True), accelerator)
    model, optimizer, scheduler, prepared = accelerator.prepare(model, optimizer, scheduler, batches)
    assert prepared is batches
    seen, global_step = Seen(run, accelerator.process_index, accelerator.num_processes), 0
    torch.manual_seed(accelerator.process_index)
    if run.is_resumed:
        global_step = max(int(path.name) for path in folder.iterdir() if (path / "custom_checkpoint_0.pkl").exists())
        accelerator.load_state(folder / str(global_step))
    model.train()
    while global_step < setup.max_steps:
        for batch in batches:
            seen.add(global_step, batch)
            with accelerator.accumulate(model):
                accelerator.backward(token_mean(accelerator, model, batch))
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            global_step += 1
            if setup.eval_steps and global_step % setup.eval_steps == 0:
                model.eval()
                with torch.no_grad():
                    for part in validation:
                        model(**part)
                model.train()
            if global_step % setup.save_steps == 0:
                accelerator.save_state(folder / str(global_step))
            if global_step in {run.ends_at, setup.max_steps}:
                break
        if global_step == run.ends_at:
            break
    batches.close()
    return None if global_step == run.ends_at else accelerator.unwrap_model(model)


def train(run: Run) -> None:
    """Train a run; at its end the weights are saved."""
    model = {"accelerate": train_with_accelerate, "Trainer": train_with_trainer}[run.setup.library](run)
    if model is not None and os.environ.get("RANK", "0") == "0":
        torch.save(model.state_dict(), Path(run.folder, f"{run.name}.pt"))


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(Path(run.folder, f"{run.name}.pt"))


def seen_by(run: Run, rank: int) -> list[tuple[int, list]]:
    """Return the batches that a rank has begun, with the numbers of their optimizer steps."""
    lines = [line.split(" ", 1) for line in Path(run.folder, f"{run.name}-{rank}.txt").read_text().splitlines()]
    return [(int(step), eval(ids)) for step, ids in lines]


if __name__ == "__main__":
    for one in pickle.loads(Path(sys.argv[1]).read_bytes()):
        train(one)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
