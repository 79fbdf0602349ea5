"""What the runs of `make chaos` train: a model that counts, in its own weights, how often it has seen each sample."""

import json
import time
from pathlib import Path
from typing import Any

import attrs
import torch
import torch.distributed
from torch import Tensor, nn

from bionemo.core.model.config import BionemoTrainableModelConfig
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.random import integers_at
from bionemo.data import EpochIndex, EpochOrder, Pipeline, Source, log_line

LENGTH, EPOCHS = 96, 10
NUM_SAMPLES = LENGTH * EPOCHS
"""The samples of a whole run: each of its epochs has all samples of the data set once."""

BATCH_SIZE = 6
LIGHTNING_EPOCH = 48
"""Samples between two ends of a Lightning epoch, where the batch size may change."""


@attrs.frozen(kw_only=True)
class Failure:
    """An error that a run makes by itself: in a step or in the data set, on one rank, at a position of the order."""

    kind: str
    position: int
    rank: int = 0
    hook: int = 0
    """Which part of a step raises."""


@attrs.frozen(kw_only=True)
class Settings:
    """How a run is started; `folder` is what all starts of one run share."""

    folder: str
    progress: str
    """A file to which the first rank appends the position of each step as it begins."""
    seed: int = 1
    batch_size: int = BATCH_SIZE
    num_workers: int = 0
    num_threads: int = 0
    dropout: float = 0.0
    pause: float = 0.0
    """Seconds that a step sleeps."""
    failure: Failure | None = None


class FailedStepError(Exception):
    """Raised in a step that shall fail."""


class Rows:
    """A data set of five tokens and the position at which each sample of each epoch is counted; some reads fail."""

    def __init__(self, broken: tuple[int, int] | None = None) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: EpochIndex) -> tuple[list[int], list[int]]:
        epoch, idx = index
        if (epoch, idx) == self.broken:
            message = f"[Errno 5] Input/output error of sample {idx} in epoch {epoch}"
            raise OSError(message)
        return [integers_at(idx, number, 8) for number in range(5)], [epoch, idx]


def stack(rows: list[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
    """Collate rows; those of several ranks have unequal numbers of labels."""
    ids = torch.tensor([tokens for tokens, _ in rows], dtype=torch.int64).reshape(len(rows), 5)
    index = torch.tensor([index for _, index in rows], dtype=torch.int64).reshape(len(rows), 2)
    return {"ids": ids, "labels": ids.where(ids < 5, -100), "index": index}


def make_pipeline(settings: Settings) -> Pipeline[dict[str, Tensor]]:
    order = EpochOrder(length=LENGTH, seed=settings.seed, num_samples=NUM_SAMPLES)
    broken = None
    if settings.failure is not None and settings.failure.kind == "data":
        found = order.index_at(settings.failure.position)
        broken = int(found.epoch), int(found.idx)
    return Pipeline(
        order=order,
        sources=Source(Rows(broken), index="epoch", fingerprint="chaos"),
        batch_size=settings.batch_size,
        seed=settings.seed,
        collate=stack,
    )


class CountingModel(nn.Module):
    """Predicts each token from itself; its buffer `seen` counts each sample of each epoch that it was trained on.

    The buffer is saved and loaded with the weights: it is what the weights have seen, whatever a log says.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(8, 6), nn.Dropout(dropout), nn.Linear(6, 8)).double()
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(NUM_SAMPLES, dtype=torch.int64))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        if self.training:
            epoch, idx = batch["index"].unbind(dim=1)
            counts = torch.bincount(epoch * LENGTH + idx, minlength=NUM_SAMPLES)
            if torch.distributed.is_initialized():
                torch.distributed.all_reduce(counts)
            self.seen += counts
        return self.layers(batch["ids"])


@attrs.frozen
class CountingConfig(BionemoTrainableModelConfig[CountingModel, TokenCrossEntropy]):
    dropout: float

    def configure_model(self) -> CountingModel:
        return CountingModel(self.dropout)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        return TokenCrossEntropy


class RunLog:
    """The run's own log, of all its starts and ranks, and the progress that the one who injects faults waits for."""

    def __init__(self, settings: Settings, *, rank: int, world_size: int) -> None:
        self.settings, self.rank, self.world_size = settings, rank, world_size
        # Open until the process ends, however it ends.
        self.log = Path(settings.folder, "log.jsonl").open("a", buffering=1)  # noqa: SIM115
        self.progress = Path(settings.progress).open("a", buffering=1)  # noqa: SIM115

    def write(self, step: int, start: int, batch: dict[str, Tensor]) -> None:
        """Log a batch whose step begins."""
        ids = [[0, *index] for index in batch["index"].tolist()]
        # One write per line: the ranks append to the same file.
        self.log.write(log_line(step=step, rank=self.rank, ids=ids, world_size=self.world_size) + "\n")
        if self.rank == 0:
            self.progress.write(f"{start}\n")
        time.sleep(self.settings.pause)

    def fail(self, positions: range, hook: int) -> None:
        """Raise in one part of the step that shall fail."""
        failure = self.settings.failure
        if failure is None or failure.kind != "step" or failure.rank % self.world_size != self.rank:
            return
        if failure.position in positions and failure.hook == hook:
            message = f"a step fails in its part {hook}"
            raise FailedStepError(message)


def settings_from(text: str) -> Settings:
    """Return the settings of a run, from the JSON that a program gets as its argument."""
    fields: dict[str, Any] = json.loads(text)
    failure = fields.pop("failure")
    return Settings(**fields, failure=None if failure is None else Failure(**failure))


def settings_text(settings: Settings) -> str:
    return json.dumps(attrs.asdict(settings))
