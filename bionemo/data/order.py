"""What all orders share: which sample stands at a position, and back."""

import hashlib
from collections.abc import Collection
from typing import Any, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, check_index
from bionemo.data.record import canonical_json

__all__ = [
    "ALGORITHM_VERSION",
    "Order",
    "SampleIndex",
    "index_at",
    "indices_at",
    "order_id",
    "position_of",
    "to_json",
]

ALGORITHM_VERSION: Final = 2
"""Version of the algorithms behind the orders: it grows whenever one record would come to give other indices."""

Word = TypeVar("Word", int, Tensor)

_BULK: Final = 16
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
    `position_of(index)` besides; one that knows how long its data sets must be has `source_lengths`, a tuple of an int,
    or None where it doesn't know, for each; one whose epochs begin at the multiples of a number has `epoch_length`.
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


def index_at(order: Order, position: AnyInt | Int[Tensor, "..."]) -> SampleIndex:
    """Return which sample stands at a position of an order.

    Law: a tensor gives, element by element, what its integers give.

    Args:
        order: any order.
        position: 0-based place in the training order, all ranks together: an integer, or an int64 tensor of any shape.
            Inside `torch.compile` it is a tensor; one graph serves every order of one make, whatever its numbers.

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


def indices_at(order: Order, positions: Collection[AnyInt], /) -> list[SampleIndex]:
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
        values = positions.start + np.arange(len(positions)) * positions.step
    else:
        values = np.array(positions)
    if values.dtype != np.int64:  # one by one, each is checked for what it is
        return [index_at(order, position) for position in positions]
    index = index_at(order, torch.from_numpy(values))
    return [SampleIndex(*place) for place in zip(*(part.tolist() for part in index), strict=True)]


def position_of(order: Order, index: SampleIndex) -> Any:
    """Return the position at which an order places a sample.

    Law: the inverse of `index_at`: `position_of(order, index_at(order, position)) == position`.

    Args:
        order: an order with an inverse.
        index: which sample, of ints or of int64 tensors, which broadcast.

    Returns:
        The position, an int or an int64 tensor.

    Raises:
        TypeError: if the order has no inverse, or `index` is no `SampleIndex` of integers.
        IndexError: if the order never comes to that sample.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> position_of(EpochOrder(length=10, seed=7), SampleIndex(source=0, epoch=2, idx=8))
        25
    """
    if not hasattr(order, "position_of"):
        message = f"{type(order).__name__} has no inverse: it may place a sample at several positions, or at none."
        raise TypeError(message)
    if not isinstance(index, SampleIndex):
        message = f"index must be a SampleIndex(source, epoch, idx), got {index!r}."  # type: ignore[unreachable]
        raise TypeError(message)
    checked: list[Any] = [
        check_index(index.source, stop=order.num_sources, name="source"),
        check_index(index.epoch, stop=None, name="epoch"),
        check_index(index.idx, stop=None, name="idx"),
    ]
    tensors = [part for part in checked if isinstance(part, Tensor)]
    if tensors:  # ints stand for tensors of equal elements
        device = tensors[0].device
        parts = [part if isinstance(part, Tensor) else torch.full((), part, device=device) for part in checked]
        shape = np.broadcast_shapes(*(part.shape for part in parts))
        checked = [part.expand(shape) for part in parts]
    return check_index(order.position_of(SampleIndex(*checked)), stop=order.num_samples, name="position")


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
