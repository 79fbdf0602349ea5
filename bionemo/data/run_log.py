"""Logs of what a run has read, and their verification against the pipeline's record."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import as_int64
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import step_start

__all__ = ["LoggedBatch", "RunSummary", "log_line", "read_run_log", "verify_run"]

_PARTS = len(SampleIndex._fields)


class LoggedBatch(NamedTuple):
    """What a rank has read at a step."""

    step: int
    rank: int
    ids: list[Any]
    """The index of each sample in its data set; for several data sets, `[source, epoch, idx]`."""
    world_size: int | None = None
    """Number of ranks; None for as many as the log has."""


class RunSummary(NamedTuple):
    """What a verified log holds."""

    first_step: int
    num_steps: int
    num_samples: int
    num_replaced: int
    """Number of logged batches that a later one of the same step replaces: a killed run has read them, and the resumed
    run has read them again."""


@checked
def log_line(*, step: AnyInt, rank: AnyInt, ids: Any, world_size: AnyInt | None = None) -> str:
    """Return a line of a run log, without its line break: a batch as a rank has read it, as JSON.

    Args:
        step: number of the batch.
        rank: data-parallel rank.
        ids: the index of each sample in its data set, from the data itself: integers, or a row `source, epoch, idx`
            per sample.
        world_size: number of ranks; needed if it changes during the run.

    Raises:
        TypeError: if a value is not an integer.
        ValueError: if a number is negative.

    Example:
        >>> log_line(step=3, rank=0, ids=[17, 4])
        '{"step": 3, "rank": 0, "ids": [17, 4]}'
    """
    line = {"step": check_int(step, name="step"), "rank": check_int(rank, name="rank")}
    size = {} if world_size is None else {"world_size": check_int(world_size, name="world_size", low=1)}
    return json.dumps({**line, "ids": as_int64(ids, name="ids").tolist(), **size})


@checked
def read_run_log(path: str | Path) -> list[LoggedBatch]:
    """Return the batches in a run log: a file of lines like those of `log_line`.

    Raises:
        OSError: if the file can't be read.
        ValueError: if a line is not such a line; the message names it. A last line that a killed process has cut
            short is left out.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     print(log_line(step=3, rank=0, ids=[17, 4]), file=file, flush=True)
        ...     read_run_log(file.name)
        [LoggedBatch(step=3, rank=0, ids=[17, 4], world_size=None)]
    """
    text = Path(path).read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == text.count("\n") + 1:  # without a line break
                break
            message = f"line {number} of {path} must be JSON, got {shown(line)}."
            raise ValueError(message) from error
        found.append(_logged(entry, f"line {number} of {path}"))
    return found


def _logged(entry: Any, where: str) -> LoggedBatch:
    if not isinstance(entry, Mapping) or not {"step", "rank", "ids"} <= entry.keys():
        message = f"{where} must hold step, rank and ids, got {shown(entry)}."
        raise ValueError(message)
    try:
        step, rank = (check_int(entry[name], name=name) for name in ("step", "rank"))
        size = None if entry.get("world_size") is None else check_int(entry["world_size"], name="world_size", low=1)
        return LoggedBatch(step, rank, as_int64(entry["ids"], name="ids").tolist(), size)
    except (TypeError, ValueError) as error:
        message = f"{where}: {error}"
        raise ValueError(message) from error


@checked
def verify_run(log: Iterable[LoggedBatch], pipeline: Pipeline[Any]) -> RunSummary:
    """Check after the fact that a run has read what its pipeline says: no sample lost, none repeated, in its order.

    The ranks of a step, one after the other, must have read the samples of the positions that follow those of the step
    before. So the number of ranks and the batch size may have changed during the run. If a step of a rank was logged
    twice, because the run was killed and resumed, the later one counts.

    Args:
        log: batches in the order in which they were logged.
        pipeline: the pipeline of the run; its data sets are not read.

    Returns:
        What the log holds.

    Raises:
        AssertionError: if the log differs from the pipeline; the message names step, rank and position.
        ValueError: if the log is empty, or its ids don't tell the pipeline's sources apart.

    Example:
        >>> from bionemo.data import EpochOrder, describe_batch
        >>> pipeline = Pipeline(order=EpochOrder(length=10, seed=7), sources=range(10), batch_size=4, seed=1)
        >>> log = [LoggedBatch(step, 0, [row.idx for row in describe_batch(pipeline, step)]) for step in range(5)]
        >>> verify_run(log, pipeline)
        RunSummary(first_step=0, num_steps=5, num_samples=20, num_replaced=0)
        >>> verify_run([log[0], log[2]], pipeline)
        Traceback (most recent call last):
        AssertionError: step 1 must be in the log, which holds step 0 and step 2.
    """
    latest: dict[tuple[int, int], LoggedBatch] = {}
    sizes: dict[int, int | None] = {}
    num_replaced = 0
    for batch in log:
        if not isinstance(batch, LoggedBatch):
            message = f"log must hold what read_run_log returns, got {shown(batch)}."  # type: ignore[unreachable]
            raise TypeError(message)
        num_replaced += (batch.step, batch.rank) in latest
        latest[batch.step, batch.rank] = batch
        sizes[batch.step] = batch.world_size
    if not latest:
        message = "log must hold at least one batch, got none."
        raise ValueError(message)
    num_ranks = 1 + max(rank for _, rank in latest)
    steps = sorted(sizes)
    start = first = step_start(pipeline, steps[0])
    for before, step in zip([steps[0] - 1, *steps], steps, strict=False):
        if step != before + 1:
            message = f"step {before + 1} must be in the log, which holds step {before} and step {step}."
            raise AssertionError(message)
        for rank in range(sizes[step] or num_ranks):
            if (step, rank) not in latest:
                message = (
                    f"rank {rank} must have read step {step}, but it is not in the log. Pass the logs of all ranks."
                )
                raise AssertionError(message)
            start = _verify_batch(latest[step, rank], pipeline, start)
    return RunSummary(steps[0], len(steps), start - first, num_replaced)


def _verify_batch(batch: LoggedBatch, pipeline: Pipeline[Any], start: int) -> int:
    """Check the samples of a batch, the first of which is at a position; return the position after the last."""
    order = pipeline.order
    stop = start + len(batch.ids)
    where = f"step {batch.step} of rank {batch.rank}"
    if order.num_samples is not None and stop > order.num_samples:
        message = (
            f"{where} must end with the order, at position {order.num_samples}, but it has {stop - start} samples."
        )
        raise AssertionError(message)
    if not batch.ids:
        return stop
    index = index_at(order, range(start, stop))
    ids = np.array(batch.ids, dtype=np.int64).reshape(len(batch.ids), -1)
    if ids.shape[1] != _PARTS and (ids.shape[1] != 1 or order.num_sources > 1):
        message = (
            f"ids must be [source, epoch, idx] per sample for {order.num_sources} sources, got {shown(batch.ids)} in "
            f"{where}."
        )
        raise ValueError(message)
    expected = index.idx[:, None] if ids.shape[1] == 1 else np.stack(index, axis=1)
    differs = (ids != expected).any(axis=1)
    if differs.any():
        number = int(differs.argmax())
        message = (
            f"{where} must have read sample {expected[number].tolist()} at position {start + number}, but its sample "
            f"{number} is {ids[number].tolist()}."
        )
        raise AssertionError(message)
    return stop
