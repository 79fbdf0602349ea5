"""Reading of a loader's passes, batch by batch, as the ids of their samples."""

import inspect
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeAlias

from bionemo.core.checks import AnyInt, as_int, shown

__all__ = ["Ids", "IdsOf", "check_takes", "counted", "differences", "ids_of_batch", "read_passes", "shown_ids"]

Ids: TypeAlias = tuple[Hashable, ...]
"""What identifies the samples of a batch."""
IdsOf: TypeAlias = Callable[[Any], Iterable[Hashable]]
"""Returns what identifies the samples of a batch."""

_MAX_SHOWN = 8


def check_takes(make_loader: Any, *arguments: object, names: str) -> None:
    """Check that a function can be called with some arguments.

    Raises:
        TypeError: if it can't.

    Example:
        >>> check_takes(lambda: [], 0, 1, names="(rank, world_size)")
        Traceback (most recent call last):
        TypeError: make_loader must be a function of (rank, world_size), got one of ().
    """
    try:
        signature = inspect.signature(make_loader)
    except (TypeError, ValueError):  # of a class or function in C, whose signature is not known
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        message = f"make_loader must be a function of {names}, got one of {signature}."
        raise TypeError(message) from error


def ids_of_batch(ids_of: IdsOf, batch: Any) -> Ids:
    """Return the ids of a batch's samples: one-element tensors and NumPy scalars as Python numbers.

    Raises:
        TypeError: if they aren't ids, which can be compared with others.

    Example:
        >>> import torch
        >>> ids_of_batch(lambda batch: batch["ids"], {"ids": torch.tensor([3, 1])})
        (3, 1)
        >>> ids_of_batch(list, {"ids": torch.tensor([3, 1])})
        Traceback (most recent call last):
        TypeError: ids_of must return what identifies the samples, got the batch's field names ['ids']. Return e.g.
        batch["idx"].tolist().
    """
    try:
        found: Any = ids_of(batch)
    except Exception as error:
        error.add_note(f"in ids_of, called with a batch of type {type(batch).__name__}")
        raise
    found = found.tolist() if hasattr(found, "tolist") else found
    if isinstance(found, int):
        found = [found]
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        message = f"ids_of must return the ids of a batch's samples, got {shown(found)} of type {type(found).__name__}."
        raise TypeError(message)
    ids = tuple(one.item() if hasattr(one, "item") else one for one in found)
    if isinstance(batch, Mapping) and ids and ids == tuple(batch):
        message = (
            f"ids_of must return what identifies the samples, got the batch's field names {shown_ids(ids)}. "
            'Return e.g. batch["idx"].tolist().'
        )
        raise TypeError(message)
    for one in ids:
        if not isinstance(one, Hashable):
            message = (
                f"ids_of must return hashable values, e.g. integers or strings, got one of type {type(one).__name__}. "
                "Put each sample's index or name into the batch."
            )
            raise TypeError(message)
    return ids


def read_passes(
    loader: Iterable[Any], ids_of: IdsOf, *, num_epochs: int, max_batches: int | None = None
) -> list[list[Ids]]:
    """Return the ids of each batch, pass by pass.

    Example:
        >>> read_passes([[0, 1], [2]], list, num_epochs=2)
        [[(0, 1), (2,)], [(0, 1), (2,)]]
    """
    return [[ids_of_batch(ids_of, batch) for batch in islice(loader, max_batches)] for _ in range(num_epochs)]


def counted(number: AnyInt, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "sample"), counted(1000, "batch")
        ('1 sample', '1,000 batches')
    """
    ending = "" if number == 1 else "es" if noun.endswith(("s", "ch")) else "s"
    return f"{as_int(number):,} {noun}{ending}"


def shown_ids(ids: Iterable[Hashable]) -> str:
    """Return the first ids of some.

    Example:
        >>> shown_ids(range(3)), shown_ids(range(100))
        ('[0, 1, 2]', '[0, 1, 2, 3, 4, 5, 6, 7, ...]')
    """
    first = list(islice(ids, _MAX_SHOWN + 1))
    parts = map(shown, first[:_MAX_SHOWN])
    return f"[{', '.join([*parts, *['...'] * (len(first) > _MAX_SHOWN)])}]"


def differences(expected: Iterable[Hashable], found: Iterable[Hashable], *, known: Iterable[Hashable] = ()) -> str:
    """Return in words which samples are lost, and which are repeated; an empty text if the samples are equal.

    Args:
        expected: ids of the samples that should be read.
        found: ids of those that were read.
        known: other ids that may occur; a sample with any other one is unknown.

    Example:
        >>> differences([0, 1, 2], [2, 0, 0])
        '1 sample is lost: [1]; 1 sample is repeated: [0]'
    """
    wanted, got = Counter(expected), Counter(found)
    more, names = got - wanted, {*wanted, *known}
    kinds = {
        "lost": wanted - got,
        "repeated": Counter({one: number for one, number in more.items() if one in names}),
        "unknown": Counter({one: number for one, number in more.items() if one not in names}),
    }
    return "; ".join(
        f"{counted(part.total(), 'sample')} {'is' if part.total() == 1 else 'are'} {kind}: {shown_ids(part)}"
        for kind, part in kinds.items()
        if part
    )
