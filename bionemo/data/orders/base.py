"""What the orders of this library share."""

from typing import Any

import attrs  # noqa: TC002 - beartype reads the annotations

from bionemo.core.checks import MAX_INT, AnyInt, as_int, check_index, check_int
from bionemo.data.orders.order import Order, SampleIndex
from bionemo.data.permute import MAX_LENGTH

__all__ = ["OrderBase", "check_in_epochs", "check_length", "check_num_samples", "check_order"]


class OrderBase:
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


def check_order(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Check that a field of a record is an order: an attrs validator.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> Options = attrs.make_class("Options", {"order": attrs.field(validator=check_order)})
        >>> Options(order=range(3))
        Traceback (most recent call last):
        TypeError: order must have num_samples, num_sources and index_at, got range(0, 3).
    """
    if not isinstance(value, Order) or isinstance(value, type):
        message = f"{field.name} must have num_samples, num_sources and index_at, got {value!r}."
        raise TypeError(message)
