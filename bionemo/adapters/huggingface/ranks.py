"""Which part of each batch a process of an Accelerator reads, and loaders that read it."""

from typing import Any, Final

import attrs

from bionemo.core.checks import shown
from bionemo.core.extras import require
from bionemo.data.pipes.loader import PipelineLoader

__all__ = ["check_template", "options_for_rank", "rank_and_world_size"]

_UNSUPPORTED: Final = ("DEEPSPEED", "MEGATRON_LM", "XLA")
"""Kinds of distributed training that make or deal batches themselves."""


def rank_and_world_size(accelerator: Any, /) -> tuple[int, int]:
    """Return the data-parallel rank of this process, and the number of data-parallel ranks.

    Processes that share a model by tensor or context parallelism have the same rank, so they get equal batches.

    Args:
        accelerator: an `accelerate.Accelerator`.

    Raises:
        TypeError: if it is something else.
        ValueError: if it trains in a way that this adapter doesn't support.

    Example:
        >>> from accelerate import Accelerator
        >>> rank_and_world_size(Accelerator(cpu=True))
        (0, 1)
    """
    if not isinstance(accelerator, require("accelerate", extra="huggingface").Accelerator):
        message = f"accelerator must be an accelerate.Accelerator, got accelerator={shown(accelerator)}."
        raise TypeError(message)
    kind = str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type))
    parallelism = accelerator.parallelism_config
    if kind in _UNSUPPORTED or (parallelism is not None and parallelism.sp_size > 1):
        kind = kind if kind in _UNSUPPORTED else f"sp_size={parallelism.sp_size}"
        message = (
            f"accelerator must not deal batches itself, got {kind}. Train by DDP or FSDP, with tensor or context "
            "parallelism if a model needs it."
        )
        raise ValueError(message)
    if accelerator.dispatch_batches:
        message = (
            "dispatch_batches must be False, got dispatch_batches=True. Each process reads its own part of a batch."
        )
        raise ValueError(message)
    # The mesh of devices has the dimensions dp_replicate, dp_shard, cp, tp, from the outermost to the innermost.
    sharing = 1 if parallelism is None else parallelism.tp_size * parallelism.cp_size
    return accelerator.process_index // sharing, accelerator.num_processes // sharing


def check_template(batches: Any, /, *, name: str) -> None:
    """Check that an object is a loader from which those of the ranks can be made.

    Raises:
        TypeError: if it isn't what `bionemo.data.pipes.loader` returned.
        ValueError: if it is the loader of one of several ranks.

    Example:
        >>> check_template("abc", name="train_dataset")
        Traceback (most recent call last):
        TypeError: train_dataset must be a loader, got train_dataset='abc'. Pass bionemo.data.pipes.loader(pipeline).
    """
    if type(batches) is not PipelineLoader:
        message = f"{name} must be a loader, got {name}={shown(batches)}. Pass bionemo.data.pipes.loader(pipeline)."
        raise TypeError(message)
    if batches.world_size > 1:
        message = (
            f"{name} must have world_size=1, got rank={batches.rank} and world_size={batches.world_size}. Leave both "
            "out: the accelerator knows them."
        )
        raise ValueError(message)


def options_for_rank(batches: PipelineLoader[Any], accelerator: Any, /) -> dict[str, Any]:
    """Return the arguments of this process's loader: those of a loader for one process, with this rank and device.

    Example:
        >>> from accelerate import Accelerator
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> order = EpochOrder(length=5, seed=7)
        >>> batches = PipelineLoader(Pipeline(order=order, sources="abcde", batch_size=2, seed=42), num_threads=3)
        >>> options = options_for_rank(batches, Accelerator(cpu=True))
        >>> options["rank"], options["world_size"], options["num_threads"], options["device"]
        (0, 1, 3, None)
    """
    rank, world_size = rank_and_world_size(accelerator)
    options = {field.name: getattr(batches, field.name) for field in attrs.fields(PipelineLoader) if field.init}
    if not batches.restart:
        options["start"] = batches.consumed_samples
    if batches.device is None and accelerator.device_placement and accelerator.device.type != "cpu":
        options["device"] = accelerator.device
    return options | {"rank": rank, "world_size": world_size}
