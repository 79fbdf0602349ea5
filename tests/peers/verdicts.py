"""What a resumed loader reads, in a word: see docs/what_resumes_where.md.

A job is a list of loaders, one per rank. It is stopped after some batches of each rank, and continued by another job,
which may have other ranks, workers and batch sizes. `verdict` compares both with a job that nobody stopped. A rank that
is new gets the state of the last old one.
"""

import itertools
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Ways(NamedTuple):
    """How loaders of a library are iterated, saved and restored, and what identifies the samples of a batch."""

    ids_of: Callable[[Any], Any] = list
    iterate: Callable[[Any], Iterator[Any]] = iter
    save: Callable[[Any, Any], Any] = lambda loader, _: loader.state_dict()
    load: Callable[[Any, Any], Any] = lambda loader, state: loader.load_state_dict(state)


Job = Callable[[], list[Any]]


def read(ways: Ways, loaders: list[Any], num_batches: int | None = None) -> tuple[list[list[Any]], list[Any]]:
    """Return the samples of each step, all ranks together, and the state of each rank afterwards."""
    steps: list[list[Any]] = []
    states = []
    for loader in loaders:
        iterator = ways.iterate(loader)
        step = 0
        while num_batches is None or step < num_batches:
            batch = next(iterator, None)
            if batch is None:
                break
            ids = [value.item() if hasattr(value, "item") else value for value in ways.ids_of(batch)]
            steps += [[]] * (step == len(steps))
            steps[step] = steps[step] + ids
            step += 1
        states.append(pickle.loads(pickle.dumps(ways.save(loader, iterator))) if num_batches is not None else None)
    return steps, states


def verdict(ways: Ways, before: Job, after: Job | None = None, *, stops: tuple[int, ...] = (3,)) -> str:
    """Return "exact", what is lost and repeated within one pass, or the error with which a resume is refused.

    Exact: the samples come in the order of the job that nobody stopped (of several ranks: within each step, any order).
    """
    whole = sum(read(ways, before())[0], [])
    steps: list[list[Any]] = []
    loaders = before()
    try:
        for stop in stops:
            more, states = read(ways, loaders, stop)
            steps += more
            loaders = (after or before)()
            for rank, loader in enumerate(loaders):
                loaders[rank] = ways.load(loader, states[min(rank, len(states) - 1)]) or loader
        steps += read(ways, loaders)[0]
    except Exception as error:  # noqa: BLE001 - any error of a library is an answer
        return f"refuses: {type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return compared(whole, steps)


def taken(ways: Ways, before: Job, after: Job) -> str:
    """Return "accepted" if a loader of other data takes a state, or the error with which it refuses."""
    said = verdict(ways, before, after)
    return said if said.startswith("refuses") else "accepted"


def compared(whole: list[Any], steps: list[list[Any]]) -> str:
    """Return how the samples of the steps before and after a resume differ from those of a whole pass."""
    ends = list(itertools.accumulate(map(len, steps)))
    if ends[-1] == len(whole) and all(
        sorted(step) == sorted(whole[end - len(step) : end]) for step, end in zip(steps, ends, strict=True)
    ):
        return "exact"
    resumed = Counter(itertools.chain.from_iterable(steps))
    lost, repeated = Counter(whole) - resumed, resumed - Counter(whole)
    if not lost and not repeated:
        return "each sample once, in another order"
    return f"of {len(whole)} samples, {lost.total()} are lost and {repeated.total()} are read again"


def of_sources(ways: Ways, before: Job, after: Job, *, stop: int = 3) -> str:
    """Return whether each source of a mixture continues where it was when a run resumes with other weights.

    The ids of the second source begin at 100. "exact": each source yields its samples in its own order, none twice.
    """
    passes = [list(itertools.chain.from_iterable(read(ways, job())[0])) for job in (before, after)]
    steps, [state] = read(ways, before(), stop)
    [loader] = after()
    loader = ways.load(loader, state) or loader
    resumed = list(itertools.chain.from_iterable([*steps, *read(ways, [loader])[0]]))
    skipped = repeated = 0
    for is_second in (False, True):
        orders = [[sample for sample in one if (sample >= 100) == is_second] for one in passes]
        order, seen = max(orders, key=len), [sample for sample in resumed if (sample >= 100) == is_second]
        repeated += len(seen) - len(set(seen))
        if orders[0][: len(orders[1])] != orders[1][: len(orders[0])]:
            return f"other orders of the sources; {len(resumed) - len(set(resumed))} of {len(resumed)} are read again"
        last = max(map(order.index, seen))
        skipped += len(set(order[: last + 1]) - set(seen))
    return f"{skipped} are skipped and {repeated} are read again" if skipped or repeated else "exact"
