"""Converters and validators for the fields of attrs records."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from bionemo.core.checks import AnyFloat, AnyInt, check_int, shown

__all__ = [
    "Documented",
    "check_bool",
    "check_choice",
    "check_instance",
    "check_size",
    "refuse_rebinding",
    "short_repr",
    "to_bool",
    "to_float",
    "to_int",
]

if TYPE_CHECKING:
    from abc import ABCMeta as _Type  # that of protocols, which the type checkers take for bases of records
else:
    _Type = type

_MAX_SHOWN: Final = 16
"""Longest tuple that a repr shows whole."""


class Documented(_Type):
    """Metaclass of records: `dir` and `help` list their members, and not the methods that attrs adds to every record.

    Example:
        >>> class Range(metaclass=Documented):
        ...     low: int = 0
        ...     def _hidden(self): ...
        >>> dir(Range)
        ['low']
    """

    def __dir__(cls) -> list[str]:  # noqa: N805 - a metaclass
        return [name for name in super().__dir__() if not name.startswith("_")]


def to_int(number: AnyInt, /) -> int:
    """Return an integer as a Python int: a converter of a record's field, which a validator checks afterwards.

    Example:
        >>> to_int(np.int8(100))
        100
    """
    return int(number) if isinstance(number, np.integer) else number


def to_bool(value: bool | np.bool_, /) -> bool:  # noqa: FBT001 - a converter
    """Return a bool of NumPy as one of Python: a converter of a record's field, which a validator checks afterwards.

    Example:
        >>> to_bool(np.bool_(True))
        True
    """
    return bool(value) if isinstance(value, np.bool_) else value


def to_float(number: AnyFloat, /) -> float:
    """Return a number as a Python float; an integer beyond all floats as an infinite one, which range checks refuse.

    Example:
        >>> to_float(3), to_float(10**400), to_float(-(10**400))
        (3.0, inf, -inf)
    """
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def short_repr(value: object, /, *, show: Callable[[object], str] = repr) -> str:
    """Return the repr of a field, with only the first three elements of a tuple of more than 16.

    Args:
        value: the field.
        show: makes the text of all that is not a tuple.

    Example:
        >>> short_repr((1, (2,))), short_repr(tuple(range(100)))
        ('(1, (2,))', '(0, 1, 2, ... 97 more)')
    """
    if type(value) is not tuple:
        return show(value)
    is_long = len(value) > _MAX_SHOWN
    parts = [short_repr(part, show=show) for part in (value[:3] if is_long else value)]
    parts += [f"... {len(value) - 3} more"] if is_long else []
    return f"({', '.join(parts)}{',' * (len(value) == 1)})"


def check_size(_: object, field: "attrs.Attribute[int]", size: int) -> None:
    """Check that a field of a record is a positive integer: an attrs validator.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is outside 1..2**62, so that twice a size fits int64.

    Example:
        >>> Options = attrs.make_class("Options", {"window_size": attrs.field(validator=check_size)})
        >>> Options(window_size=0)
        Traceback (most recent call last):
        ValueError: window_size must be in 1..4611686018427387904, got window_size=0.
    """
    check_int(size, name=field.name, low=1, high=2**62)


def check_instance(kind: type, /) -> "Callable[[object, attrs.Attribute[Any], Any], None]":
    """Return an attrs validator that raises a TypeError if a field is no instance of a class.

    Example:
        >>> Options = attrs.make_class("Options", {"name": attrs.field(validator=check_instance(str))})
        >>> Options(name=3)
        Traceback (most recent call last):
        TypeError: name must be a str, got name=3 of type int.
    """

    def check(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            found = f"{field.name}={shown(value)} of type {type(value).__name__}"
            message = f"{field.name} must be a {kind.__name__}, got {found}."
            raise TypeError(message)

    return check


def check_bool(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Check that a field of a record is a bool: an attrs validator.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> Options = attrs.make_class("Options", {"shuffle": attrs.field(validator=check_bool)})
        >>> Options(shuffle=1)
        Traceback (most recent call last):
        TypeError: shuffle must be True or False, got shuffle=1.
    """
    if not isinstance(value, bool):
        message = f"{field.name} must be True or False, got {field.name}={shown(value)}."
        raise TypeError(message)


def refuse_rebinding(_: object, __: "attrs.Attribute[Any]", ___: object) -> None:
    """Raise an error: the `on_setattr` of a class whose fields stay, while subclasses may have other attributes.

    Raises:
        FrozenInstanceError: always.

    Example:
        >>> Record = attrs.make_class("Record", ["size"], slots=False, on_setattr=refuse_rebinding)
        >>> Record(size=3).size = 4
        Traceback (most recent call last):
        attr.exceptions.FrozenInstanceError: can't set attribute
    """
    raise attrs.exceptions.FrozenInstanceError


def check_choice(*choices: str) -> "Callable[[object, attrs.Attribute[Any], Any], None]":
    """Return an attrs validator that raises a ValueError if a field is none of some choices.

    Example:
        >>> Options = attrs.make_class("Options", {"side": attrs.field(validator=check_choice("left", "right"))})
        >>> Options(side="top")
        Traceback (most recent call last):
        ValueError: side must be 'left' or 'right', got side='top'.
    """

    def check(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, str) or value not in choices:
            message = f"{field.name} must be {' or '.join(map(repr, choices))}, got {field.name}={shown(value)}."
            raise ValueError(message)

    return check
