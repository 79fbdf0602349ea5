"""The position of the data in the checkpoints of transformers' Trainer."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.state import loader_state

__all__ = ["Checkpoint", "DataPosition", "check_counts", "counts", "newest_checkpoint", "read_checkpoint"]


class DataPosition(TrainerCallback, ExportableState):
    """Puts the position after the last optimizer step into `trainer_state.json`, the last file of a checkpoint.

    The position and the number of steps are in one file, so a checkpoint has both or neither.
    """

    def __init__(self) -> None:
        self._batches: Any = None
        self._position = 0
        self._counts: dict[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Take the loader that the Trainer is about to read."""
        steps = objects["train_dataloader"].dataset
        self._batches, self._position = steps.batches, steps.batches.consumed_samples
        self._counts = counts(steps.batches.pipeline, steps.num_batches, args)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Note the position: the batches of this step have been read, and no others."""
        self._position = self._batches.consumed_samples

    def state(self) -> dict[str, Any]:
        """Return what is saved; nothing before a training."""
        if self._batches is None:
            return {"args": {}, "attributes": {}}
        data = loader_state(self._batches.pipeline, self._position)
        return {"args": {}, "attributes": {"data": data, "counts": self._counts}}


def counts(pipeline: Pipeline[Any], num_batches: int | None, arguments: Any, /) -> dict[str, Any]:
    """Return the numbers by which the Trainer counts epochs; they may change only if it counts steps.

    Example:
        >>> from transformers import TrainingArguments
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=5, seed=42)
        >>> counts(pipeline, 10, TrainingArguments("runs", use_cpu=True))
        {'batch_size': 5, 'batches_per_epoch': 10, 'gradient_accumulation_steps': 1}
    """
    return {
        "batch_size": pipeline.batch_size,
        "batches_per_epoch": num_batches,
        "gradient_accumulation_steps": arguments.gradient_accumulation_steps,
    }


def check_counts(saved: Mapping[str, Any], now: Mapping[str, Any], /) -> None:
    """Check that the Trainer counts epochs as it did before.

    Raises:
        ValueError: if it doesn't.

    Example:
        >>> check_counts({"batch_size": 5}, {"batch_size": 4})
        Traceback (most recent call last):
        ValueError: batch_size must be 5 as in the checkpoint, got batch_size=4: the Trainer would count other epochs.
        Give TrainingArguments max_steps=... to change it.
    """
    for name, value in now.items():
        if saved.get(name) != value:
            message = (
                f"{name} must be {saved.get(name)} as in the checkpoint, got {name}={value}: the Trainer would count "
                "other epochs. Give TrainingArguments max_steps=... to change it."
            )
            raise ValueError(message)


@attrs.frozen(kw_only=True)
class Checkpoint:
    """What a checkpoint says about the data."""

    global_step: int
    """Number of optimizer steps."""
    data: dict[str, Any]
    """State of the loader."""
    counts: dict[str, Any]
    """Numbers by which the Trainer counted epochs."""


def read_checkpoint(folder: str | Path, /) -> Checkpoint:
    """Return what a checkpoint says about the data.

    Raises:
        ValueError: if it has no state of a loader.
        OSError: if its `trainer_state.json` can't be read.

    Example:
        >>> read_checkpoint("missing")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing/trainer_state.json'
    """
    state = json.loads(Path(folder, "trainer_state.json").read_text())
    saved = (state.get("stateful_callbacks") or {}).get(DataPosition.__name__) or {}
    if not (isinstance(saved, dict) and saved.get("attributes")):
        message = (
            f"resume_from_checkpoint must hold the position of the data, got {str(folder)!r}, saved by another "
            "Trainer. Load its weights, and begin at a position with loader(pipeline, start=...)."
        )
        raise ValueError(message)
    return Checkpoint(global_step=state["global_step"], **saved["attributes"])


def newest_checkpoint(folder: str | Path, /) -> str | None:
    """Return the newest checkpoint in a folder whose `trainer_state.json` is whole, or None.

    Warns:
        UserWarning: if a newer one isn't.

    Example:
        >>> newest_checkpoint("missing")
    """
    found = [path for path in Path(folder).glob("checkpoint-*") if path.name.split("-")[1].isdecimal()]
    for path in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text())
        except (OSError, ValueError):
            warnings.warn(f"{path} is incomplete: its writer was stopped. It is not used.", UserWarning, stacklevel=3)
        else:
            return str(path)
    return None
