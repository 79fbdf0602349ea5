"""The laws of data sets: read alike in every worker process, and as Megatron expects."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import attrs
import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import as_axis, listed
from bionemo.data.reading.indexing import has_method
from bionemo.data.testing.content import content_digests, different_parts, listed_parts
from bionemo.data.testing.reads import check_pure_reads

__all__ = ["assert_megatron_compatible", "assert_worker_safe"]

_NUM_INDICES: Final = 32


@attrs.frozen(eq=False)
class _Digested:
    """A data set whose samples are digests, made in the process that reads."""

    dataset: Any

    def __getitem__(self, idx: Any) -> dict[str, str]:
        return content_digests(self.dataset[idx])


@checked
def assert_worker_safe(
    dataset: Any,
    indices: Iterable[Any] | None = None,
    *,
    contexts: Sequence[str] = ("fork",),
    num_workers: Sequence[int] = (1, 2),
) -> None:
    """Check that a data set reads the same in worker processes as in the main process.

    It reads the samples several times in the main process, in an unpickled copy, and in worker processes of a
    `DataLoader`. It finds a data set that draws from a global random state or from one of its own, depends on what was
    read before, doesn't pickle, holds something that a worker process can't use (an open file, a connection), or
    depends on the process (the number of the worker; with "spawn" also the hash of a string).

    Args:
        dataset: anything with `dataset[idx]`.
        indices: indices to read; by default 32, evenly spread over the data set: pass all of a small one.
        contexts: how worker processes are started: "fork", "spawn" or "forkserver". Add "spawn" if your loader spawns:
            each such worker starts Python anew, which takes seconds, so only the last of `num_workers` is tried.
        num_workers: numbers of worker processes.

    Raises:
        AssertionError: if a sample differs in a worker process or can't be read there; the message names the index,
            the parts that differ, and how the worker was started.
        TypeError: if what is read isn't data, so that it can't be compared.

    Example:
        >>> assert_worker_safe(torch.arange(40).reshape(20, 2), contexts=["fork"], num_workers=[1])
    """
    if isinstance(contexts, str):
        message = (
            f'contexts must be a sequence of ways to start workers, e.g. ["fork"], got contexts={shown(contexts)}.'
        )
        raise TypeError(message)
    if not has_method(type(dataset), "__getitem__"):
        message = f"dataset must be read by dataset[idx], got an object of type {type(dataset).__name__}."
        raise TypeError(message)
    indices = _spread(dataset) if indices is None else listed(indices, name="indices")
    check_pure_reads(dataset.__getitem__, indices)
    expected = [content_digests(dataset[index]) for index in indices]
    try:
        copied = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - made here
    except Exception as error:
        message = f"dataset must pickle, to be sent to a spawned worker, got {type(error).__name__}: {error}"
        raise AssertionError(message) from error
    _compare(expected, [content_digests(copied[index]) for index in indices], indices, "in an unpickled copy")
    for context in contexts:
        for number in num_workers[-1:] if context == "spawn" else num_workers:
            _compare(
                expected,
                _read_in_workers(dataset, indices, context, number),
                indices,
                f"in one of {number} workers started by {context}",
            )
    _compare(expected, [content_digests(dataset[index]) for index in indices], indices, "after all others were read")


def _spread(dataset: Any) -> list[int]:
    try:
        length = check_int(len(dataset), name="len(dataset)", low=1)
    except (TypeError, RuntimeError) as error:  # of what has none, and of a nested tensor
        message = (
            f"dataset must have a length, or pass indices, got an object of type {type(dataset).__name__}: {error}"
        )
        raise TypeError(message) from error
    return sorted({number * (length - 1) // max(_NUM_INDICES - 1, 1) for number in range(_NUM_INDICES)})


def _read_in_workers(dataset: Any, indices: list[Any], context: str, num_workers: int) -> list[dict[str, str]]:
    """Return the digests of the samples, each read in one of some worker processes."""
    loader: DataLoader[Any] = DataLoader(
        cast("Any", _Digested(dataset)),
        sampler=indices,
        batch_size=None,
        num_workers=num_workers,
        multiprocessing_context=context,
        generator=torch.Generator(),  # without it, the loader draws a seed from torch's global state
    )
    try:
        return list(loader)
    except Exception as error:
        message = f"dataset must be readable in a worker process ({context}), got {type(error).__name__}: {error}"
        raise AssertionError(message) from error


def _compare(expected: list[dict[str, str]], found: list[dict[str, str]], indices: list[Any], where: str) -> None:
    for index, one, other in zip(indices, expected, found, strict=True):
        if parts := different_parts(one, other):
            message = (
                f"dataset[{index!r}] must be the same in every process, but {listed_parts(parts)} differs {where}. "
                "Draw what is random from a generator that is seeded by the index. "
                f"Reproduce: assert_worker_safe(dataset, [{index!r}])"
            )
            raise AssertionError(message)


@checked
def assert_megatron_compatible(
    dataset: Any,
    indices: Iterable[AnyInt] | None = None,
    *,
    collate: Callable[[list[Any]], Any] = default_collate,
) -> None:
    """Check what Megatron's samplers and ranks need of a map-style data set.

    It has a length of at least 1; an index gives the same sample on every rank, each time, in any order, for a Python
    and a NumPy integer; there is a sample at the first and the last index; samples are mappings from names to data,
    and some of them can be collated.

    Args:
        dataset: anything with `len(dataset)` and `dataset[idx]`.
        indices: indices to read; by default 32, evenly spread over the data set.
        collate: makes a batch of a list of samples.

    Raises:
        AssertionError: if it breaks one of these.

    Example:
        >>> rows = [{"tokens": torch.arange(4) + idx} for idx in range(20)]
        >>> assert_megatron_compatible(rows)
    """
    try:
        spread = _spread(dataset)
    except (TypeError, ValueError) as error:
        message = f"Megatron needs the length of a dataset: {error}"
        raise AssertionError(message) from error
    chosen = spread if indices is None else as_axis(indices, name="indices").tolist()
    check_pure_reads(dataset.__getitem__, chosen)
    for index in chosen:
        sample = dataset[index]
        if not (hasattr(sample, "keys") and all(isinstance(key, str) for key in sample.keys())):  # noqa: SIM118
            message = (
                f"dataset[{index}] must be a mapping from names to data, got one of type {type(sample).__name__}. "
                'Return e.g. {"tokens": ids}.'
            )
            raise AssertionError(message)
        one, other = (_collated(collate, [dataset[number]]) for number in (index, np.int64(index)))
        if parts := different_parts(content_digests(one), content_digests(other)):
            message = (
                f"dataset[np.int64({index})] must equal dataset[{index}], but {listed_parts(parts)} differs. "
                f"Reproduce: assert_megatron_compatible(dataset, [{index}])"
            )
            raise AssertionError(message)
    _collated(collate, [dataset[index] for index in chosen])


def _collated(collate: Callable[[list[Any]], Any], samples: list[Any]) -> Any:
    try:
        return collate(samples)
    except Exception as error:
        message = f"collate must make a batch of {len(samples)} samples, got {type(error).__name__}: {error}"
        raise AssertionError(message) from error
