"""Records as plain values: what is written to a file, and in what two of them differ."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core.utils.frozen_array import FrozenArray

__all__ = [
    "SMALL_ARRAY",
    "canonical_json",
    "differences_as_text",
    "function_name",
    "given_fields",
    "record_differences",
    "to_record",
    "type_name",
]

SMALL_ARRAY: Final = 64
"""An array of at most so many elements is written out in a record."""


def canonical_json(value: object, /) -> str:
    """Return a record as JSON that is the same for equal records, on any machine: sorted keys, no spaces, ASCII.

    Example:
        >>> canonical_json({"b": 1, "a": (2, None)})
        '{"a":[2,null],"b":1}'
    """
    return json.dumps(to_record(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def to_record(value: object, /) -> Any:
    """Return an attrs record as plain dicts, lists, numbers and strings: what its canonical JSON is made from.

    Each record becomes a dict with its `type` besides its fields. An array of more than 64 elements is there by its
    digest alone.

    Args:
        value: an attrs record of plain values, tuples and such records.

    Raises:
        TypeError: for a value of another kind.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> to_record(EpochOrder(length=10, seed=42))
        {'type': 'EpochOrder', 'length': 10, 'seed': 42, 'num_samples': None, 'shuffle': True}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [to_record(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): to_record(part) for key, part in value.items()}
    if isinstance(value, FrozenArray):
        return _array_record(value)
    if not attrs.has(type(value)):
        message = f"a record must hold plain values, tuples and attrs records, got {type(value).__name__}."
        raise TypeError(message)
    kind: Any = type(value)
    fields = given_fields(value)
    if "type" in fields:
        message = f"a record must have no field called type, got {kind.__name__}: that is where its class is named."
        raise TypeError(message)
    return {"type": type_name(kind)} | {name: to_record(part) for name, part in fields.items()}


def given_fields(record: Any, /) -> dict[str, Any]:
    """Return the arguments that an attrs record was made with, by name: what makes an equal one.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> given_fields(EpochOrder(length=10, seed=42))
        {'length': 10, 'seed': 42, 'num_samples': None, 'shuffle': True}
    """
    fields = attrs.fields(type(record))
    return {field.alias or field.name: getattr(record, field.name) for field in fields if field.init}


def type_name(kind: type, /) -> str:
    """Return the name of a class in a record: its own for one of this library, its full path for any other.

    Example:
        >>> type_name(FrozenArray), type_name(functools.partial)
        ('bionemo.core.utils.frozen_array.FrozenArray', 'functools.partial')
    """
    is_ours = kind.__module__.startswith("bionemo.data.")
    return kind.__qualname__ if is_ours else f"{kind.__module__}.{kind.__qualname__}"


def _array_record(value: FrozenArray) -> dict[str, Any]:
    array = value.array
    record = {"type": "FrozenArray", "dtype": array.dtype.name, "shape": list(array.shape), "sha256": value.digest}
    return record | ({"values": array.ravel().tolist()} if array.size <= SMALL_ARRAY else {})


def function_name(function: Callable[..., Any] | None, /) -> str | None:
    """Return a name that says what a function does: its path, and the arguments of a partial; None for none.

    Example:
        >>> function_name(functools.partial(sorted, reverse=True))
        'builtins.sorted(reverse=True)'
    """
    if function is None:
        return None
    if isinstance(function, functools.partial):
        given = [
            *map(_shown, function.args),
            *(f"{name}={_shown(value)}" for name, value in sorted(function.keywords.items())),
        ]
        return f"{function_name(function.func)}({', '.join(given)})"
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__ or 'builtins'}.{kind.__qualname__}"


def _shown(value: object) -> str:
    """Return an argument as text that is the same in every process: never an address in memory."""
    if callable(value):
        return str(function_name(value))
    if isinstance(value, np.generic):
        return repr(value.item())
    if type(value).__repr__ is object.__repr__:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    return repr(value)


def _flatten(record: Any, path: str = "") -> dict[str, Any]:
    if isinstance(record, Mapping):
        parts = [(str(key), part) for key, part in record.items()]
    elif isinstance(record, list):
        parts = [(str(place), part) for place, part in enumerate(record)]
    else:
        return {path: record}
    return {
        name: leaf for key, part in parts for name, leaf in _flatten(part, f"{path}.{key}" if path else key).items()
    }


def record_differences(saved: Mapping[str, Any], current: Mapping[str, Any], /) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two records differ: dotted path to the two values, None where one has no such field.

    Example:
        >>> record_differences({"order": {"seed": 1, "length": 3}}, {"order": {"seed": 2, "length": 3}})
        {'order.seed': (1, 2)}
    """
    before, after = _flatten(saved), _flatten(current)
    return {name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)}


def differences_as_text(differences: Mapping[str, tuple[Any, Any]], /) -> str:
    """Return differences of records as one line for people.

    Example:
        >>> differences_as_text({"order.seed": (1, 2)})
        'order.seed (was 1, is 2)'
    """
    return ", ".join(f"{name} (was {before!r}, is {after!r})" for name, (before, after) in differences.items())
