"""What all orders share: which sample stands at a position, and back."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

import attrs
import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, check_index, check_int
from bionemo.data.permute import MAX_LENGTH
from bionemo.data.record import canonical_json

__all__ = [
    "ALGORITHM_VERSION",
    "Order",
    "OrderBase",
    "OrderNumbers",
    "SampleIndex",
    "check_length",
    "check_num_samples",
    "index_at",
    "indices_at",
    "order_id",
    "position_of",
    "to_json",
]

ALGORITHM_VERSION: Final = 2
"""Version of the algorithms behind the orders: it grows whenever one record would come to give other indices."""

Word = TypeVar("Word", int, Tensor)

_BULK: Final = 32
"""From about this many positions on, tensors are faster than a loop over ints."""


class SampleIndex(NamedTuple):
    """Which sample: the data set it is from, the pass through that data set, and its place there.

    Three ints, or three int64 tensors of one shape.
    """

    source: Any
    epoch: Any
    idx: Any


@runtime_checkable
class Order(Protocol):
    """A frozen record that says which sample stands at each position of a training run.

    Any attrs record with these members is an order; nothing has to be registered. One that can be inverted has
    `position_of(index)` besides, and one that knows how long its data sets must be has `source_lengths`, a tuple of
    an int, or None where it doesn't know, for each.
    """

    @property
    def num_samples(self) -> int | None:
        """How many positions there are; None for no end."""
        ...

    @property
    def num_sources(self) -> int:
        """How many data sets the order draws from."""
        ...

    def index_at(self, position: Word, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        ...


class OrderBase:
    """What the orders of this library have besides their fields: one data set, an end or none.

    No base of yours: an order of your own needs the members of `Order` alone.
    """

    __slots__ = ()

    length: int
    num_samples: int | None

    def __len__(self) -> int:
        """Return the number of positions.

        Raises:
            TypeError: if there is no end.
        """
        if self.num_samples is None:
            message = "an order without end has no length, got num_samples=None. Give num_samples to end it."
            raise TypeError(message)
        return self.num_samples

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields alone: what is worked out from them is made anew."""
        kind: Any = type(self)
        return _from_fields, (
            kind,
            {field.name: getattr(self, field.name) for field in attrs.fields(kind) if field.init},
        )

    @property
    def num_sources(self) -> int:
        """How many data sets the order draws from."""
        return 1

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """The lengths that the data sets must have; None where an order doesn't say."""
        return (self.length,)


def _from_fields(kind: Any, fields: dict[str, Any]) -> Any:
    return kind(**fields)


class OrderNumbers:
    """What the kernel of an order works with, made once from the order's fields.

    Inside `torch.compile` the numbers are read from a tensor: a graph doesn't depend on their values then, and serves
    every order with the same number of rounds.

    Args:
        numbers: a NamedTuple of ints below 2**63 and of such NamedTuples.
        rounds: of the permutations, if there are any; a graph is made for each.
    """

    def __init__(self, numbers: Any, *, rounds: int = 0) -> None:
        self.rounds = rounds
        self._ints = numbers
        self._tensor = torch.tensor(_leaves(numbers), dtype=torch.int64, device="cpu")

    def read(self, position: Any) -> Any:
        """Return the NamedTuple, of ints or, where a graph is made, of 0-d tensors on the device of the position."""
        if torch.compiler.is_compiling() and isinstance(position, Tensor):
            return _rebuild(self._ints, iter(self._tensor.to(position.device).unbind()))
        return self._ints


def _leaves(numbers: Any) -> list[int]:
    return [leaf for part in numbers for leaf in (_leaves(part) if isinstance(part, tuple) else [part])]


def _rebuild(like: Any, leaves: Iterator[Tensor]) -> Any:
    return type(like)(*(_rebuild(part, leaves) if isinstance(part, tuple) else next(leaves) for part in like))


def check_length(length: AnyInt) -> int:
    """Return the length of a data set as a Python int.

    Raises:
        ValueError: outside 1..2**62.
        TypeError: if it is no integer.

    Example:
        >>> check_length(10)
        10
    """
    return check_int(length, name="length", low=1, high=MAX_LENGTH)


def check_num_samples(num_samples: AnyInt | None) -> int | None:
    """Return the number of positions of an order as a Python int, or None for no end.

    Raises:
        ValueError: outside 0..2**62.
        TypeError: if it is no integer.

    Example:
        >>> check_num_samples(10), check_num_samples(None)
        (10, None)
    """
    return None if num_samples is None else check_int(num_samples, name="num_samples", high=MAX_LENGTH)


def index_at(order: Order, position: AnyInt | Int[Tensor, "..."]) -> SampleIndex:
    """Return which sample stands at a position of an order.

    Law: a tensor gives, element by element, what its integers give.

    Args:
        order: any order.
        position: 0-based place in the training order, all ranks together: an integer, or an int64 tensor of any shape.

    Returns:
        A `SampleIndex`, of ints or of tensors of the shape and device of `position`.

    Raises:
        IndexError: if a position is negative or not below `order.num_samples`.
        TypeError: if it is no integer. Tensors inside `torch.compile` and `vmap`, or on an accelerator, are checked for
            their dtype alone.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> index_at(EpochOrder(length=10, seed=7), 25)
        SampleIndex(source=0, epoch=2, idx=8)
    """
    checked: Any = check_index(position, stop=order.num_samples, name="position")
    return order.index_at(checked)


def indices_at(order: Order, positions: Sequence[int], /) -> list[SampleIndex]:
    """Return which samples stand at many positions, computed at once.

    Law: equal to `index_at` position by position.

    Raises:
        IndexError: if a position is negative or not below `order.num_samples`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> [index.idx for index in indices_at(EpochOrder(length=5, seed=7), range(5))]
        [0, 1, 4, 3, 2]
    """
    if len(positions) < _BULK:
        return [index_at(order, position) for position in positions]
    if isinstance(positions, range):
        index = index_at(order, torch.arange(positions.start, positions.stop, positions.step, device="cpu"))
    else:
        index = index_at(order, torch.tensor(positions, dtype=torch.int64, device="cpu"))
    return [SampleIndex(*place) for place in zip(*(part.tolist() for part in index), strict=True)]


def position_of(order: Order, index: SampleIndex) -> Any:
    """Return the position at which an order places a sample.

    Law: the inverse of `index_at`: `position_of(order, index_at(order, position)) == position`.

    Args:
        order: an order with an inverse.
        index: which sample, of ints or of int64 tensors.

    Returns:
        The position, an int or an int64 tensor.

    Raises:
        TypeError: if the order has no inverse.
        IndexError: if the order never comes to that sample.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> position_of(EpochOrder(length=10, seed=7), SampleIndex(source=0, epoch=2, idx=8))
        25
    """
    if not hasattr(order, "position_of"):
        message = f"{type(order).__name__} has no inverse: it may place a sample at several positions, or at none."
        raise TypeError(message)
    checked = SampleIndex(
        check_index(index.source, stop=order.num_sources, name="source"),
        check_index(index.epoch, stop=None, name="epoch"),
        check_index(index.idx, stop=None, name="idx"),
    )
    return check_index(order.position_of(checked), stop=order.num_samples, name="position")


def to_json(order: Order, /) -> str:
    """Return an order as canonical JSON, with the version of the algorithms.

    Law: `from_json(to_json(order)) == order`; equal orders give equal text, in any process and on any machine.

    Returns:
        ASCII text with sorted keys and no spaces. An array of more than 64 elements (weights) is there by its digest:
        keep `large_arrays(order)` beside it.

    Raises:
        TypeError: if the order holds anything but plain values, arrays, tuples and attrs records.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> to_json(EpochOrder(length=10, seed=7))
        '{"algorithm":2,"order":{"length":10,"num_samples":null,"seed":7,"shuffle":true,"type":"EpochOrder"}}'
    """
    return canonical_json({"algorithm": ALGORITHM_VERSION, "order": order})


def order_id(order: Order, /) -> str:
    """Return a name for what an order does: the sha256 of its canonical JSON and the version of the algorithms.

    Law: equal orders have equal ids, in any process and on any machine; another field or another `ALGORITHM_VERSION`
    gives another id.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order_id(EpochOrder(length=10, seed=7))[:12]
        'da217f1f8c07'
    """
    return hashlib.sha256(to_json(order).encode()).hexdigest()
