"""Micro-batches of a pipeline, and the forward step that megatron-core's schedules call with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import attrs
import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor

from bionemo.adapters.megatron.parallel import context_rank_and_size, data_parallel_size, pipeline_stage
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.model.loss import divisor_of
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import Pipeline, shard_for_context_parallel
from bionemo.data.pipeline.steps import step_of
from bionemo.data.pipes.device import to_device
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["MicroBatch", "forward_step", "iter_micro_batches", "mean_reports", "split_into_micro_batches"]

Report: TypeAlias = dict[str, Float[Tensor, " 2"]]
"""By name, a sum over tokens and the number of these tokens."""


class MicroBatch(NamedTuple):
    """A rank's part of one micro-batch, with the coordinates that its randomness is derived from."""

    batch: Any
    """This rank's part, as the pipeline's `collate` returned it."""
    step: int
    """Index of the micro-batch, counted over the whole run."""
    rank: int
    """Data-parallel rank."""


@checked
def split_into_micro_batches(
    pipeline: Pipeline[Any], num_micro_batches: AnyInt, /, *, world_size: AnyInt | None = None
) -> Pipeline[Any]:
    """Return a pipeline whose batches are the micro-batches of another pipeline's batches.

    A step's batch is split into micro-batches first, and each micro-batch into the ranks' parts, as in Megatron's
    sampler.

    Laws: the micro-batches of all ranks together are the whole batch; the number of consumed samples means the same, so
    that a loader's state can be loaded with any number of micro-batches.

    Args:
        pipeline: its `batch_size` is the number of samples per optimizer step, over all ranks together. A finite order
            has `num_batches(pipeline)` steps.
        num_micro_batches: number of micro-batches per step; a divisor of `batch_size`.
        world_size: number of data-parallel ranks; by default that of megatron-core's process groups, or 1 if there are
            none.

    Raises:
        ValueError: if it is no divisor, a micro-batch has fewer samples than there are ranks, or the last step would be
            short. Megatron-core's schedules support neither an empty part nor a short step.

    Example:
        >>> from bionemo.data import EpochOrder, batch_at
        >>> order = EpochOrder(length=8, seed=1, shuffle=False)
        >>> pipeline = Pipeline(order=order, sources="abcdefgh", batch_size=8, seed=2, collate="".join)
        >>> [batch_at(split_into_micro_batches(pipeline, 2), step, rank, 2) for rank in range(2) for step in range(2)]
        ['ab', 'ef', 'cd', 'gh']
    """
    number = check_int(num_micro_batches, name="num_micro_batches", low=1)
    if pipeline.batch_size is None:
        message = (
            f"the steps of a {type(pipeline.order).__name__} can't be split. Set its bins_per_step to the bins of one "
            "micro-batch over all ranks, and take num_micro_batches batches of its loader per optimizer step."
        )
        raise ValueError(message)
    if pipeline.batch_size % number:
        message = (
            f"batch_size must be a multiple of num_micro_batches, got batch_size={pipeline.batch_size} and "
            f"num_micro_batches={number}."
        )
        raise ValueError(message)
    split = attrs.evolve(pipeline, batch_size=pipeline.batch_size // number)
    _check_micro_batch(
        split, check_int(data_parallel_size() if world_size is None else world_size, name="world_size", low=1)
    )
    num_samples = pipeline.order.num_samples
    if not pipeline.drop_last and num_samples is not None and num_samples % pipeline.batch_size:
        message = (
            f"all steps must be full, got {num_samples} samples in steps of {pipeline.batch_size}. "
            "Set drop_last=True in the pipeline."
        )
        raise ValueError(message)
    return split


def _check_micro_batch(pipeline: Pipeline[Any], world_size: int) -> None:
    if pipeline.batch_size is not None and pipeline.batch_size < world_size:
        message = (
            f"each micro-batch must have a sample for every rank, got micro-batches of {pipeline.batch_size} samples "
            f"and {world_size} data-parallel ranks. Split a batch into fewer micro-batches, or raise batch_size."
        )
        raise ValueError(message)


@checked
def iter_micro_batches(loader: Any, /, *, device: torch.device | str | None = None) -> Iterator[MicroBatch]:
    """Return an iterator over a loader's batches with their coordinates, as the `data_iterator` of schedules.

    Context-parallel ranks get their part of each batch. The iterator ends when the loader pauses, after
    `batches_per_epoch` batches; call this function again to continue. The only state to save is the loader's.

    Args:
        loader: a `PipelineLoader`: `loader(split_into_micro_batches(pipeline, n), *rank_and_world_size())`. Each rank
            has its own, also ranks that share a model.
        device: device that tensors are moved to, inside mappings and sequences as well, and other objects with a method
            `to`; None moves nothing.

    Raises:
        TypeError: if it is another kind of loader.
        ValueError: if its batches have fewer samples than there are ranks.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=8, seed=1, shuffle=False)
        >>> pipeline = Pipeline(order=order, sources="abcdefgh", batch_size=4, seed=2, collate="".join)
        >>> next(iter_micro_batches(loader(pipeline, start=4)))
        MicroBatch(batch='efgh', step=1, rank=0)
    """
    if not isinstance(loader, PipelineLoader):
        message = f"loader must be a loader of bionemo.data.pipes, got an object of type {type(loader).__name__}."
        raise TypeError(message)
    _check_micro_batch(loader.pipeline, loader.world_size)
    return _iter_micro_batches(loader, device)


def _iter_micro_batches(loader: PipelineLoader[Any], device: torch.device | str | None) -> Iterator[MicroBatch]:
    rank, size = context_rank_and_size()
    for whole in loader:
        batch = whole if size == 1 else shard_for_context_parallel(whole, rank, size)
        moved = batch if device is None else to_device(batch, device)
        yield MicroBatch(moved, step_of(loader.pipeline, loader.last_positions.start), loader.rank)


@checked
def forward_step(
    batches: Iterator[Any], model: Callable[[Any], Any], /, *, loss: Any, seed: AnyInt
) -> tuple[Any, Callable[[Any], tuple[Tensor, Tensor, Report]]]:
    """Return a model's output for the next micro-batch, and the function that computes the loss from it.

    Pass `partial(forward_step, loss=..., seed=...)` to megatron-core's schedules as `forward_step_func`. The model's
    configuration needs `calculate_per_token_loss=True`, which all models built by this library have: then every token
    of a step has the same weight, whatever its rank and micro-batch.

    The model's random draws (dropout) come from `(seed, "step", step, rank)` of the micro-batch, and on later
    pipeline-parallel stages and context-parallel ranks from these as well. So there is no random state to save, and
    ranks that share layers draw the same. Sequence parallelism and layers of Transformer Engine are the exception: they
    draw from megatron-core's own tracker, whose state must be saved.

    Args:
        batches: an iterator from `iter_micro_batches`.
        model: called with the batch.
        loss: an object whose `forward(batch, output)` returns a `LossSum`, e.g. `config.get_loss_reduction_class()()`.
        seed: 0..2**63-1.

    Returns:
        The output, and a function that takes it and returns the sum of the loss, the number of tokens, and a report for
        `mean_reports`.

    Raises:
        RuntimeError: if there is no batch left.
        TypeError: if a batch isn't from `iter_micro_batches`.

    Example:
        >>> from bionemo.core.model.cross_entropy import TokenCrossEntropy
        >>> batch = {"x": torch.zeros(1, 3, 4), "labels": torch.tensor([[1, 2, -100]])}
        >>> step = partial(forward_step, loss=TokenCrossEntropy(), seed=42)
        >>> output, loss_func = step(iter([MicroBatch(batch, step=0, rank=0)]), lambda batch: batch["x"])
        >>> loss_func(output)
        (tensor(2.7726), tensor(2), {'loss': tensor([2.7726, 2.0000], dtype=torch.float64)})
    """
    try:
        micro_batch = next(batches)
    except StopIteration as error:
        message = (
            "batches must hold all micro-batches of a step, but ended before. Run no more steps than the order has."
        )
        raise RuntimeError(message) from error
    if not isinstance(micro_batch, MicroBatch):
        message = f"batches must be those of iter_micro_batches(loader), got one of type {type(micro_batch).__name__}."
        raise TypeError(message)
    # The first stage and context-parallel rank draw as a plain loop and Lightning do, from step and rank alone.
    stage, part = pipeline_stage(), context_rank_and_size()[0]
    purpose = (micro_batch.step, micro_batch.rank, *(("stage", stage) if stage else ()))
    purpose += ("context", part) if part else ()
    with random_torch_context(make_generator(seed, "step", *purpose)):
        output = model(micro_batch.batch)
    return output, partial(_reported_loss, loss, micro_batch.batch)


def _reported_loss(loss: Any, batch: Any, output: Any) -> tuple[Tensor, Tensor, Report]:
    loss_sum, num_tokens, metrics = loss.forward(batch, output)
    if num_tokens.is_floating_point():
        message = f"weights must be integers for megatron-core, got {num_tokens.dtype}: 10 and 1, not 1 and 0.1."
        raise TypeError(message)
    if "loss" in metrics:
        message = 'metrics must not be named "loss", the name of the loss itself in reports. Rename the metric.'
        raise ValueError(message)
    sums = {"loss": loss_sum, **metrics}
    return loss_sum, num_tokens, {n: torch.stack([part.detach().double(), num_tokens]) for n, part in sums.items()}


@checked
def mean_reports(
    reports: Sequence[Mapping[str, Float[Tensor, " 2"]]], /, *, group: torch.distributed.ProcessGroup | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Return the per-token mean of the loss and of each metric, over the micro-batches of all ranks of a group.

    Every rank of the group must call it, with reports of the same names.

    Args:
        reports: what a schedule returns: one report per micro-batch; none before the last pipeline-parallel stage.
        group: megatron-core's `get_data_parallel_group(with_context_parallel=True)`; None for this rank alone.

    Returns:
        Means by name; 0 if there is no token.

    Example:
        >>> mean_reports([{"loss": torch.tensor([6.0, 2.0])}, {"loss": torch.tensor([0.0, 1.0])}])
        {'loss': tensor(2.)}
    """
    for number, report in enumerate(reports):
        if not isinstance(report, Mapping):
            message = f"reports must hold mappings from names to tensors, got reports[{number}]={shown(report)}."  # type: ignore[unreachable]
            raise TypeError(message)
        for name, total in report.items():
            is_dense = isinstance(total, torch.Tensor) and not total.is_nested
            is_pair = is_dense and total.shape == (2,) and total.is_floating_point()
            if name not in reports[0] or not is_pair:
                found = f"reports[{number}][{shown(name)}]={shown(total)}"
                message = f"reports must hold the same names, and tensors of a sum and a number, got {found}."
                raise ValueError(message)
    means = {}
    for name in sorted(reports[0]) if reports else ():
        total = torch.stack([report[name] for report in reports]).sum(0)
        if group is not None:
            torch.distributed.all_reduce(total, group=group)
        means[name] = total[0] / divisor_of(total[1])
    return means
