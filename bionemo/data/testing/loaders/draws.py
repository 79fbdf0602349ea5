"""The law of randomness in loaders: no two batches draw the same."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.data.testing.content import content_digests
from bionemo.data.testing.loaders.read import check_takes

__all__ = ["assert_ranks_draw_differently"]


@checked
def assert_ranks_draw_differently(
    make_loader: Callable[[int, int], Iterable[Any]],
    draws_of: Callable[[Any], Any],
    world_size: AnyInt = 2,
    *,
    num_epochs: AnyInt = 2,
    num_batches: AnyInt = 8,
) -> None:
    """Check that no two batches of a run have the same random draws: on any ranks, in any passes.

    It finds loaders that seed each rank, each worker or each pass alike, so that a model sees the same masks, crops or
    noise again and again.

    Args:
        make_loader: called as `make_loader(rank, world_size)`; returns the loader of a rank.
        draws_of: returns what was drawn for a batch: tensors, arrays and numbers in any containers. They must not
            depend on the samples: return the noise, or the positions of the masks in rows of one length. They need
            some 40 random bits or more to differ: not a single coin.
        world_size: number of ranks.
        num_epochs: number of passes that each loader is read.
        num_batches: number of batches of each pass that are compared.

    Raises:
        AssertionError: if two batches have the same draws; the message names both.
        ValueError: if there are fewer than two batches to compare.

    Example:
        >>> import torch
        >>> def make_loader(rank, world_size):
        ...     generator = torch.Generator().manual_seed(42)
        ...     return [torch.rand(4, generator=generator) for _ in range(3)]
        >>> assert_ranks_draw_differently(make_loader, lambda batch: batch, num_epochs=1)
        Traceback (most recent call last):
        AssertionError: no two batches may have the same random draws, but batch 0 of rank 0 in pass 0 and batch 0 of
        rank 1 in pass 0 have. Reproduce: assert_ranks_draw_differently(make_loader, draws_of, 2, num_epochs=1,
        num_batches=1)
    """
    num_epochs, num_batches = (
        check_int(value, name=name, low=1) for name, value in (("num_epochs", num_epochs), ("num_batches", num_batches))
    )
    check_takes(make_loader, 0, 1, names="(rank, world_size)")
    found: list[tuple[int, int, int, str]] = []
    for rank in range(check_int(world_size, name="world_size", low=1)):
        loader = make_loader(rank, int(world_size))
        for epoch in range(num_epochs):
            for number, batch in enumerate(islice(loader, num_batches)):
                draws = draws_of(batch)
                if not (hasattr(draws, "__len__") and len(draws) == 0):  # of a rank without samples
                    found.append((epoch, number, rank, repr(sorted(content_digests(draws).items()))))
    if len(found) < 2:  # noqa: PLR2004 - nothing to compare
        message = f"make_loader must return loaders with at least two batches to compare, got {len(found)} batches."
        raise ValueError(message)
    first: dict[str, tuple[int, int, int]] = {}
    for epoch, number, rank, digest in sorted(found):
        if digest in first:
            before = first[digest]
            message = (
                f"no two batches may have the same random draws, but {_named(before)} and "
                f"{_named((epoch, number, rank))} have. Reproduce: assert_ranks_draw_differently(make_loader, "
                f"draws_of, {max(rank, before[2]) + 1}, num_epochs={epoch + 1}, "
                f"num_batches={max(number, before[1]) + 1})"
            )
            raise AssertionError(message)
        first[digest] = (epoch, number, rank)


def _named(batch: tuple[int, int, int]) -> str:
    epoch, number, rank = batch
    return f"batch {number} of rank {rank} in pass {epoch}"
