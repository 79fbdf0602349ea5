"""Records as plain values, by the annotations of their fields: equal records have equal plain values."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import attrs
import numpy as np
import torch
from cattrs.preconf.json import make_converter

from bionemo.core.checks import shown
from bionemo.core.frozen_array import FrozenArray

__all__ = [
    "ADDED",
    "MAPPING",
    "TYPE",
    "field_types",
    "given_fields",
    "is_written_out",
    "parts_of",
    "type_name",
    "write",
]

TYPE: Final = "type"
"""Key of a record's class name, next to its fields."""
MAPPING: Final = "mapping"
"""Type of a mapping that can't be a JSON object: a key is not a string, or is "type"."""
ADDED: Final[Mapping[str, bool]] = {"added": True}
"""Metadata of a field that a class got later: it is written only if it isn't its default, so that records without it
keep their text and their fingerprint."""
_SMALL_ARRAY: Final = 64
"""Largest number of elements of an array that is written out."""
_CONVERTER: Final = make_converter()


def write(value: Any, /, hint: Any = Any) -> Any:  # noqa: PLR0911 - one line per kind of value
    """Return a value as plain values: dicts, lists, numbers and strings.

    Args:
        value: a record, or the value of a record's field.
        hint: the field's annotation; e.g. 1 in a field of floats is written as 1.0.

    Raises:
        TypeError: if a record can't hold such a value.
        ValueError: if a number is not finite.

    Example:
        >>> write((1, 0.5), tuple[float, ...]), write({1: None})
        ([1.0, 0.5], {'type': 'mapping', 'items': [[1, None]]})
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | np.generic):
        return _write_number(value, hint)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, FrozenArray):
        return _write_array(value)
    if attrs.has(type(value)):
        return _write_record(value)
    if isinstance(value, Mapping):
        return _write_mapping(value, hint)
    if isinstance(value, AbstractSet):
        return sorted((write(part, hint) for part in value), key=json.dumps)
    if isinstance(value, tuple | list):
        return [write(part, hint) for part in value]
    plain = _CONVERTER.unstructure(value)  # an enumeration, a date, a path
    if not isinstance(plain, str | int | float):
        message = f"a record must hold plain values, tuples and attrs records, got {type(value).__name__}."
        raise TypeError(message)
    return plain


def _write_number(value: Any, hint: Any) -> Any:
    """Return one number for all equal ones in a field, such as 1, 1.0 and True, or 0.0 and -0.0."""
    number = value.item() if isinstance(value, np.generic) else value
    if not math.isfinite(number):
        message = f"a number in a record must be finite, got {number!r}."
        raise ValueError(message)
    kinds = _types_in(hint) & {bool, int, float}
    if kinds == {float}:
        return float(number) + 0.0  # -0.0 becomes 0.0
    if kinds == {bool} and number in {0, 1}:
        return bool(number)
    return int(number) if number == int(number) else float(number)


def _write_array(value: FrozenArray) -> dict[str, Any]:
    array = value.array
    record = {TYPE: "FrozenArray", "dtype": array.dtype.name, "shape": list(array.shape), "sha256": value.digest}
    return record | ({"values": array.ravel().tolist()} if is_written_out(value) else {})


def is_written_out(array: FrozenArray, /) -> bool:
    """Return whether an array is written out in a record: it has at most 64 elements, all finite.

    Example:
        >>> is_written_out(FrozenArray(np.arange(64))), is_written_out(FrozenArray(np.arange(65)))
        (True, False)
    """
    return array.array.size <= _SMALL_ARRAY and bool(np.isfinite(array.array).all())


def _write_record(value: Any) -> dict[str, Any]:
    kind: Any = type(value)
    fields, hints = given_fields(value), field_types(kind)
    if TYPE in fields:
        message = f"a record must have no field called type, got {kind.__name__}: its class is named there."
        raise TypeError(message)
    added = {field.alias or field.name: field.default for field in attrs.fields(kind) if "added" in field.metadata}
    written = {name: part for name, part in fields.items() if name not in added or part != added[name]}
    return {TYPE: type_name(kind)} | {name: write(part, hints.get(name, Any)) for name, part in written.items()}


def _write_mapping(value: Mapping[Any, Any], hint: Any) -> dict[str, Any]:
    if all(isinstance(key, str) for key in value) and TYPE not in value:
        return {key: write(part, hint) for key, part in value.items()}
    items = [[write(key, hint), write(part, hint)] for key, part in value.items()]
    return {TYPE: MAPPING, "items": sorted(items, key=json.dumps)}


@cache
def field_types(kind: type, /) -> dict[str, Any]:
    """Return the annotations of an attrs class's fields, by the names of their arguments.

    Example:
        >>> Sizes = attrs.make_class("Sizes", {"width": attrs.field(type=int)})
        >>> field_types(Sizes)
        {'width': <class 'int'>}
    """
    try:
        hints = get_type_hints(kind)
    except NameError:  # a name that is imported for type checkers only
        hints = {}
    return {field.alias or field.name: hints.get(field.name, Any) for field in attrs.fields(kind)}


def _types_in(hint: Any) -> set[Any]:
    """Return all types in an annotation: of unions their members, of containers the types of their elements."""
    return {hint}.union(*map(_types_in, get_args(hint))) if get_args(hint) else {hint}


def given_fields(record: Any, /) -> dict[str, Any]:
    """Return the arguments that make an equal attrs record, by name.

    Example:
        >>> given_fields(FrozenArray(np.arange(3)))
        {'array': array([0, 1, 2])}
    """
    if not attrs.has(type(record)):
        message = f"record must be an attrs record, got {shown(record)} of type {type(record).__name__}."
        raise TypeError(message)
    fields = attrs.fields(type(record))
    return {field.alias or field.name: getattr(record, field.name) for field in fields if field.init}


def type_name(kind: type, /) -> str:
    """Return the name of a class in records.

    A class of this library is named without its module, so that it may move between files. A class of a program that
    runs as `__main__` is named as if the program had been imported.

    Example:
        >>> type_name(FrozenArray), type_name(Path)
        ('FrozenArray', 'pathlib.Path')
    """
    if not isinstance(kind, type):
        message = f"kind must be a class, got kind={shown(kind)}."  # type: ignore[unreachable]
        raise TypeError(message)
    module = kind.__module__
    if module == "__main__":
        main = sys.modules[module]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    is_ours = module.startswith(("bionemo.core.", "bionemo.data.", "bionemo.adapters."))
    return kind.__qualname__ if is_ours else f"{module}.{kind.__qualname__}"


def parts_of(record: object, /) -> Iterable[Any]:
    """Yield a record and everything in it, at any depth.

    Example:
        >>> list(parts_of((1, {"a": 2})))
        [(1, {'a': 2}), 1, {'a': 2}, 2]
    """
    yield record
    inner: Iterable[Any] = ()
    if isinstance(record, Mapping):
        inner = record.values()
    elif isinstance(record, tuple | list):
        inner = record
    elif attrs.has(type(record)) and not isinstance(record, FrozenArray):
        inner = given_fields(record).values()
    for part in inner:
        yield from parts_of(part)
