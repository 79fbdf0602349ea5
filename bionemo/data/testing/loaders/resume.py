"""The law of resuming: a loader that is stopped and resumed reads what an uninterrupted one reads."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, islice
from typing import Any

from bionemo.core.arrays import listed
from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.data.testing.loaders.adapt import Resumable
from bionemo.data.testing.loaders.read import Ids, IdsOf, counted, differences, ids_of_batch, read_passes, shown_ids

__all__ = ["assert_resumes_exactly", "assert_resumes_on_other_ranks"]

_NUM_STOPS = 8
"""About how many single stops are tried by default."""


@checked
def assert_resumes_exactly(
    make_loader: Callable[[], Resumable],
    ids_of: IdsOf,
    *,
    stops: Iterable[AnyInt | tuple[AnyInt, ...]] | None = None,
    num_epochs: AnyInt = 2,
    max_batches: AnyInt | None = None,
    others: Sequence[Callable[[], Resumable]] = (),
) -> None:
    """Check that a loader that is stopped and resumed reads the same batches as one that isn't.

    A stop is what a killed job does: some batches are read, the state is saved (pickled), everything is discarded, a
    new loader is made and given the state. It finds samples that are lost or repeated after a resume, after a second
    resume, and after one at the end of a pass; and passes that are shuffled otherwise after a resume.

    Args:
        make_loader: returns a new loader with the data at its start, as a new process would make it; equal each time.
        ids_of: returns what identifies the samples of a batch.
        stops: numbers of batches after which to stop, counted over all passes. A tuple holds the number of batches
            that each of several runs reads: (3, 1) stops after 3 batches, resumes, and stops again after 1 more. By
            default some single stops and some double ones are tried, with those around the end of a pass.
        num_epochs: number of passes of the uninterrupted run.
        max_batches: compare so many batches of one pass, instead of whole passes: for loaders that never end.
        others: more functions like `make_loader` whose loaders resume from the same states, e.g. with other numbers of
            worker processes: resumed runs use each of them in turn.

    Raises:
        AssertionError: if a resumed run reads other batches; the message names the stop, the first batch that differs,
            the samples lost or repeated, and a line that reproduces it.
        ValueError: if a stop isn't before the end of the uninterrupted run.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> pipeline = Pipeline(order=EpochOrder(length=20, seed=7), sources=range(20), batch_size=3, seed=1)
        >>> assert_resumes_exactly(lambda: loader(pipeline, batches_per_epoch=4), list)
    """
    limit = None if max_batches is None else check_int(max_batches, name="max_batches", low=1)
    num_epochs = check_int(num_epochs, name="num_epochs", low=1) if limit is None else 1
    expected, again = (read_passes(make_loader(), ids_of, num_epochs=num_epochs, max_batches=limit) for _ in range(2))
    if expected != again:
        message = (
            f"make_loader must return equal loaders, but of two new ones {_first_difference(expected, again)} "
            "Seed the shuffle, or make the loader from scratch in make_loader."
        )
        raise AssertionError(message)
    sizes = [len(batches) for batches in expected]
    makers = (*others, make_loader)
    for other in others:
        if not callable(other):
            message = f"others must hold functions that return loaders, got {shown(other)}."  # type: ignore[unreachable]
            raise TypeError(message)
    for history in _default_stops(sizes) if stops is None else _sorted_stops(stops, sum(sizes)):
        call = _call(history, num_epochs, limit, others)
        # A checkpoint at the end of a pass is written before or after the loop has seen that nothing follows.
        for sees_end in (False, True) if limit is None else (False,):
            loader, rest, may_be_empty = make_loader(), expected, False
            for number, num_batches in enumerate(history):
                is_end = num_batches in accumulate(map(len, rest))
                _advance(loader, num_batches, sees_end=sees_end and is_end)
                rest, may_be_empty = _after(rest, num_batches), is_end and not sees_end
                state = pickle.dumps(loader.state_dict())
                del loader  # the job is gone
                loader = makers[number % len(makers)]()
                loader.load_state_dict(pickle.loads(state))  # noqa: S301 - made above
            left = None if limit is None else limit - sum(history)
            found = _read_rest(loader, ids_of, len(rest), left, may_be_empty=may_be_empty)
            if found != rest:
                raise AssertionError(_message(history, rest, found, call))


def _default_stops(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return some numbers of batches after which to stop, the smallest first."""
    total, first = sum(sizes), sizes[0]
    ends = [*accumulate(sizes)][:-1]
    wanted = {0, 1, first - 1, first, first + 1, first // 2, *ends, total // 2, total - 1}
    single = sorted(stop for stop in wanted if 0 <= stop < total)
    step = max(1, len(single) // _NUM_STOPS)
    pairs = {
        (stop, more) for stop in {1, first - 1, first} for more in (0, 1, first) if 0 <= stop < stop + more < total
    }
    return [*((stop,) for stop in single[::step]), *sorted(pairs, key=lambda pair: (sum(pair), pair))]


def _sorted_stops(stops: Iterable[Any], total: int) -> list[tuple[int, ...]]:
    given = [stop if isinstance(stop, tuple) else (stop,) for stop in listed(stops, name="stops")]
    histories = [tuple(check_int(number, name="stops") for number in history) for history in given]
    for history in histories:
        if sum(history) >= total:
            message = (
                f"stops must be before the end of the uninterrupted run of {counted(total, 'batch')}, got "
                f"{history if len(history) > 1 else history[0]}. Read more passes: num_epochs."
            )
            raise ValueError(message)
    return sorted(histories, key=lambda history: (len(history), sum(history), history))


def _advance(loader: Resumable, num_batches: int, *, sees_end: bool) -> None:
    """Read some batches, in as many passes as they take, and see the end of the last pass or not."""
    for _ in range(2 * num_batches):  # each pass has a batch, but for the rest of one
        if not num_batches:
            return
        batches = iter(loader)
        num_batches -= sum(1 for _ in islice(batches, num_batches))
        if sees_end and not num_batches:
            next(batches, None)


def _after(passes: list[list[Ids]], num_batches: int) -> list[list[Ids]]:
    """Return what is left of passes after some batches: the rest of a pass, unless it is empty, and later passes."""
    left = list(passes)
    while left and num_batches >= len(left[0]):
        num_batches -= len(left.pop(0))
    return [left[0][num_batches:], *left[1:]] if left else []


def _read_rest(
    loader: Resumable, ids_of: IdsOf, num_passes: int, limit: int | None, *, may_be_empty: bool
) -> list[list[Ids]]:
    """Return the passes that a resumed loader reads; the first may be empty: the rest of the pass before."""
    found: list[list[Ids]] = []
    while len(found) < num_passes:
        batches = [ids_of_batch(ids_of, batch) for batch in islice(loader, limit)]
        if batches or not may_be_empty:
            found.append(batches)
        may_be_empty = False
    return found


def _first_difference(expected: list[list[Ids]], found: list[list[Ids]]) -> str:
    """Return in words the first batch that differs, or the passes."""
    wanted, got = [*chain(*expected)], [*chain(*found)]
    if wanted == got:
        return f"passes must have {[*map(len, expected)]} batches, got {[*map(len, found)]}."
    pairs = enumerate(zip(wanted, got, strict=False))
    number = next((number for number, (one, other) in pairs if one != other), min(len(wanted), len(got)))
    shown = [shown_ids(batches[number]) if number < len(batches) else "no batch" for batches in (wanted, got)]
    return f"batch {number} must be {shown[0]}, got {shown[1]}."


def _message(history: tuple[int, ...], rest: list[list[Ids]], found: list[list[Ids]], call: str) -> str:
    stops = " and ".join(f"{counted(number, 'batch')}" for number in history)
    samples = differences(chain(*chain(*rest)), chain(*chain(*found)))
    return (
        f"a loader that was stopped after {stops} and resumed must read what an uninterrupted one reads, but after the "
        f"resume {_first_difference(rest, found)} In all, {samples or 'no sample is lost or repeated'}. "
        f"Reproduce: {call}"
    )


def _call(history: tuple[int, ...], num_epochs: int, limit: int | None, others: Sequence[Any]) -> str:
    stop = history if len(history) > 1 else history[0]
    passes = f"num_epochs={num_epochs}" if limit is None else f"max_batches={limit}"
    return f"assert_resumes_exactly(make_loader, ids_of, stops=[{stop}], {passes}{', others=others' * bool(others)})"


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
            state = pickle.dumps(ranks[0].state_dict())
        if samples := differences(expected, read):
            message = (
                f"runs on {' then '.join(map(str, sizes))} ranks, each but the last stopped after "
                f"{counted(stop, 'batch')}, must read each sample of the pass once, but {samples}. Reproduce: {call}"
            )
            raise AssertionError(message)


def _read_some(loader: Resumable, ids_of: IdsOf, num_batches: int | None) -> Sequence[Ids]:
    return [ids_of_batch(ids_of, batch) for batch in islice(loader, num_batches)] if num_batches != 0 else []
