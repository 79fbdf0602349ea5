"""Records from plain values, by cattrs, without conversions between types."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import attrs
import numpy as np
import torch
from cattrs import BaseValidationError, Converter, StructureHandlerNotFoundError, transform_error
from cattrs.gen import make_dict_structure_fn
from cattrs.preconf.json import make_converter

from bionemo.core.checks import shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.record_writing import MAPPING, TYPE, field_types, type_name

__all__ = ["kinds_by_name", "read", "reason_of"]

_MAX_VALUES: Final = 10**6
"""Largest number of values that a text may hold, with its YAML aliases expanded."""


def reason_of(error: Exception, /) -> str:
    """Return why a text can't be read, on one line and without a full stop.

    Example:
        >>> reason_of(ValueError("no such field."))
        'no such field'
    """
    is_deep = isinstance(error, RecursionError)
    return "it is nested too deeply" if is_deep else " ".join(str(error).split()).removesuffix(".")


def kinds_by_name(kinds: Iterable[type], /) -> dict[str, type]:
    """Return attrs classes, and those that their fields are annotated with, by name.

    Example:
        >>> Inner = attrs.make_class("Inner", ["value"])
        >>> Outer = attrs.make_class("Outer", {"parts": attrs.field(type=tuple[Inner, ...])})
        >>> [kind.__name__ for kind in kinds_by_name([Outer]).values()]
        ['Outer', 'Inner']
    """
    found: dict[str, type] = {}
    hints: list[Any] = list(kinds)
    for kind in hints:
        if not isinstance(kind, type):
            message = f"kinds must hold classes, got {shown(kind)}."
            raise TypeError(message)
    for hint in hints:  # the list grows meanwhile
        if attrs.has(hint) and found.setdefault(type_name(hint), hint) is hint:
            hints.extend(known for known in field_types(hint).values() if known not in hints)
        hints.extend(known for known in get_args(hint) if known not in hints)
    return found


def read(plain: Any, /, kinds: Mapping[str, type], arrays: Mapping[str, Any]) -> Any:
    """Return plain values with the records in them restored, and lists as tuples.

    Args:
        plain: dicts, lists, numbers and strings.
        kinds: the classes that they may name.
        arrays: arrays by digest.

    Raises:
        ValueError: if a value doesn't fit.

    Example:
        >>> read([1, {"type": "mapping", "items": [[2, 3]]}], {}, {})
        (1, {2: 3})
    """
    if _num_values(plain, {}) > _MAX_VALUES:
        message = f"text must hold at most {_MAX_VALUES} values, got more: {shown(plain)}."
        raise ValueError(message)
    return _read(plain, kinds, arrays)


def _num_values(plain: Any, known: dict[int, int]) -> int:
    """Return the number of values; one that several YAML aliases share is counted each time, without being visited."""
    if not isinstance(plain, Mapping | list | tuple):
        return 1
    if id(plain) not in known:
        parts = plain.values() if isinstance(plain, Mapping) else plain
        known[id(plain)] = 1 + sum(_num_values(part, known) for part in parts)
    return known[id(plain)]


def _read(plain: Any, kinds: Mapping[str, type], arrays: Mapping[str, Any]) -> Any:
    """Return plain values with the records in them restored, innermost first, and lists as tuples."""
    if isinstance(plain, float) and not math.isfinite(plain):
        message = f"a number in a record must be finite, got {plain!r}."
        raise ValueError(message)
    if isinstance(plain, list):
        return tuple([_read(part, kinds, arrays) for part in plain])
    if not isinstance(plain, Mapping):
        return plain
    fields = {key: _read(part, kinds, arrays) for key, part in plain.items() if key != TYPE}
    name = plain.get(TYPE)
    if name is None:
        return fields
    if name == MAPPING:
        return dict(fields["items"])
    if name == "FrozenArray":
        return _read_array(fields, arrays)
    if name not in kinds:
        message = (
            f"type must be one of {', '.join(sorted(kinds))}, got type={shown(name)}. Pass your own class in kinds."
        )
        raise ValueError(message)
    return _structure(fields, kinds[name])


def _read_array(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> FrozenArray:
    digest = str(record.get("sha256"))
    if "values" in record:
        try:
            found: Any = np.array(record["values"], dtype=record["dtype"]).reshape(record["shape"])
        except (KeyError, TypeError, ValueError) as error:
            message = f"array must have values, dtype and shape that fit, got {shown(record)}: {error!r}."
            raise ValueError(message) from error
    elif digest in arrays:
        found = arrays[digest]
    else:
        message = f"arrays must hold the array of sha256={digest}, got {len(arrays)} others. See external_arrays."
        raise ValueError(message)
    array = found if isinstance(found, FrozenArray) else FrozenArray(np.asanyarray(found))  # a memory map stays one
    if array.digest != digest:
        message = f"array must be the one that was written, of sha256={digest}, got {array!r}."
        raise ValueError(message)
    return array


def _structure(fields: Mapping[Any, Any], kind: type) -> Any:
    """Return a record of a class from its fields.

    Raises:
        ValueError: if the fields are not those of the class, or a value doesn't fit.
    """
    try:
        return _converter().structure(fields, kind)
    except (BaseValidationError, StructureHandlerNotFoundError, TypeError, ValueError) as error:
        names = ", ".join(field.alias or field.name for field in attrs.fields(kind))
        is_list = isinstance(error, BaseValidationError)
        said = "; ".join(transform_error(error, format_exception=_describe) if is_list else [_cut(error)])
        message = f"text must hold a valid {kind.__name__}, with the fields {names}, got: {_cut(said)}."
        raise ValueError(message) from error


def _describe(error: BaseException, _: Any) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else _cut(error)


def _cut(error: object, limit: int = 400) -> str:
    text = str(error).removesuffix(".").removesuffix(" @ $")
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


@cache
def _converter() -> Converter:
    converter = make_converter()
    for kind, kinds in ((int, (int,)), (float, (int, float)), (str, (str,)), (bool, (bool,))):
        converter.register_structure_hook(kind, _take(*kinds))
    converter.register_structure_hook(torch.dtype, _take_dtype)
    converter.register_structure_hook_func(
        lambda hint: isinstance(hint, type) and issubclass(hint, np.generic), lambda value, _: value
    )
    converter.register_structure_hook_factory(attrs.has, partial(_make_record_hook, converter))
    converter.register_structure_hook_func(lambda hint: getattr(hint, "_is_protocol", False), _take_instance)
    converter.register_structure_hook_func(
        lambda hint: get_origin(hint) in {Union, UnionType}, partial(_take_member, converter)
    )
    return converter


def _take(*kinds: type) -> Callable[[Any, Any], Any]:
    """Return a hook that takes only values of some types, and converts none: neither "3" nor 1.5 is an int."""

    def take(value: Any, kind: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            message = f"must be of type {kind.__name__}, got {shown(value)} of type {type(value).__name__}"
            raise TypeError(message)
        return kind(value)

    return take


def _take_dtype(value: Any, _: Any) -> torch.dtype:
    found = getattr(torch, value, None) if isinstance(value, str) else None
    if not isinstance(found, torch.dtype):
        message = f'must be the name of a dtype, such as "bfloat16", got {shown(value)}'
        raise TypeError(message)
    return found


def _take_instance(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        message = f"must be a record of type {kind.__name__}, got {shown(value)}"
        raise TypeError(message)
    return value


def _take_member(converter: Converter, value: Any, hint: Any) -> Any:
    """Return a value as the first member of a union that takes it; its own type comes first."""
    for member in sorted(get_args(hint), key=lambda member: member is not type(value)):
        with suppress(BaseValidationError, StructureHandlerNotFoundError, TypeError, ValueError):
            return value if member is type(value) is type(None) else converter.structure(value, member)
    message = (
        f"must be of type {' or '.join(getattr(m, '__name__', str(m)) for m in get_args(hint))}, got {shown(value)}"
    )
    raise TypeError(message)


def _make_record_hook(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    """Return a hook that takes a record of a class, or the mapping of its fields; attrs' converters see raw values."""
    structure = make_dict_structure_fn(
        kind, converter, _cattrs_use_alias=True, _cattrs_prefer_attrib_converters=True, _cattrs_forbid_extra_keys=False
    )
    names = {field.alias or field.name for field in attrs.fields(kind) if field.init}

    def take(value: Any, kind: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            message = f"must be the fields of {kind.__name__} by name, got {shown(value)}"
            raise TypeError(message)
        if unknown := [str(name) for name in value if name not in names]:
            message = f"unknown field{'s' * (len(unknown) > 1)} {shown(', '.join(unknown))[1:-1]}"
            raise ValueError(message)
        return structure(value, kind)

    return take
