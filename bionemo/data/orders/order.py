"""The protocol of all orders, and the lookup in both directions."""

from typing import Any, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bionemo.core.arrays import in_blocks
from bionemo.core.checks import IntArray, check_dense, check_index, is_concrete, shown
from bionemo.core.int64 import as_integers

__all__ = ["ALGORITHM_VERSION", "Order", "PlannedOrder", "SampleIndex", "check_is_order", "index_at", "position_of"]

ALGORITHM_VERSION: Final = 3
"""Version of everything that is seeded: increased whenever an order, a permutation, a draw or a mask changes."""

Word = TypeVar("Word", int, IntArray)


class SampleIndex(NamedTuple):
    """A sample: the number of its data set, the pass over that data set, and its index there.

    Three ints, or three int64 arrays or tensors of one shape.
    """

    source: Any
    epoch: Any
    idx: Any


@runtime_checkable
class Order(Protocol):
    """A frozen record that maps the positions of a training run to samples.

    Any attrs record with these members is an order; nothing has to be registered. Optional members:
    `position_of(index)`, the inverse; `source_lengths`, the expected length of each data set (None if unknown);
    `epoch_length`, if all epochs are equally long; `window_stop(position)`, the position after those samples that are
    read from the same few blocks.
    """

    @property
    def num_samples(self) -> int | None:
        """Number of positions; None if the order never ends."""
        ...

    @property
    def num_sources(self) -> int:
        """Number of data sets that the order draws from."""
        ...

    def index_at(self, position: Word, /) -> SampleIndex:
        """Return the sample at a position, for an int or a one-axis int64 array; unchecked.

        A part of the result may be an int that represents an array of equal elements. Users call
        `bionemo.data.index_at`, which checks the position and takes everything that holds positions.
        """
        ...


@runtime_checkable
class PlannedOrder(Order, Protocol):
    """An order that makes the steps itself: a `Pipeline` of it has no `batch_size`.

    A step is a run of consecutive positions, made up of bins, which are runs of positions, too. Ranks share a step by
    bins.
    """

    def step_bounds(self, position: int, /) -> IntArray:
        """Return the positions at which the bins of a step begin, and its end.

        The step is the one that the position is in; what is before the position is left out.
        """
        ...

    def step_of(self, position: int, /) -> int:
        """Return the number of the step that a position is in; the number of steps for the end of the order."""
        ...

    def step_start(self, step: int, /) -> int:
        """Return the position at which a step begins.

        Raises:
            IndexError: if there is no such step.
        """
        ...

    def tokens_of(self, index: SampleIndex, /) -> IntArray:
        """Return the number of tokens that is planned for each sample, given in one-axis int64 arrays."""
        ...


def check_is_order(value: object, /, *, name: str) -> None:
    """Check that a value is an order, and not the class of one.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> check_is_order(range(3), name="order")
        Traceback (most recent call last):
        TypeError: order must have num_samples, num_sources and index_at, got range(0, 3).
        Make one, e.g. EpochOrder(length=len(dataset), seed=42).
    """
    # `isinstance(value, Order)` looks at the same members, but takes ten times as long.
    members = ("index_at", "num_samples", "num_sources")
    if isinstance(value, type) or not all([hasattr(value, member) for member in members]):  # noqa: C419 - faster
        message = (
            f"{name} must have num_samples, num_sources and index_at, got {shown(value)}. "
            "Make one, e.g. EpochOrder(length=len(dataset), seed=42)."
        )
        raise TypeError(message)


def index_at(order: Order, position: Any, /) -> SampleIndex:
    """Return which sample an order has at a position.

    Law: a sequence, array or tensor gives, element by element, what its integers give.

    Args:
        order: any order.
        position: 0-based index into the training order, all ranks together: an integer, a sequence or integer array of
            them, or an int64 tensor of any shape. The computation runs on the CPU.

    Returns:
        A `SampleIndex` of ints for an integer, of int64 tensors on the same device for a tensor, and of int64 arrays
        for anything else, in the shape of `position`.

    Raises:
        IndexError: if a position is negative or not below `order.num_samples`.
        TypeError: if `order` is not an order, a position is not an integer, or a tensor is traced by `torch.compile` or
            `vmap`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order = EpochOrder(length=10, seed=7)
        >>> index_at(order, 25)
        SampleIndex(source=0, epoch=2, idx=8)
        >>> index_at(order, range(3)).idx
        array([5, 4, 9])
    """
    check_is_order(order, name="order")
    stop = order.num_samples
    if isinstance(position, int | np.integer):
        return order.index_at(check_index(position, stop=stop, name="position"))
    if isinstance(position, Tensor):
        found = index_at(order, _to_host(position, "position"))
        return SampleIndex(*(torch.from_numpy(part).to(position.device) for part in found))
    positions = as_integers(position, name="position")
    for bounds in (*position[:1], *position[-1:]) if isinstance(position, range) else (positions,):
        check_index(bounds, stop=stop, name="position")
    return SampleIndex(*in_blocks(order.index_at, positions.astype(np.int64, copy=False)))


def position_of(order: Order, index: SampleIndex, /) -> Any:
    """Return the position at which an order has a sample.

    Law: the inverse of `index_at`: `position_of(order, index_at(order, position)) == position`.

    Args:
        order: an order with an inverse.
        index: which sample: integers, sequences or arrays of them, or int64 tensors, which broadcast.

    Returns:
        The position: an int, an int64 array, or an int64 tensor if one of the parts is a tensor.

    Raises:
        TypeError: if `order` is not an order or has no inverse, or `index` is not a `SampleIndex` of integers.
        IndexError: if the order never reaches that sample.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> position_of(EpochOrder(length=10, seed=7), SampleIndex(source=0, epoch=2, idx=8))
        25
    """
    check_is_order(order, name="order")
    if not hasattr(order, "position_of"):
        message = f"{type(order).__name__} has no inverse: a sample may occur at several positions, or at none."
        raise TypeError(message)
    if not isinstance(index, SampleIndex):
        message = f"index must be a SampleIndex(source, epoch, idx), got index={shown(index)}."  # type: ignore[unreachable]
        raise TypeError(message)
    devices = [part.device for part in index if isinstance(part, Tensor)]
    limits = {"source": order.num_sources, "epoch": None, "idx": None}
    parts = [_as_words(part, name) for name, part in zip(limits, index, strict=True)]
    checked = [check_index(part, stop=limits[name], name=name) for name, part in zip(limits, parts, strict=True)]
    if any(isinstance(part, np.ndarray) for part in checked):
        checked = [np.asarray(part, dtype=np.int64) for part in np.broadcast_arrays(*checked)]
    found = in_blocks(lambda *parts: order.position_of(SampleIndex(*parts)), *checked)
    position = check_index(found, stop=order.num_samples, name="position")
    return torch.from_numpy(position).to(devices[0]) if devices else position


def _as_words(value: Any, name: str) -> Any:
    """Return an integer unchanged, and anything else that holds integers as an int64 array."""
    if isinstance(value, int | np.integer):
        return value
    return _to_host(value, name) if isinstance(value, Tensor) else as_integers(value, name=name)


def _to_host(tensor: Tensor, name: str) -> IntArray:
    """Return an int64 tensor of any device as an array."""
    check_dense(tensor, name=name)
    check_index(tensor[:0] if tensor.ndim else tensor, stop=None, name=name)  # the dtype alone
    on_host = tensor.detach().cpu()
    if not is_concrete(on_host):
        message = (
            f"{name} must not be traced: orders run outside of torch.compile and vmap. Look up the samples before."
        )
        raise TypeError(message)
    array: IntArray = on_host.numpy()
    return array
