"""Attrs records as text: canonical JSON and back, and the fingerprint of a record."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from numpy.typing import NDArray

from bionemo.core.checked import checked
from bionemo.core.checks import shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.record_reading import kinds_by_name, read, reason_of
from bionemo.core.record_writing import ADDED, TYPE, given_fields, is_written_out, parts_of, type_name, write

__all__ = [
    "ADDED",
    "external_arrays",
    "fingerprint",
    "from_json",
    "from_plain",
    "given_fields",
    "parse_json",
    "plain_to_json",
    "to_json",
    "to_plain",
    "type_name",
]


def to_json(record: Any, /) -> str:
    """Return a record as canonical JSON: sorted keys, no spaces, ASCII.

    Laws: `from_json(to_json(record), kinds=[type(record)], arrays=external_arrays(record)) == record`; equal records
    give equal text, unequal ones different text, in any process and on any machine.

    Args:
        record: an attrs record, or a mapping with strings as keys, of numbers, strings, dtypes, enumerations, arrays,
            tuples, mappings and other records.

    Returns:
        The text. Each record has a `type` in addition to its fields. An array of more than 64 elements is represented
        by its digest: keep `external_arrays(record)` with the text.

    Raises:
        TypeError: if the record holds something that would not come back unchanged.
        ValueError: if a number is not finite, or the record is nested too deeply.

    Example:
        >>> import torch
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        ...     dtype: torch.dtype = torch.bfloat16
        >>> to_json(Sizes())
        '{"dtype":"bfloat16","type":"Sizes","width":64}'
    """
    return plain_to_json(to_plain(record))


def plain_to_json(plain: Any, /) -> str:
    """Return plain values as canonical JSON.

    Raises:
        TypeError: if something else is among them.
        ValueError: if a number is not finite, or they are nested too deeply.

    Example:
        >>> plain_to_json({"b": 1, "a": [2, None]})
        '{"a":[2,null],"b":1}'
    """
    try:
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"plain must hold finite numbers, strings, lists and dicts, got {shown(plain)}: {reason_of(error)}."
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from error


@checked
def from_json(text: str, *, kinds: Sequence[type], arrays: Mapping[str, Any] | None = None) -> Any:
    """Return the record of a JSON text.

    Args:
        text: what `to_json` returned, or JSON written by hand. With one class in `kinds`, the text needn't name it.
        kinds: the attrs classes that may occur in the text, besides those that their fields are annotated with. No
            other class is ever looked up by name.
        arrays: arrays by digest, as `external_arrays` returned them.

    Raises:
        ValueError: if the text is not JSON, has a duplicate key, is too large or nested too deeply, names an unknown
            class, lacks a field or has one too many, or holds a value that doesn't fit its field.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> from_json('{"width": 3}', kinds=[Sizes])
        Sizes(width=3)
        >>> from_json('{"widht": 3}', kinds=[Sizes])
        Traceback (most recent call last):
        ValueError: text must hold a valid Sizes, with the fields width, got: unknown field widht.
    """
    return from_plain(parse_json(text), kinds=kinds, arrays=arrays)


@checked
def parse_json(text: str, /) -> Any:
    """Return the plain values of a JSON text.

    Raises:
        ValueError: if it is not JSON, has a duplicate key, or is nested too deeply.

    Example:
        >>> parse_json('{"width": 3, "width": 5}')
        Traceback (most recent call last):
        ValueError: text must be JSON, got '{"width": 3, "width": 5}': the key 'width' occurs twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        message = f"text must be JSON, got {shown(text)}: {reason_of(error)}."
        raise ValueError(message) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        message = f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice"
        raise ValueError(message)
    return found


def to_plain(record: Any, /) -> Any:
    """Return a record as plain values.

    Laws: `from_plain(to_plain(record), kinds=[type(record)])` equals the record; equal records have equal plain values.

    Args:
        record: an attrs record, or a mapping from strings to records and plain values.

    Raises:
        TypeError: if the record holds something that would not come back unchanged.
        ValueError: if a number is not finite, or the record is nested too deeply.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> to_plain(EpochOrder(length=10, seed=42))
        {'type': 'EpochOrder', 'length': 10, 'seed': 42, 'num_samples': None, 'shuffle': True}
    """
    if not attrs.has(type(record)) and not isinstance(record, Mapping):
        message = f"record must be an attrs record, got {shown(record)} of type {type(record).__name__}."
        raise TypeError(message)
    try:
        plain = write(record)
        reason = _what_is_lost(record, plain)
    except RecursionError as error:
        message = f"record must be nested less deeply, got a {type(record).__name__}."
        raise ValueError(message) from error
    if reason:
        message = f"record must hold plain values of the types of its fields, got {shown(record)}: {reason}"
        raise TypeError(message)
    return plain


def _what_is_lost(record: Any, plain: Any) -> str:
    """Return why reading plain values doesn't restore a record; empty if it does."""
    parts = list(parts_of(record))
    kinds = {type_name(type(part)): type(part) for part in parts if attrs.has(type(part))}
    arrays = {part.digest: part for part in parts if isinstance(part, FrozenArray)}
    try:
        return "" if read(plain, kinds, arrays) == record else "they come back as another record."
    except ValueError as error:
        return str(error)


@checked
def from_plain(plain: Any, /, *, kinds: Sequence[type], arrays: Mapping[str, Any] | None = None) -> Any:
    """Return the record of plain values; see `bionemo.core.record.from_json`.

    Raises:
        ValueError: as `from_json`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> from_plain({"type": "EpochOrder", "length": 10, "seed": 42}, kinds=[EpochOrder])
        EpochOrder(length=10, seed=42, num_samples=None, shuffle=True)
    """
    known = kinds_by_name(kinds)
    if not all(isinstance(digest, str) for digest in arrays or {}):
        message = f"arrays must map digests to arrays, got arrays={shown(arrays)}."
        raise TypeError(message)
    if len(kinds) == 1:
        if not isinstance(plain, Mapping):
            message = f"text must hold the fields of {kinds[0].__name__} by name, got {shown(plain)}."
            raise ValueError(message)
        plain = {TYPE: type_name(kinds[0])} | dict(plain)
    try:
        return read(plain, known, arrays or {})
    except (KeyError, TypeError, RecursionError) as error:  # a mapping is malformed
        message = f"text must hold plain values, got {shown(plain)}: {reason_of(error)}."
        raise ValueError(message) from error


def fingerprint(record: Any, /) -> str:
    """Return the sha256 of a record's canonical JSON.

    Law: equal records have equal fingerprints, in any process and on any machine; another field gives another one.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> fingerprint(Sizes())[:12], fingerprint(Sizes()) == fingerprint(Sizes(width=65))
        ('8b01eedc7b7b', False)
    """
    return hashlib.sha256(to_json(record).encode()).hexdigest()


def external_arrays(record: Any, /) -> dict[str, NDArray[Any]]:
    """Return the arrays that a record's JSON represents by digest: those of more than 64 elements.

    Returns:
        Read-only arrays by sha256, ready for `numpy.savez` and, when loaded again, for `from_json`.

    Example:
        >>> from bionemo.data import WeightedOrder
        >>> [len(array) for array in external_arrays(WeightedOrder(weights=range(100), seed=7)).values()]
        [100]
    """
    arrays = (part for part in parts_of(record) if isinstance(part, FrozenArray) and not is_written_out(part))
    return {part.digest: part.array for part in arrays}
