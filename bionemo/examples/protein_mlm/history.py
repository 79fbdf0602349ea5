"""The history of a run: recorded at each step, saved in checkpoints, written as a table and a plot."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from bionemo.core.files import write_atomically
from bionemo.examples.protein_mlm.command_line import say

__all__ = ["History", "ProgressLines", "plot_losses", "rows_as_csv"]

Row = dict[str, Any]
"""Value of each column; None if it was not measured."""


class History(Callback):
    """A callback that records one row of measurements per step; checkpoints hold it, so a resumed run continues it.

    The columns of a row are `step`, the number of steps done; `train_loss`, the loss of that step in nats per token;
    `held_out_loss`, if it was measured after that step; `tokens`, the real tokens of the step's batch; and `cells`, its
    real tokens and padding together.

    Args:
        path: CSV file of the table, rewritten whenever the held-out loss is measured.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[int, Row] = {}
        self.seconds = 0.0
        self.tokens = 0
        self._since = 0.0

    def _row(self, step: int) -> Row:
        blank: Row = {"step": step, "train_loss": None, "held_out_loss": None, "tokens": None, "cells": None}
        return self.rows.setdefault(step, blank)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the loss and the size of a step."""
        row = self._row(trainer.global_step)
        row["train_loss"] = float(trainer.callback_metrics["train_loss"])
        row["tokens"], row["cells"] = int(batch["mask"].sum()), batch["mask"].numel()
        now = time.perf_counter()
        self.seconds, self.tokens, self._since = self.seconds + now - self._since, self.tokens + row["tokens"], now

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock: a run resumed in the middle of an epoch has no epoch start."""
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Restart the clock: the time between two epochs is not training."""
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record the held-out loss and write the table."""
        self._row(trainer.global_step)["held_out_loss"] = float(trainer.callback_metrics["val_loss"])
        self.write()

    def write(self) -> None:
        """Write the table."""
        content = rows_as_csv(list(self.rows.values())).encode()
        write_atomically(self.path, lambda file: file.write(content))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows to save in a checkpoint."""
        return {"rows": [dict(row) for row in self.rows.values()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = {row["step"]: row for row in state_dict["rows"]}


class ProgressLines(Callback):
    """A callback that prints a line per epoch: in a log, a progress bar would be a line per step.

    Args:
        history: holds the losses.
        steps: the last step.
    """

    def __init__(self, history: History, *, steps: int) -> None:
        self.history, self.steps = history, steps

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Print the losses of the last step."""
        row = self.history.rows[trainer.global_step]
        losses = {"train": row["train_loss"], "held-out": row["held_out_loss"]}
        measured = ", ".join(f"{name} loss {loss:.3f}" for name, loss in losses.items() if loss is not None)
        say(f"step {row['step']:,} of {self.steps:,}: {measured}")


def rows_as_csv(rows: Sequence[Row], /) -> str:
    r"""Return rows as comma-separated values, sorted by step; what was not measured is an empty field.

    Example:
        >>> rows_as_csv([{"step": 1, "train_loss": 2.5, "held_out_loss": None, "tokens": 7, "cells": 8}])
        'step,train_loss,held_out_loss,tokens,cells\r\n1,2.5,,7,8\r\n'
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["step", "train_loss", "held_out_loss", "tokens", "cells"])
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["step"] or 0))
    return text.getvalue()


def plot_losses(rows: Sequence[Row], /, *, baseline: float | None) -> bytes:
    """Return a PNG of the losses over the steps, with a horizontal line at the baseline if it is not None."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(
        xlabel="step", ylabel="loss (nats per hidden residue)", title="Masked-language model of proteins"
    )
    series: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("train_loss", "train, each step", {"color": "0.75", "linewidth": 1}),
        ("held_out_loss", "held out", {"color": "tab:blue", "marker": "o", "markersize": 4}),
    )
    for name, label, style in series:
        points = [
            (row["step"], row[name]) for row in sorted(rows, key=lambda row: row["step"] or 0) if row[name] is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    if baseline is not None:
        axes.axhline(baseline, color="tab:red", linestyle="--", label="unigram entropy, held out")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()
