"""What a worker process does: it makes the batches of a stretch, and packs each for the main process."""

import pickle
from itertools import islice
from time import perf_counter
from typing import Any, TypeAlias

import attrs
from torch._utils import ExceptionWrapper
from torch.utils.data import Dataset, get_worker_info

from bionemo.data.pipeline.empty_ranks import Read
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipes.delivery import Delivery, Planned
from bionemo.data.pipes.processes.transfer import pack
from bionemo.data.pipes.stretches import deliver_stretch, plan_batches

__all__ = ["StretchReader"]

Stretch: TypeAlias = tuple[int, int]
"""The position at which a stretch of batches starts, and their number, which may be 0."""


@attrs.define
class StretchReader(Dataset[list[Any]]):
    """A rank's parts of a stretch of batches, each apart from how it was made, which is not to be pinned.

    An error in a batch comes after those that were made before it.
    """

    pipeline: Pipeline[Any]
    read: Read
    rank: int
    world_size: int

    def __getitem__(self, stretches: tuple[Stretch, Stretch]) -> list[Any]:
        worker, made = get_worker_info(), list[Any]()
        try:
            for delivery in deliver_stretch(self.pipeline, self.read, *map(self._plan, stretches)):
                made.append(_apart(delivery) if worker is None else _packed(delivery, worker.id))
        except Exception as error:  # noqa: BLE001 - raised where its batch would come
            made.append(error if worker is None else _wrapped(error, worker.id))
        return made

    def _plan(self, stretch: Stretch) -> list[Planned]:
        start, num_batches = stretch
        options: Any = {"rank": self.rank, "world_size": self.world_size, "at_once": num_batches}
        return list(islice(plan_batches(self.pipeline, start=start, **options), num_batches)) if num_batches else []


def _apart(delivery: Delivery) -> tuple[Delivery, Any]:
    return delivery._replace(batch=None), delivery.batch


def _packed(delivery: Delivery, worker: int) -> tuple[Delivery, Any]:
    began = perf_counter()
    message = pack(delivery.batch)
    seconds = (*delivery.seconds[:4], perf_counter() - began)
    return delivery._replace(batch=None, seconds=seconds, worker=worker), message


def _wrapped(error: Exception, worker: int) -> ExceptionWrapper:
    """Return an error as a DataLoader sends it: a queue would drop one whose class doesn't pickle."""
    sent: Exception = error
    if not _is_picklable(type(error)):
        sent = RuntimeError(f"{type(error).__qualname__}: {error}")
        sent.__cause__ = error
    where = f"in DataLoader worker process {worker}"
    return ExceptionWrapper(exc_info=(type(sent), sent, sent.__traceback__), where=where)  # type: ignore[no-untyped-call]


def _is_picklable(kind: type) -> bool:
    """Return whether a class pickles, which it does by name: not if it was made inside a function."""
    try:
        return pickle.loads(pickle.dumps(kind)) is kind  # noqa: S301 - of this process
    except Exception:  # noqa: BLE001 - whatever was raised, it doesn't pickle
        return False
