"""Resumes of transformers' Trainer."""

import tempfile
from collections.abc import Callable
from typing import Any

import torch

from tests.peers.verdicts import compared

REQUIREMENTS = ("transformers==5.23.0", "accelerate==1.15.0")


class Numbers:
    """A data set of numbers."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def __len__(self) -> int:
        return 48

    def __getitem__(self, idx: int) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(self.first + idx)])}


class Reader(torch.nn.Module):
    """A model that remembers what it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.seen = torch.nn.Linear(1, 1), []

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(x.flatten().int().tolist())
        return {"loss": self.linear(x).square().mean()}


def cases() -> dict[str, Callable[[], str]]:
    from transformers import Trainer, TrainingArguments

    def train(folder: str, last: int, resume: str | None = None, size: int = 4, first: int = 0) -> list[list[int]]:
        options: dict[str, Any] = {"per_device_train_batch_size": size, "save_steps": 3, "seed": 1}
        quiet: dict[str, Any] = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "logging_strategy": "no"}
        model = Reader()
        arguments = TrainingArguments(folder, max_steps=last, **options, **quiet)
        Trainer(model, arguments, train_dataset=Numbers(first)).train(resume_from_checkpoint=resume)
        return model.seen

    def resumed(stop: int, last: int, *, twice: bool = False, **options: Any) -> str:
        """Return what a run reads that is saved at one step and resumed to the last: an epoch is 12 steps of 4."""
        with tempfile.TemporaryDirectory() as folder:
            whole = train(f"{folder}/whole", 12 if stop < 12 else last)
            steps = train(f"{folder}/run", stop)
            if twice:
                steps += train(f"{folder}/run", stop + 3, f"{folder}/run/checkpoint-{stop}")
                stop += 3
            steps += train(f"{folder}/run", last, f"{folder}/run/checkpoint-{stop}", **options)
            return compared(sum(whole, []), steps)

    return {
        "within an epoch": lambda: resumed(3, 12),
        "twice": lambda: resumed(3, 12, twice=True),
        "within the second epoch": lambda: resumed(15, 24),
        "at the end of an epoch": lambda: resumed(12, 24),
        "batches of 4 → 8": lambda: resumed(3, 6, size=8),
        "other data": lambda: "accepted" if "samples" in resumed(3, 12, first=100) else "refuses",
    }
