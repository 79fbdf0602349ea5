"""Verification of a run's log against the record of its pipeline."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import IntArray, shown
from bionemo.core.int64 import listed
from bionemo.data.orders.order import SampleIndex, index_at
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.steps import rank_positions, step_bounds, step_start
from bionemo.data.run_log import LoggedBatch

__all__ = ["RunSummary", "verify_run"]

_PARTS: Final = len(SampleIndex._fields)


class RunSummary(NamedTuple):
    """What a verified log holds."""

    first_step: int
    num_steps: int
    num_samples: int
    num_replaced: int
    """Number of logged batches that the resumed run replaces: a killed run has read them after its last checkpoint."""
    num_incomplete: int
    """Number of last steps that not all ranks have logged, because the run was killed: they are left out."""


@checked
def verify_run(log: Iterable[LoggedBatch], pipeline: Pipeline[Any], *, any_batch_size: bool = False) -> RunSummary:
    """Check after the fact that a run has read what its pipeline says: no sample lost, none repeated, in its order.

    If a rank has logged a step twice, because the run was killed and resumed, the later batch counts, and what the rank
    had logged after that step before is left out. The number of ranks may have changed during the run, if it was
    logged.

    Args:
        log: batches in the order in which they were logged.
        pipeline: the pipeline of the run; its data sets are not read.
        any_batch_size: whether the batch size may have changed during the run. Then the ranks of a step, one after the
            other, must have read the samples that follow those of the step before, however many there are.

    Returns:
        What the log holds.

    Raises:
        AssertionError: if the log differs from the pipeline; the message names step, rank and position.
        ValueError: if the log is empty, or its ids don't tell the pipeline's sources apart.

    Example:
        >>> from bionemo.data import EpochOrder, describe_batch
        >>> pipeline = Pipeline(order=EpochOrder(length=10, seed=7), sources=range(10), batch_size=4, seed=1)
        >>> log = [LoggedBatch(step, 0, [row.idx for row in describe_batch(pipeline, step)]) for step in range(5)]
        >>> verify_run(log, pipeline).num_samples
        20
        >>> verify_run([log[0], log[2]], pipeline)
        Traceback (most recent call last):
        AssertionError: step 1 must be in the log, which holds step 0 and step 2.
        >>> verify_run([log[0], log[1]._replace(ids=log[1].ids[:3])], pipeline)
        Traceback (most recent call last):
        AssertionError: rank 0 must have read all samples of its part of step 1, 4 from position 4 on, but the log
        has 3.
    """
    latest, num_replaced = _effective(listed(log, name="log"))
    sizes = {batch.step: batch.world_size for batch in latest.values()}
    latest = {key: batch for key, batch in latest.items() if batch.world_size == sizes[batch.step]}
    num_ranks = 1 + max(rank for _, rank in latest)
    steps = [(step, sizes[step] or num_ranks) for step in sorted(sizes)]
    complete = list(steps)
    while complete and any((complete[-1][0], rank) not in latest for rank in range(complete[-1][1])):
        complete.pop()
    start = first = step_start(pipeline, steps[0][0])
    for (step, world_size), expected, before in zip(complete, count(steps[0][0]), count(steps[0][0] - 1)):
        if step != expected:
            message = f"step {expected} must be in the log, which holds step {before} and step {step}."
            raise AssertionError(message)
        start = _verify_step(pipeline, start, _parts_of(latest, step, world_size), any_batch_size=any_batch_size)
    if not complete:
        message = f"rank {_missing(latest, *steps[0])} must be in the log. Pass the logs of all ranks."
        raise AssertionError(message)
    return RunSummary(steps[0][0], len(complete), start - first, num_replaced, len(steps) - len(complete))


def _effective(log: Iterable[Any]) -> tuple[dict[tuple[int, int], LoggedBatch], int]:
    """Return the batches that the final weights have seen, in their order, and the number of all others."""
    ranks: dict[int, list[int]] = {}  # the steps of each rank, ascending
    latest: dict[tuple[int, int], LoggedBatch] = {}
    num_replaced = 0
    for batch in log:
        if not isinstance(batch, LoggedBatch):
            message = f"log must hold what read_run_log returns, got {shown(batch)}."
            raise TypeError(message)
        steps = ranks.setdefault(batch.rank, [])
        while steps and steps[-1] >= batch.step:  # the run was resumed at this step
            del latest[steps.pop(), batch.rank]
            num_replaced += 1
        steps.append(batch.step)
        latest[batch.step, batch.rank] = batch
    if not latest:
        message = "log must hold at least one batch, got none."
        raise ValueError(message)
    return latest, num_replaced


def _missing(latest: Mapping[tuple[int, int], LoggedBatch], step: int, world_size: int) -> int:
    return next(rank for rank in range(world_size) if (step, rank) not in latest)


def _parts_of(
    latest: Mapping[tuple[int, int], LoggedBatch], step: int, world_size: int
) -> Iterator[tuple[LoggedBatch, int]]:
    for rank in range(world_size):
        if (step, rank) not in latest:
            message = f"rank {rank} must have read step {step}, but the log lacks it. Pass the logs of all ranks."
            raise AssertionError(message)
        yield latest[step, rank], world_size


def _verify_step(
    pipeline: Pipeline[Any], start: int, parts: Iterable[tuple[LoggedBatch, int]], *, any_batch_size: bool
) -> int:
    """Check what the ranks of a step have read, and return the position after the step."""
    if any_batch_size:
        for batch, _ in parts:
            end = pipeline.order.num_samples
            if end is not None and start + len(batch.ids) > end:
                message = f"the run must end at position {end}, but rank {batch.rank} reads on at step {batch.step}."
                raise AssertionError(message)
            _verify_samples(batch, pipeline, range(start, start + len(batch.ids)))
            start += len(batch.ids)
        return start
    bounds = step_bounds(pipeline, start)
    for batch, world_size in parts:
        positions = rank_positions(bounds, rank=batch.rank, world_size=world_size)
        if len(positions) != len(batch.ids):
            message = (
                f"rank {batch.rank} must have read all samples of its part of step {batch.step}, {len(positions)} from "
                f"position {positions.start} on, but the log has {len(batch.ids)}."
            )
            raise AssertionError(message)
        _verify_samples(batch, pipeline, positions)
    return bounds[-1]


def _verify_samples(batch: LoggedBatch, pipeline: Pipeline[Any], positions: range) -> None:
    """Check that a batch has the samples of some positions."""
    if not batch.ids:
        return
    order = pipeline.order
    expected = _rows(order.num_sources, batch, index_at(order, positions))
    ids = np.array(batch.ids, dtype=np.int64).reshape(len(batch.ids), -1)
    differs = (ids != expected).any(axis=1)
    if differs.any():
        number = int(differs.argmax())
        message = (
            f"rank {batch.rank} must have read sample {_shown_id(expected[number])} at step {batch.step}, position "
            f"{positions[number]}, but the log has {_shown_id(ids[number])}."
        )
        raise AssertionError(message)


def _rows(num_sources: int, batch: LoggedBatch, index: SampleIndex) -> IntArray:
    """Return samples as the log names them: by idx, or by source, epoch and idx."""
    width = np.array(batch.ids, dtype=np.int64).reshape(len(batch.ids), -1).shape[1]
    if width == _PARTS:
        return np.stack(index, axis=1)
    if width == 1 and num_sources == 1:
        rows: IntArray = index.idx[:, None]
        return rows
    message = (
        f"ids must be [source, epoch, idx] per sample for {num_sources} sources, got {shown(batch.ids)} at step "
        f"{batch.step}."
    )
    raise ValueError(message)


def _shown_id(row: IntArray) -> str:
    return str(row.tolist() if len(row) > 1 else int(row[0]))
