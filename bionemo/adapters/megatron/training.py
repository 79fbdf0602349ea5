"""Batches of a pipeline, and the step that megatron-core's schedules call with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import attrs
import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor

from bionemo.adapters.megatron.parallel import pipeline_stage
from bionemo.core.utils.checks import AnyInt, check_int
from bionemo.core.utils.random_utils import make_generator, random_torch_context
from bionemo.data import Pipeline
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["MicroBatch", "cut_micro_batches", "forward_step", "mean_reports", "micro_batches"]

Report: TypeAlias = dict[str, Float[Tensor, " 2"]]
"""A sum and the number of tokens that it is over, by the name of what is summed."""


class MicroBatch(NamedTuple):
    """What a schedule is handed at a time, and its place."""

    batch: Any
    """This rank's part, as the pipeline's collate made it."""
    step: int
    """Number of the micro-batch in the training order."""
    rank: int
    """Data-parallel rank."""


def cut_micro_batches(pipeline: Pipeline[Any], num_micro_batches: AnyInt, /) -> Pipeline[Any]:
    """Return a pipeline whose batches are the micro-batches of another's.

    A step's batch is cut into micro-batches first, and each of them into the ranks' parts, as Megatron's sampler does
    it. Laws: the micro-batches of all ranks together are the whole batch; consumed samples count alike, so that a
    loader's state may be of any number of micro-batches.

    Args:
        pipeline: `batch_size` is that of an optimizer's step, over all ranks together. Of an order with an end, there
            are `num_batches(pipeline)` steps.
        num_micro_batches: how many a step has; a divisor of `batch_size`.

    Raises:
        ValueError: if it is no divisor, or the last step would be a short one, for which schedules have no place.

    Example:
        >>> from bionemo.data import EpochOrder, batch_at
        >>> order = EpochOrder(length=8, seed=1, shuffle=False)
        >>> pipeline = Pipeline(order=order, sources="abcdefgh", batch_size=8, seed=2, collate="".join)
        >>> [batch_at(cut_micro_batches(pipeline, 2), step, rank, 2) for rank in range(2) for step in range(2)]
        ['ab', 'ef', 'cd', 'gh']
    """
    number = check_int(num_micro_batches, name="num_micro_batches", low=1)
    if pipeline.batch_size % number:
        message = (
            f"batch_size must be a multiple of num_micro_batches, got batch_size={pipeline.batch_size} and "
            f"num_micro_batches={number}."
        )
        raise ValueError(message)
    num_samples = pipeline.order.num_samples
    if pipeline.tail == "short" and num_samples is not None and num_samples % pipeline.batch_size:
        message = (
            f"all steps must be whole, got {num_samples} samples in steps of {pipeline.batch_size}. "
            'Give the pipeline tail="drop".'
        )
        raise ValueError(message)
    return attrs.evolve(pipeline, batch_size=pipeline.batch_size // number)


def _on_device(batch: Any, device: torch.device | str) -> Any:
    if hasattr(batch, "to"):  # a tensor, or what else knows how to move
        return batch.to(device, non_blocking=True) if isinstance(batch, Tensor) else batch.to(device)
    if isinstance(batch, Mapping):
        return {name: _on_device(part, device) for name, part in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [_on_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def micro_batches(batches: Any, /, *, device: torch.device | str | None = None) -> Iterator[MicroBatch]:
    """Return an iterator over what a loader delivers, with the places: what schedules are handed.

    As the loader, it ends behind `batches_per_epoch` batches, where those were asked for; make it anew to go on.

    The loader's own state, its consumed samples, is the one to save: there is no other.

    Args:
        batches: a `PipelineLoader`, `loader(cut_micro_batches(pipeline, num_micro_batches), *data_parallel_place())`,
            on ranks that share a model each its own.
        device: where tensors go, in mappings, sequences and whatever has a `to`; None leaves them where they are.

    Raises:
        TypeError: if it is another loader.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=8, seed=1, shuffle=False)
        >>> pipeline = Pipeline(order=order, sources="abcdefgh", batch_size=4, seed=2, collate="".join)
        >>> next(micro_batches(loader(pipeline, start=4)))
        MicroBatch(batch='efgh', step=1, rank=0)
    """
    if not isinstance(batches, PipelineLoader):
        message = f"batches must be a loader of bionemo.data.pipes, got one of type {type(batches).__name__}."
        raise TypeError(message)
    return _micro_batches(batches, device)


def _micro_batches(batches: PipelineLoader[Any], device: torch.device | str | None) -> Iterator[MicroBatch]:
    for batch in batches:
        moved = batch if device is None else _on_device(batch, device)
        yield MicroBatch(moved, batches.last_positions.start // batches.pipeline.batch_size, batches.rank)


def forward_step(
    batches: Iterator[Any], model: Callable[[Any], Any], /, *, loss: Any, seed: AnyInt
) -> tuple[Any, Callable[[Any], tuple[Tensor, Tensor, Report]]]:
    """Return a model's output for the next micro-batch, and the function from it to the loss.

    Hand `partial(forward_step, loss=..., seed=...)` to megatron-core's schedules as `forward_step_func`, and have
    `calculate_per_token_loss=True` in the model's configuration, as those built by this library's records have it: then
    all tokens of a step weigh alike, on whatever rank and in whichever micro-batch. What the model draws (dropout)
    comes from `(seed, "step", step, rank)` of the micro-batch, on later stages of a pipeline also from the stage: no
    random state has to be saved, and ranks that share layers draw alike. (Not so with sequence parallelism or layers of
    Transformer Engine: these draw from megatron-core's own tracker, whose state is to be saved.)

    Args:
        batches: as `micro_batches` yields them.
        model: called with the batch.
        loss: has `forward(batch, output)`, which answers with a `LossSum`: `config.get_loss_reduction_class()()`.
        seed: 0..2**63-1.

    Returns:
        The output; and a function of it, which answers with the sum of the loss, the number of tokens, and a report for
        `mean_reports`.

    Raises:
        RuntimeError: if there is no batch left.
        TypeError: if a batch isn't one of `micro_batches`.

    Example:
        >>> from bionemo.core.model.loss import TokenCrossEntropy
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
            "batches must hold as many as a step has micro-batches, but are at their end. "
            "Take a loader that doesn't pause within a step, and no more steps than the order has."
        )
        raise RuntimeError(message) from error
    if not isinstance(micro_batch, MicroBatch):
        message = f"batches must be those of micro_batches(loader), got a {type(micro_batch).__name__}."
        raise TypeError(message)
    stage = pipeline_stage()
    place = (micro_batch.step, micro_batch.rank, *(("stage", stage) if stage else ()))
    with random_torch_context(make_generator(seed, "step", *place)):
        output = model(micro_batch.batch)
    return output, partial(_reported_loss, loss, micro_batch.batch)


def _reported_loss(loss: Any, batch: Any, output: Any) -> tuple[Tensor, Tensor, Report]:
    loss_sum, num_tokens, metrics = loss.forward(batch, output)
    if "loss" in metrics:
        message = 'metrics must not be called "loss", which is how the loss is reported. Give it another name.'
        raise ValueError(message)
    sums = {"loss": loss_sum, **metrics}
    return loss_sum, num_tokens, {n: torch.stack([part.detach().double(), num_tokens]) for n, part in sums.items()}


def mean_reports(
    reports: Sequence[Mapping[str, Float[Tensor, " 2"]]], /, *, group: torch.distributed.ProcessGroup | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Return the mean a token of the loss and each metric, over the micro-batches of all ranks of a group.

    Every rank of the group must call it, with reports of the same names.

    Args:
        reports: what a schedule returns: one a micro-batch; none on other stages than a pipeline's last.
        group: megatron-core's `get_data_parallel_group()`; None for this rank alone.

    Returns:
        Means by name; 0 where there is no token.

    Example:
        >>> mean_reports([{"loss": torch.tensor([6.0, 2.0])}, {"loss": torch.tensor([0.0, 1.0])}])
        {'loss': tensor(2.)}
    """
    means = {}
    for name in sorted(reports[0]) if reports else ():
        total = torch.stack([report[name] for report in reports]).sum(0)
        if group is not None:
            torch.distributed.all_reduce(total, group=group)
        means[name] = total[0] / total[1].clamp(min=1)
    return means
