"""The laws of reading: what a data set or pipeline answers depends on the index, and on nothing else."""

import pickle
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed

from bionemo.core.utils.random_utils import (
    make_generator,
    random_numpy_context,
    random_python_context,
    random_torch_context,
)
from bionemo.data.testing.content import content_digests, different_parts

__all__ = ["check_pure_reads", "check_same_on_ranks"]

Index = TypeVar("Index")


def _global_states() -> dict[str, bytes]:
    """Return what the global random states hold; not Python's, from which type checkers draw."""
    return {"torch": torch.get_rng_state().numpy().tobytes(), "NumPy": pickle.dumps(np.random.get_state())}  # noqa: NPY002


def _read(read: Callable[[Index], Any], index: Index) -> Any:
    """Return what stands at an index; it must leave the global random states as they are."""
    before = _global_states()
    try:
        sample = read(index)
    except Exception as error:
        error.add_note(f"in read({index!r}), called by check_pure_reads")
        raise
    moved = [name for name, state in _global_states().items() if state != before[name]]
    if moved:
        message = (
            f"read({index!r}) must leave the global random states as they are, "
            f"but it moved that of {', '.join(moved)}. Draw from a generator of the sample's own."
        )
        raise AssertionError(message)
    return sample


def _read_all(
    read: Callable[[Index], Any], indices: list[Index], *, seed: int, backwards: bool = False
) -> list[dict[str, str]]:
    """Return the content at each index, read with the global random states seeded."""
    places = range(len(indices))
    samples: dict[int, Any] = {}
    found: dict[int, dict[str, str]] = {}
    with ExitStack() as contexts:
        contexts.enter_context(random_torch_context(make_generator(seed)))
        contexts.enter_context(random_numpy_context(seed))
        contexts.enter_context(random_python_context(seed))
        for place in reversed(places) if backwards else places:
            samples[place] = _read(read, indices[place])
            found[place] = content_digests(samples[place])
    for place in places:
        if parts := different_parts(found[place], content_digests(samples[place])):
            message = (
                f"read({indices[place]!r}) must answer with data of its own, but {_listed(parts)} changes "
                "when others are read. Return a copy of what is written again."
            )
            raise AssertionError(message)
    return [found[place] for place in places]


def check_pure_reads(read: Callable[[Index], Any], indices: Iterable[Index]) -> None:
    """Check that what is read depends on the index alone.

    This is what megatron-core asks of a data set, and every run that resumes: the same index gives the same data on
    every rank, in every worker, in any order, the second time as the first. Found are reads that move the global random
    state of torch or NumPy, also by seeding it; whose answer depends on one of these or on Python's; that draw from a
    state of their own; whose answer depends on what was read before, or changes when others are read. Not found is what
    a data set draws once and remembers. What differs between processes alone, such as the hash of a text, is found by
    `check_same_on_ranks`.

    Args:
        read: `dataset.__getitem__`, or `partial(batch_at, pipeline)` for the batches of a pipeline.
        indices: what to read, four times each; a few that differ are enough.

    Raises:
        AssertionError: if one read differs: with its index, the parts that differ, and what they depend on.
        TypeError: if what is read isn't data, and can't be compared.
        ValueError: if there is no index.

    Example:
        >>> from functools import partial
        >>> from bionemo.data import EpochOrder, Pipeline, batch_at
        >>> rows = torch.arange(20).reshape(10, 2)
        >>> check_pure_reads(rows.__getitem__, range(10))
        >>> pipeline = Pipeline(order=EpochOrder(length=10, seed=1), sources=rows, batch_size=4, seed=2)
        >>> check_pure_reads(partial(batch_at, pipeline), range(5))
        >>> check_pure_reads(lambda idx: rows[idx] + torch.randint(9, (2,)), [3])
        Traceback (most recent call last):
        AssertionError: read(3) must leave the global random states as they are, but it moved that of torch.
        Draw from a generator of the sample's own.
    """
    indices = list(indices)
    if not indices:
        message = "indices must hold at least one, got none."
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
                    f"read({index!r}) must depend on the index alone, but {_listed(parts)} {cause}. "
                    "Draw what is random from a generator of the sample's own."
                )
                raise AssertionError(message)


def check_same_on_ranks(value: Any, *, group: torch.distributed.ProcessGroup | None = None) -> None:
    """Check that every rank of a group holds the same, such as the batch of a step; every one of them must call it.

    Args:
        value: tensors, arrays and plain values in mappings, sequences and records.
        group: of processes: megatron-core's `get_model_parallel_group()` for the ranks that share a model; None for
            all. Where no group was started there is one rank, and nothing to compare.

    Raises:
        AssertionError: on every rank, if one differs from the first: with its number in the group, and what differs.
        TypeError: on every rank, if one holds what isn't data.

    Example:
        >>> check_same_on_ranks({"ids": torch.arange(3)})
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    try:
        own: dict[str, str] | str = content_digests(value)
    except TypeError as error:  # the others must hear of it, else they would wait
        own = str(error)
    digests: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(digests, own, group=group)
    for rank, found in enumerate(digests):
        if isinstance(found, str):
            message = f"on rank {rank}: {found}"
            raise TypeError(message)
    for rank, found in enumerate(digests):
        if parts := different_parts(digests[0], found):
            message = f"all ranks must hold the same, but {_listed(parts)} on rank {rank} differs from that on rank 0."
            raise AssertionError(message)


def _listed(parts: list[str]) -> str:
    return ", ".join(f"its part {part}" if part else "it" for part in parts[:5])
