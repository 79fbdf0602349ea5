"""What the orders of this library share."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import attrs  # noqa: TC002 - beartype reads the annotations

from bionemo.core.checks import MAX_INT, AnyInt, as_int, check_index, check_int, shown
from bionemo.core.fields import Documented, short_repr
from bionemo.core.record import given_fields
from bionemo.data.orders.html import order_html
from bionemo.data.orders.order import Order, SampleIndex, check_is_order
from bionemo.data.permute import MAX_LENGTH

__all__ = [
    "OrderBase",
    "OrderOver",
    "check_in_epochs",
    "check_length",
    "check_num_samples",
    "check_order",
    "check_some_samples",
    "first_repeated",
    "leaves",
    "num_levels",
]

_MAX_LEVELS: Final = 32
"""Deepest nesting of orders: each level takes a few of Python's 1,000 nested calls."""


if TYPE_CHECKING:
    _Order = Order  # by name: pyright doesn't see that a field with a converter is one of the protocol's attributes
else:
    _Order = object


class OrderBase(_Order, metaclass=Documented):
    """The members that the orders of this library have in addition to their fields.

    Don't inherit from it: an order of your own only needs the members of `Order`.
    """

    __slots__ = ()

    length: int
    num_samples: int | None

    def __len__(self) -> int:
        """Return the number of positions.

        Raises:
            TypeError: if the order never ends.
        """
        if self.num_samples is None:
            message = "an order without end has no length, got num_samples=None. Give num_samples to end it."
            raise TypeError(message)
        return self.num_samples

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        # Orders that may have long tuples as fields leave their repr to this one.
        fields = ", ".join(f"{name}={short_repr(value)}" for name, value in given_fields(self).items())
        return f"{type(self).__name__}({fields})"

    def _repr_html_(self) -> str:
        return order_html(self)

    @property
    def num_sources(self) -> int:
        """Number of data sets that the order draws from."""
        return 1

    @property
    def epoch_length(self) -> int | None:
        """Positions per epoch, if each multiple of it begins an epoch; else None."""
        return None

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """Expected length of each data set; None if unknown."""
        return (self.length,)


class OrderOver(OrderBase):
    """The members that orders over one other order share: their samples are those of that order."""

    __slots__ = ()

    order: Order

    @property
    def num_sources(self) -> int:
        """Number of data sets that the order draws from."""
        return self.order.num_sources

    @property
    def num_levels(self) -> int:
        """Number of levels that orders are nested in."""
        return num_levels([self.order])

    @property
    def source_lengths(self) -> tuple[int | None, ...]:
        """Expected length of each data set; None if unknown."""
        return getattr(self.order, "source_lengths", (None,) * self.num_sources)


def check_in_epochs(index: SampleIndex, length: AnyInt) -> None:
    """Check that a sample is in an epoch of a data set of some length, at a position that fits int64.

    Raises:
        IndexError: if it isn't.

    Example:
        >>> check_in_epochs(SampleIndex(source=0, epoch=5, idx=9), 10)
    """
    check_index(index.idx, stop=length, name="idx")
    check_index(index.epoch, stop=MAX_INT // as_int(length) + 1, name="epoch")


def check_length(length: AnyInt) -> int:
    """Return the length of a data set as a Python int.

    Raises:
        ValueError: if it is outside 1..2**62.
        TypeError: if it is not an integer.

    Example:
        >>> check_length(10)
        10
    """
    return check_int(length, name="length", low=1, high=MAX_LENGTH)


def check_num_samples(num_samples: AnyInt | None) -> int | None:
    """Return the number of positions of an order as a Python int, or None for no end.

    Raises:
        ValueError: if it is outside 0..2**62.
        TypeError: if it is not an integer.

    Example:
        >>> check_num_samples(10), check_num_samples(None)
        (10, None)
    """
    return None if num_samples is None else check_int(num_samples, name="num_samples", high=MAX_LENGTH)


def check_some_samples(num_samples: AnyInt | None) -> int | None:
    """Return the number of samples of a data set as a Python int, or None if it isn't given.

    Raises:
        ValueError: if it is outside 1..2**62.
        TypeError: if it is not an integer.

    Example:
        >>> check_some_samples(0)
        Traceback (most recent call last):
        ValueError: num_samples must be in 1..4611686018427387904, got num_samples=0.
    """
    return None if num_samples is None else check_int(num_samples, name="num_samples", low=1, high=MAX_LENGTH)


def check_order(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Check that a field of a record is an order: an attrs validator.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> Options = attrs.make_class("Options", {"order": attrs.field(validator=check_order)})
        >>> Options(order=range(3))
        Traceback (most recent call last):
        TypeError: order must have num_samples, num_sources and index_at, got range(0, 3).
        Make one, e.g. EpochOrder(length=len(dataset), seed=42).
    """
    check_is_order(value, name=field.name)


def num_levels(orders: Iterable[Order], /) -> int:
    """Return the number of levels of an order that holds others: one more than the deepest of them.

    Raises:
        ValueError: if they are nested too deeply.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> num_levels([EpochOrder(length=3, seed=7)])
        1
    """
    levels = 1 + max(getattr(order, "num_levels", 0) for order in orders)
    if levels > _MAX_LEVELS:
        message = (
            f"orders must be nested at most {_MAX_LEVELS} deep, got {levels} levels. "
            "Put the orders of an inner mixture into the outer one, with weights to match."
        )
        raise ValueError(message)
    return levels


def leaves(orders: Iterable[Order], /) -> list[Order]:
    """Return the orders that draw from the sources, also those within orders of this library that hold others.

    Example:
        >>> from bionemo.data import EpochOrder, MixtureOrder
        >>> inner = EpochOrder(length=3, seed=7)
        >>> leaves([MixtureOrder(orders=[inner], weights=[1])]) == [inner]
        True
    """
    found: list[Order] = []
    for order in orders:
        held = getattr(order, "orders", None) or [getattr(order, "order", None)] if isinstance(order, OrderBase) else []
        found.extend(leaves(held) if any(held) else [order])
    return found


def first_repeated(orders: Iterable[Order], /) -> Order | None:
    """Return the first order that draws what an earlier one draws: they differ at most in `num_samples`.

    Raises:
        TypeError: if an order is not hashable.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> first_repeated([EpochOrder(length=3, seed=7), EpochOrder(length=3, seed=7, num_samples=2)])
        EpochOrder(length=3, seed=7, num_samples=2, shuffle=True)
    """
    seen = set()
    for order in orders:
        fields = given_fields(order) if isinstance(order, OrderBase) else {"order": order}
        drawn = type(order), *(value for name, value in fields.items() if name != "num_samples")
        try:
            is_new = drawn not in seen
        except TypeError as error:
            message = f"orders must be hashable, got {shown(order)}. Make it a frozen attrs record without lists."
            raise TypeError(message) from error
        if not is_new:
            return order
        seen.add(drawn)
    return None
