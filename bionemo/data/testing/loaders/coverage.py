"""The laws of a pass: every sample once, on all ranks together, and in an order of its own."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import listed
from bionemo.data.testing.loaders.read import Ids, IdsOf, check_takes, counted, differences, read_passes, shown_ids

__all__ = ["assert_epochs_differ", "assert_exact_coverage"]

_LEAST_SAMPLES = 10
"""Fewest samples of a pass for which two equal orders are no coincidence (1 in 3.6 million)."""


@checked
def assert_exact_coverage(
    make_loader: Callable[[int, int], Iterable[Any]],
    ids_of: IdsOf,
    num_samples: AnyInt | Iterable[Hashable],
    world_size: AnyInt | Sequence[int] = 1,
    *,
    num_epochs: AnyInt = 1,
    max_dropped: AnyInt = 0,
    max_repeated: AnyInt = 0,
) -> None:
    """Check that all ranks together read each sample once in each pass, in equal numbers of batches.

    It finds a last batch that is dropped, ranks that overlap, samples that are repeated to fill the ranks, shuffles
    that are no permutation, and ranks with more batches than others, which wait for them forever.

    Args:
        make_loader: called as `make_loader(rank, world_size)`; returns the loader of a rank.
        ids_of: returns what identifies the samples of a batch, e.g. `lambda batch: batch["idx"].tolist()`.
        num_samples: length of the data set, whose ids are `range(num_samples)`; or all ids.
        world_size: number of ranks, or several numbers of them to try.
        num_epochs: number of passes that each loader is read.
        max_dropped: samples that a pass may leave out, e.g. `batch_size * world_size - 1` with `drop_last=True`.
        max_repeated: samples that a pass may read twice, e.g. `world_size - 1` for torch's `DistributedSampler`, which
            fills the ranks.

    Raises:
        AssertionError: if samples are lost, repeated or unknown, or the ranks' numbers of batches differ; the message
            names the samples, and a line that reproduces it.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> def make_loader(rank, world_size):
        ...     return DataLoader(range(rank, 10, world_size), batch_size=2, drop_last=True)
        >>> assert_exact_coverage(make_loader, list, 10, world_size=[1, 2])
        Traceback (most recent call last):
        AssertionError: 2 ranks must read each of 10 samples once in pass 0, but 2 samples are lost: [8, 9]. Reproduce:
        assert_exact_coverage(make_loader, ids_of, 10, 2)
    """
    is_number = isinstance(num_samples, int | np.integer)
    ids: Any = range(check_int(cast("int", num_samples), name="num_samples")) if is_number else num_samples
    expected = listed(ids, name="num_samples")
    if other := [one for one in expected if not isinstance(one, Hashable)]:
        message = f"num_samples must be a number, or hold ids that can be hashed, got {shown(other[0])}."
        raise TypeError(message)
    world_sizes = [world_size] if isinstance(world_size, int | np.integer) else listed(world_size, name="world_size")
    sizes = sorted(check_int(size, name="world_size", low=1) for size in world_sizes)
    allowed = check_int(max_dropped, name="max_dropped"), check_int(max_repeated, name="max_repeated")
    check_takes(make_loader, 0, 1, names="(rank, world_size)")
    for size in sizes:
        ranks = [
            read_passes(make_loader(rank, size), ids_of, num_epochs=check_int(num_epochs, name="num_epochs", low=1))
            for rank in range(size)
        ]
        call = f"assert_exact_coverage(make_loader, ids_of, {num_samples if is_number else 'ids'}, {size})"
        for epoch, parts in enumerate(zip(*ranks, strict=True)):
            _check_pass(parts, expected, call, epoch, allowed)


def _check_pass(
    parts: tuple[list[Ids], ...], expected: Sequence[Hashable], call: str, epoch: int, allowed: tuple[int, int]
) -> None:
    """Check one pass, given the batches of each rank."""
    read = [one for batches in parts for ids in batches for one in ids]
    wanted, got = Counter(expected), Counter(read)
    lost, more = wanted - got, got - wanted
    ranks = counted(len(parts), "rank")
    if lost.total() > allowed[0] or more.total() > allowed[1] or any(one not in wanted for one in more):
        message = (
            f"{ranks} must read each of {counted(len(expected), 'sample')} once in pass {epoch}, but "
            f"{differences(expected, read)}. Reproduce: {call}"
        )
        raise AssertionError(message)
    numbers = [len(batches) for batches in parts]
    if len({*numbers}) > 1:
        message = (
            f"all ranks must read equally many batches in pass {epoch}, or one waits forever for the others, but "
            f"{ranks} read {shown_ids(numbers)}. Reproduce: {call}"
        )
        raise AssertionError(message)


@checked
def assert_epochs_differ(make_loader: Callable[[], Iterable[Any]], ids_of: IdsOf, *, num_epochs: AnyInt = 3) -> None:
    """Check that no two passes over a loader read the samples in the same order.

    It finds a shuffle that repeats, e.g. a `DistributedSampler` whose `set_epoch` isn't called, or a generator that is
    seeded afresh for each pass.

    Args:
        make_loader: returns a loader. It is iterated `num_epochs` times; one whose sampler must be told the number of
            the pass is adapted: `replayed(loader, set_epoch=sampler.set_epoch)`.
        ids_of: returns what identifies the samples of a batch.
        num_epochs: number of passes to compare.

    Raises:
        AssertionError: if two passes are equal.
        ValueError: if a pass has fewer than 10 samples, of which two orders may be equal by chance.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> assert_epochs_differ(lambda: DataLoader(range(20), batch_size=2), list)
        Traceback (most recent call last):
        AssertionError: passes must differ in order, but passes 0 and 1 both read [0, 1, 2, 3, 4, 5, 6, 7, ...].
        Reproduce: assert_epochs_differ(make_loader, ids_of, num_epochs=2)
    """
    check_takes(make_loader, names="no arguments")
    num_epochs = check_int(num_epochs, name="num_epochs", low=2)
    passes = [
        [one for ids in batches for one in ids] for batches in read_passes(make_loader(), ids_of, num_epochs=num_epochs)
    ]
    if (fewest := min(map(len, passes))) < _LEAST_SAMPLES:
        message = f"a pass must have at least {_LEAST_SAMPLES} samples to tell orders apart, got {fewest}."
        raise ValueError(message)
    for later, order in enumerate(passes):
        earlier = passes.index(order)
        if earlier < later:
            message = (
                f"passes must differ in order, but passes {earlier} and {later} both read {shown_ids(order)}. "
                f"Reproduce: assert_epochs_differ(make_loader, ids_of, num_epochs={later + 1})"
            )
            raise AssertionError(message)
