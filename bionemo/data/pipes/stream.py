"""The batches of a pipeline from a position on, read in this process."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice, pairwise, starmap
from threading import current_thread
from typing import Any

from bionemo.core.checks import shown
from bionemo.data.pipeline.empty_ranks import Read
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipes.delivery import Delivery, Planned
from bionemo.data.pipes.stretches import deliver, deliver_stretch, plan_batches, plan_stretches

__all__ = ["raise_again", "read_batches"]


def read_batches(
    pipeline: Pipeline[Any],
    read: Read,
    *,
    rank: int,
    world_size: int,
    start: int,
    pause: int | None = None,
    read_ahead: int = 1,
    num_threads: int = 0,
    prefetch_factor: int = 2,
) -> Iterator[Delivery]:
    """Yield a rank's parts of the batches from a position to a pause, one by one or read ahead by threads.

    Law: the batches and their order are the same for any number of threads and any `read_ahead`; an error is raised
    where its batch would come.

    Args:
        pipeline: what is read. Threads share its data sets, transforms and collator.
        read: makes a batch.
        rank: data-parallel rank.
        world_size: number of ranks.
        start: position of the first batch.
        pause: position at which to end; None for the end of the order.
        read_ahead: batches whose samples are read by one call per source.
        num_threads: number of stretches of batches that are made at the same time; 0 makes each batch in the consumer's
            thread.
        prefetch_factor: stretches per thread that are made ahead.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from bionemo.data.pipeline.assemble import assemble_timed
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> pipeline = Pipeline(order=order, sources="abcde", batch_size=2, seed=42, collate="".join)
        >>> batches = read_batches(pipeline, assemble_timed, rank=0, world_size=1, start=2)
        >>> [(delivery.stop, delivery.batch) for delivery in batches]
        [(4, 'ed'), (5, 'c')]
    """
    plan = plan_batches(pipeline, rank=rank, world_size=world_size, start=start, pause=pause)
    if num_threads == 0 and read_ahead == 1 and not pipeline.can_prefetch:
        return map(partial(deliver, pipeline, read), plan)
    stretches = pairwise(chain(plan_stretches(pipeline, plan, start, read_ahead), [[]]))
    make = partial(deliver_stretch, pipeline, read)
    if num_threads == 0:
        return chain.from_iterable(starmap(make, stretches))
    return _read_in_threads(make, stretches, num_threads, num_threads * prefetch_factor)


def _read_in_threads(
    make: Callable[..., Iterator[Delivery]], stretches: Iterator[Any], num_threads: int, num_ahead: int
) -> Iterator[Delivery]:
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="loader")
    try:
        made = deque(pool.submit(_make_all, make, *both) for both in islice(stretches, num_ahead))
        while made:
            num_ready, next_one = sum(map(Future.done, made)), made.popleft()
            made.extend(pool.submit(_make_all, make, *both) for both in islice(stretches, 1))
            deliveries, error = next_one.result()
            for delivery in deliveries:
                yield delivery._replace(num_ready=num_ready)
            if error is not None:
                raise error
    finally:  # also if the consumer stops, or Ctrl-C interrupts it: what has begun is finished, and nothing else begins
        pool.shutdown(wait=False, cancel_futures=True)


def _make_all(make: Callable[..., Iterator[Delivery]], *both: list[Planned]) -> tuple[list[Delivery], Exception | None]:
    """Return the batches of a stretch, up to one in which an error was raised, and the error.

    Each has the number of the thread that made it, which the pool puts at the end of its name.
    """
    worker, deliveries = int(current_thread().name.rpartition("_")[2]), []
    try:
        for delivery in make(*both):
            deliveries.append(delivery._replace(worker=worker))  # noqa: PERF401 - those before an error are kept
    except Exception as error:  # noqa: BLE001 - raised where its batch would come
        return deliveries, error
    return deliveries, None


def raise_again(batches: Iterator[Any], /) -> Iterator[Any]:
    """Yield what a generator yields; after an error in it, each further request raises another error.

    A generator that has raised an error says StopIteration from then on, which a caller that catches errors would take
    for the end of the data.

    Example:
        >>> batches = raise_again(1 // number for number in (1, 0, 1))
        >>> next(batches)
        1
    """
    errors: list[str] = []  # as text: the error itself would keep the frames that it passed through alive

    def note_error() -> Iterator[Any]:
        try:
            yield from batches
        except BaseException as error:
            errors.append(shown(error))
            raise

    def check_no_error() -> None:
        if errors:
            message = f"this iteration ended with {errors[0]}. Begin a new one by iter(loader): it tries again there."
            raise RuntimeError(message)

    return chain(note_error(), iter(check_no_error, None))  # the second ends at once, or raises an error each time
