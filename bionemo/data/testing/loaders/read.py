"""Reading of a loader's passes, batch by batch, as the ids of their samples."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Any, TypeAlias

from bionemo.core.checks import AnyInt, as_int, shown

__all__ = ["Ids", "IdsOf", "counted", "differences", "ids_of_batch", "read_passes", "shown_ids"]

Ids: TypeAlias = tuple[Hashable, ...]
"""What identifies the samples of a batch."""
IdsOf: TypeAlias = Callable[[Any], Iterable[Hashable]]
"""Returns what identifies the samples of a batch."""

_MAX_SHOWN = 8


def ids_of_batch(ids_of: IdsOf, batch: Any) -> Ids:
    """Return the ids of a batch's samples: one-element tensors and NumPy scalars as Python numbers.

    Raises:
        TypeError: if an id can't be compared with others.

    Example:
        >>> import torch
        >>> ids_of_batch(lambda batch: batch["ids"], {"ids": torch.tensor([3, 1])})
        (3, 1)
    """
    found = ids_of(batch)
    found = found.tolist() if hasattr(found, "tolist") else found
    ids = tuple(one.item() if hasattr(one, "item") else one for one in ([found] if isinstance(found, int) else found))
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


def differences(expected: Iterable[Hashable], found: Iterable[Hashable]) -> str:
    """Return in words which samples are lost, and which are repeated; an empty text if none is.

    Example:
        >>> differences([0, 1, 2], [2, 0, 0])
        '1 sample is lost: [1]; 1 sample is repeated: [0]'
    """
    wanted, got = Counter(expected), Counter(found)
    more = got - wanted
    kinds = {
        "lost": wanted - got,
        "repeated": Counter({one: number for one, number in more.items() if one in wanted}),
        "unknown": Counter({one: number for one, number in more.items() if one not in wanted}),
    }
    return "; ".join(
        f"{counted(part.total(), 'sample')} {'is' if part.total() == 1 else 'are'} {kind}: {shown_ids(part)}"
        for kind, part in kinds.items()
        if part
    )
