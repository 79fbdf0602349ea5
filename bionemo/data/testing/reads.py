"""The laws of reading: a sample or batch depends on its index, and on nothing else."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed

from bionemo.core.checked import checked
from bionemo.core.int64 import listed
from bionemo.core.random import random_global_context
from bionemo.core.random.contexts import global_states
from bionemo.data.testing.content import content_digests, different_parts, listed_parts

__all__ = ["changed_states", "check_pure_reads", "check_same_on_ranks", "torch_and_numpy_states"]

Index = TypeVar("Index")


def torch_and_numpy_states() -> dict[str, Any]:
    """Return the global random states, except Python's, from which type checkers draw.

    Example:
        >>> list(torch_and_numpy_states())
        ['torch', 'NumPy']
    """
    return dict(zip(("torch", "NumPy"), global_states(), strict=False))


def changed_states(before: dict[str, Any], /) -> str:
    """Return the names of the global random states that have changed since.

    Example:
        >>> changed_states(torch_and_numpy_states())
        ''
    """
    return ", ".join(name for name, state in torch_and_numpy_states().items() if state != before[name])


def _read(read: Callable[[Index], Any], index: Index) -> Any:
    """Return the sample at an index, after checking that reading it left the global random states unchanged."""
    before = torch_and_numpy_states()
    try:
        sample = read(index)
    except Exception as error:
        error.add_note(f"in read({index!r}), called by check_pure_reads")
        raise
    if changed := changed_states(before):
        message = (
            f"read({index!r}) must leave the global random states unchanged, "
            f"but it changed that of {changed}. Draw from the sample's own generator."
        )
        raise AssertionError(message)
    return sample


def _read_all(
    read: Callable[[Index], Any], indices: list[Index], *, seed: int, backwards: bool = False
) -> list[dict[str, str]]:
    """Return the digests of the sample at each index, read with the global random states seeded.

    Each sample is digested twice: when it is read, and after all others are. If the digests differ, a later read has
    changed it.
    """
    numbers = range(len(indices))
    samples: dict[int, Any] = {}
    found: dict[int, dict[str, str]] = {}
    with random_global_context(seed):
        for number in reversed(numbers) if backwards else numbers:
            samples[number] = _read(read, indices[number])
            found[number] = content_digests(samples[number])
    for number in numbers:
        if parts := different_parts(found[number], content_digests(samples[number])):
            message = (
                f"read({indices[number]!r}) must return data of its own, but {listed_parts(parts)} changes "
                "when others are read. Return a copy of the buffer."
            )
            raise AssertionError(message)
    return [found[number] for number in numbers]


@checked
def check_pure_reads(read: Callable[[Index], Any], indices: Iterable[Index]) -> None:
    """Check that what is read depends only on the index.

    Every run that resumes needs this, and megatron-core requires it of a data set: an index gives the same data on
    every rank, in every worker, in any order, and each time it is read. The check finds reads that

    - change the global random state of torch or NumPy, also by seeding it,
    - depend on one of these states, or on Python's,
    - draw from a random state of their own, or depend on the time,
    - depend on what was read before, or return data that changes when others are read.

    It doesn't find what a data set draws once and keeps. `check_same_on_ranks` finds what differs only between
    processes, such as the hash of a string.

    Args:
        read: `dataset.__getitem__`, or `partial(batch_at, pipeline)` for the batches of a pipeline.
        indices: indices to read, four times each; a few different ones are enough.

    Raises:
        AssertionError: if a read breaks the law; the message names the index, the parts that differ, and the cause.
        TypeError: if what is read isn't data, so that it can't be compared.
        ValueError: if there are no indices.

    Example:
        >>> from functools import partial
        >>> from bionemo.data import EpochOrder, Pipeline, batch_at
        >>> rows = torch.arange(20).reshape(10, 2)
        >>> check_pure_reads(rows.__getitem__, range(10))
        >>> pipeline = Pipeline(order=EpochOrder(length=10, seed=1), sources=rows, batch_size=4, seed=2)
        >>> check_pure_reads(partial(batch_at, pipeline), range(5))
        >>> check_pure_reads(lambda idx: rows[idx] + torch.randint(9, (2,)), [3])
        Traceback (most recent call last):
        AssertionError: read(3) must leave the global random states unchanged, but it changed that of torch.
        Draw from the sample's own generator.
    """
    indices = listed(indices, name="indices")
    if not indices:
        message = "indices must hold at least one index, got none."
        raise ValueError(message)
    expected = _read_all(read, indices, seed=0)
    for found, cause in (
        (_read_all(read, indices, seed=0), "differs when it is read again"),
        (_read_all(read, indices, seed=1), "depends on a global random state"),
        (_read_all(read, indices, seed=0, backwards=True), "depends on what was read before"),
    ):
        for index, one, other in zip(indices, expected, found, strict=True):
            if parts := different_parts(one, other):
                message = (
                    f"read({index!r}) must depend only on the index, but {listed_parts(parts)} {cause}. "
                    "Draw what is random from the sample's own generator."
                )
                raise AssertionError(message)


@checked
def check_same_on_ranks(value: Any, *, group: torch.distributed.ProcessGroup | None = None) -> None:
    """Check that all ranks of a group hold the same value, e.g. the batch of a step; all of them must call it.

    Args:
        value: tensors, arrays and plain values in mappings, sequences and records.
        group: process group, e.g. megatron-core's `get_model_parallel_group()` for the ranks that share a model; None
            for all ranks. Without `torch.distributed` there is one rank, and nothing to compare.

    Raises:
        AssertionError: on every rank, if a rank differs from the first; the message names the rank and the parts.
        TypeError: on every rank, if a rank holds something that isn't data.

    Example:
        >>> check_same_on_ranks({"ids": torch.arange(3)})
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    try:
        own: dict[str, str] | str = content_digests(value)
    except TypeError as error:  # sent to the other ranks, which would wait forever
        own = str(error)
    digests: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(digests, own, group=group)
    for rank, found in enumerate(digests):
        if isinstance(found, str):
            message = f"on rank {rank}: {found}"
            raise TypeError(message)
    for rank, found in enumerate(digests):
        if parts := different_parts(digests[0], found):
            message = (
                f"all ranks must hold the same value, but {listed_parts(parts)} on rank {rank} differs from that on "
                "rank 0."
            )
            raise AssertionError(message)
