"""The law of resuming on other ranks: no sample of the pass is lost or repeated."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int
from bionemo.core.int64 import listed
from bionemo.data.testing.loaders.adapt import Resumable, check_resumable, saved_state
from bionemo.data.testing.loaders.read import Ids, IdsOf, check_takes, counted, differences, ids_of_batch, read_passes

__all__ = ["assert_resumes_on_other_ranks"]


@checked
def assert_resumes_on_other_ranks(
    make_loader: Callable[[int, int], Resumable],
    ids_of: IdsOf,
    *,
    world_sizes: Sequence[AnyInt] = (2, 3, 1),
    stops: Iterable[AnyInt] | None = None,
) -> None:
    """Check that a run resumes on another number of ranks without losing or repeating a sample of its pass.

    One run reads some batches on each of `world_sizes[0]` ranks and is stopped; the next one, on `world_sizes[1]`
    ranks, resumes from the state of rank 0; and so on. The last one reads the rest of the pass.

    Args:
        make_loader: called as `make_loader(rank, world_size)`; returns a new loader of a rank.
        ids_of: returns what identifies the samples of a batch.
        world_sizes: number of ranks of each run.
        stops: numbers of batches that each run but the last reads; by default 0, 1 and 2.

    Raises:
        AssertionError: if samples are lost or repeated, or ranks of a run read unequal numbers of batches.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=24, seed=7, num_samples=24)
        >>> pipeline = Pipeline(order=order, sources=range(24), batch_size=6, seed=1)
        >>> assert_resumes_on_other_ranks(lambda rank, world_size: loader(pipeline, rank, world_size), list)
    """
    sizes = [check_int(size, name="world_sizes", low=1) for size in world_sizes]
    if len(sizes) < 2:  # noqa: PLR2004 - a run and a resumed one
        message = f"world_sizes must hold the numbers of ranks of at least two runs, got {tuple(sizes)}."
        raise ValueError(message)
    check_takes(make_loader, 0, 1, names="(rank, world_size)")
    check_resumable(make_loader(0, 1), None)
    expected = [one for ids in read_passes(make_loader(0, 1), ids_of, num_epochs=1)[0] for one in ids]
    chosen = range(3) if stops is None else listed(stops, name="stops")
    for stop in sorted(check_int(stop, name="stops") for stop in chosen):
        call = f"assert_resumes_on_other_ranks(make_loader, ids_of, world_sizes={tuple(sizes)}, stops=[{stop}])"
        read: list[Any] = []
        state: bytes | None = None
        for number, size in enumerate(sizes):
            ranks = [make_loader(rank, size) for rank in range(size)]
            if state is not None:
                for rank in ranks:
                    rank.load_state_dict(pickle.loads(state))  # noqa: S301 - made below
            parts = [_read_some(rank, ids_of, None if number == len(sizes) - 1 else stop) for rank in ranks]
            if len({*map(len, parts)}) > 1:
                message = (
                    f"all ranks must read equally many batches, or one waits forever for the others, but run {number} "
                    f"on {counted(size, 'rank')} read {[*map(len, parts)]}. Reproduce: {call}"
                )
                raise AssertionError(message)
            read += [one for batches in parts for ids in batches for one in ids]
            if len(read) >= len(expected):  # the pass has ended
                break
            state = saved_state(ranks[0])
        if samples := differences(expected, read):
            message = (
                f"runs on {' then '.join(map(str, sizes))} ranks, each but the last stopped after "
                f"{counted(stop, 'batch')}, must read each sample of the pass once, but {samples}. Reproduce: {call}"
            )
            raise AssertionError(message)


def _read_some(loader: Resumable, ids_of: IdsOf, num_batches: int | None) -> Sequence[Ids]:
    return [ids_of_batch(ids_of, batch) for batch in islice(loader, num_batches)] if num_batches != 0 else []
