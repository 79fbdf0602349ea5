"""The law of resuming: a loader that is stopped and resumed reads what an uninterrupted one reads."""

import pickle
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate, chain, islice
from typing import Any

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.int64 import listed
from bionemo.data.testing.loaders.adapt import Resumable, check_resumable, saved_state
from bionemo.data.testing.loaders.read import (
    Ids,
    IdsOf,
    check_takes,
    counted,
    differences,
    ids_of_batch,
    read_passes,
    shown_ids,
)

__all__ = ["assert_resumes_exactly"]


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
    check_takes(make_loader, names="no arguments")
    loaders = make_loader(), make_loader()
    check_resumable(*loaders)
    expected, again = (read_passes(one, ids_of, num_epochs=num_epochs, max_batches=limit) for one in loaders)
    if expected != again:
        message = (
            f"make_loader must return equal loaders, but of two new ones {_first_difference(expected, again)} "
            "Seed the shuffle, or make the loader from scratch in make_loader."
        )
        raise AssertionError(message)
    for other in others:
        if not callable(other):
            message = f"others must hold functions that return loaders, got {shown(other)}."  # type: ignore[unreachable]
            raise TypeError(message)
    sizes = [len(batches) for batches in expected]
    for history in _default_stops(sizes) if stops is None else _sorted_stops(stops, sum(sizes)):
        # A checkpoint at the end of a pass is written before or after the loop has seen that nothing follows.
        for sees_end in (False, True) if limit is None else (False,):
            rest, may_be_empty = expected, False
            loader = make_loader()
            for life, num_batches in enumerate(history):
                is_end = num_batches in accumulate(map(len, rest))
                may_be_empty = (is_end and not sees_end) or (may_be_empty and not num_batches)
                rest = _after(rest, num_batches)
                state = _run(loader, num_batches, sees_end=is_end and sees_end)
                loader = (*others, make_loader)[life % (len(others) + 1)]()
                loader.load_state_dict(pickle.loads(state))  # noqa: S301 - made by _run
            left = None if limit is None else limit - sum(history)
            found = _read_rest(loader, ids_of, len(rest), left, may_be_empty=may_be_empty)
            if found != rest:
                known = {one for batches in expected for ids in batches for one in ids}
                call = _call(history, num_epochs, limit, others)
                raise AssertionError(_message(history, rest, found, call, known))


def _default_stops(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return some numbers of batches after which to stop, the smallest first: around the ends of passes, and others.

    Raises:
        ValueError: if there is no batch.
    """
    total, first = sum(sizes), sizes[0]
    if not total:
        message = "make_loader must return a loader with batches, got one without."
        raise ValueError(message)
    single = {0, 1, first // 2, first - 1, first, first + 1, total // 2, total - sizes[-1], total - 1}
    pairs = {(stop, more) for stop in (1, first - 1, first) for more in (0, 1, first)}
    histories = [*((stop,) for stop in single), *pairs]
    return sorted(
        (history for history in histories if min(history) >= 0 and sum(history) < total),
        key=lambda history: (len(history), sum(history), history),
    )


def _sorted_stops(stops: Iterable[Any], total: int) -> list[tuple[int, ...]]:
    given = [stop if isinstance(stop, tuple) else (stop,) for stop in listed(stops, name="stops")]
    if not given:
        message = "stops must hold at least one number of batches, got none."
        raise ValueError(message)
    histories = [tuple(check_int(number, name="stops") for number in history) for history in given]
    for history in histories:
        if sum(history) >= total:
            message = (
                f"stops must be before the end of the uninterrupted run of {counted(total, 'batch')}, got "
                f"{history if len(history) > 1 else history[0]}. Read more passes: num_epochs."
            )
            raise ValueError(message)
    return sorted(histories, key=lambda history: (len(history), sum(history), history))


def _run(loader: Resumable, num_batches: int, *, sees_end: bool) -> bytes:
    """Read some batches, in as many passes as they take, see the end of the last pass or not, and return the state."""
    for _ in range(2 * num_batches):  # each pass has a batch, but for the rest of one
        if not num_batches:
            break
        batches = iter(loader)
        num_batches -= sum(1 for _ in islice(batches, num_batches))
        if sees_end and not num_batches:
            next(batches, None)
    return saved_state(loader)


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


def _message(
    history: tuple[int, ...], rest: list[list[Ids]], found: list[list[Ids]], call: str, known: set[Hashable]
) -> str:
    stops = ", resumed, stopped after ".join(
        f"{counted(number, 'batch')}{' more' * (life > 0)}" for life, number in enumerate(history)
    )
    samples = differences(chain(*chain(*rest)), chain(*chain(*found)), known=known)
    return (
        f"a loader that was stopped after {stops} and resumed must read what an uninterrupted one reads, but after the "
        f"resume {_first_difference(rest, found)} In all, {samples or 'no sample is lost or repeated'}. "
        f"Reproduce: {call}"
    )


def _call(history: tuple[int, ...], num_epochs: int, limit: int | None, others: Sequence[Any]) -> str:
    stop = history if len(history) > 1 else history[0]
    passes = f"num_epochs={num_epochs}" if limit is None else f"max_batches={limit}"
    return f"assert_resumes_exactly(make_loader, ids_of, stops=[{stop}], {passes}{', others=others' * bool(others)})"
