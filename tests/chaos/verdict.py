"""The check at the end of a history: the run's own log, and what the final weights have seen. Pure functions."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from bionemo.data import LoggedBatch, Pipeline, verify_run

ROUNDING = 1e-9
"""Largest difference of weights in double precision if the number of ranks has changed."""

SEEN = "seen"


class Verdict(NamedTuple):
    """What a history has come to."""

    lost: int
    """Number of samples that the final weights were not trained on."""
    repeated: int
    """Number of times that they were trained on a sample once more."""
    problems: list[str]
    """All that is wrong."""


def judge(
    log: Iterable[LoggedBatch],
    pipeline: Pipeline,
    weights: Mapping[str, Tensor],
    *,
    expected: Mapping[str, Tensor] | None,
    is_exact: bool,
    any_batch_size: bool,
) -> Verdict:
    """Return what a history has come to.

    Args:
        log: all that was logged, by all starts.
        pipeline: the run's pipeline.
        weights: the final weights, with the number of times that each sample of each epoch was seen.
        expected: the weights of the uninterrupted run; None if no equality is promised.
        is_exact: whether they are equal to the bit, or to rounding.
        any_batch_size: whether the batch size has changed.
    """
    seen, problems = weights[SEEN], []
    lost, repeated = int((seen == 0).sum()), int((seen - 1).clamp(min=0).sum())
    if lost or repeated:
        problems.append(f"the final weights lack {lost} samples and have seen {repeated} again")
    try:
        summary = verify_run(log, pipeline, any_batch_size=any_batch_size)
    except AssertionError as error:
        problems.append(f"the log: {error}")
    else:
        if summary.first_step or summary.num_samples != pipeline.order.num_samples:
            problems.append(
                f"the log must begin at step 0 and hold all samples, got {summary}. Lines after the last step were cut."
            )
    if expected is not None:
        difference = largest_difference(weights, expected)
        if difference > (0 if is_exact else ROUNDING):
            kind = "to the bit" if is_exact else "to rounding"
            problems.append(
                f"the weights must equal those of the uninterrupted run {kind}, but differ by {difference:.2g}"
            )
    return Verdict(lost, repeated, problems)


def largest_difference(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Return the largest difference of two runs' weights; infinity if they have other names or shapes."""
    names = set(weights) - {SEEN}
    if names != set(expected) - {SEEN} or any(weights[name].shape != expected[name].shape for name in names):
        return float("inf")
    return max(float(torch.nan_to_num((weights[name] - expected[name]).abs(), torch.inf).max()) for name in names)
