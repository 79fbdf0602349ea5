"""Configurations as text: JSON and YAML, without a loss, and an id of what they say."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

import attrs
import torch
import yaml
from cattrs import BaseValidationError, Converter, StructureHandlerNotFoundError, transform_error
from cattrs.preconf.json import make_converter

__all__ = ["config_from_json", "config_from_yaml", "config_id", "config_to_json", "config_to_yaml"]

Config = TypeVar("Config")

_TYPE: Final = "type"
"""Where the class is named, beside the fields."""


def _take(*kinds: type) -> Callable[[Any, Any], Any]:
    """Return a hook that takes a number or text only as what it is: "3" is no int, and 1.5 neither."""

    def take(value: Any, kind: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            is_number = kind is float and isinstance(value, str)
            hint = " (YAML 1.1 reads a number such as 1e-5 as text: write 1.0e-5)" if is_number else ""
            message = f"must be of type {kind.__name__}, got {value!r} of type {type(value).__name__}{hint}"
            raise TypeError(message)
        if isinstance(value, float) and not math.isfinite(value):
            message = f"must be finite, got {value!r}"
            raise ValueError(message)
        return kind(value)

    return take


def _take_dtype(value: Any, _: Any) -> torch.dtype:
    found = getattr(torch, value, None) if isinstance(value, str) else None
    if not isinstance(found, torch.dtype):
        message = f'must be the name of a dtype, such as "bfloat16", got {value!r}'
        raise TypeError(message)
    return found


def _in_sequence(values: Iterable[Any]) -> list[Any]:
    """Return the members of a set in a sequence that is the same in every process."""
    return sorted(values, key=json.dumps)


def _make_converter() -> Converter:
    converter = make_converter(forbid_extra_keys=True, unstruct_collection_overrides={AbstractSet: _in_sequence})
    # Equal numbers give equal text: 1 in a field of floats, True in one of ints, -0.0, and NumPy's.
    converter.register_unstructure_hook(float, lambda value: float(value) + 0.0)
    converter.register_unstructure_hook(int, int)
    converter.register_unstructure_hook(bool, bool)
    for kind, kinds in ((int, (int,)), (float, (int, float)), (str, (str,)), (bool, (bool,))):
        converter.register_structure_hook(kind, _take(*kinds))
    converter.register_structure_hook(torch.dtype, _take_dtype)
    converter.register_unstructure_hook(torch.dtype, lambda dtype: str(dtype).removeprefix("torch."))
    return converter


_CONVERTER: Final = _make_converter()


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _to_plain(config: Any) -> dict[str, Any]:
    kind = type(config)
    if not attrs.has(kind):
        message = f"config must be an attrs record, got {config!r} of type {kind.__name__}."
        raise TypeError(message)
    if any(field.name == _TYPE for field in attrs.fields(kind)):
        message = f"config must have no field called {_TYPE}, got {kind.__name__}: that is where its class is named."
        raise TypeError(message)
    try:
        text = json.dumps(_CONVERTER.unstructure(config), allow_nan=False)
        is_whole = _CONVERTER.structure(json.loads(text), kind) == config
    except (TypeError, BaseValidationError, StructureHandlerNotFoundError) as error:
        message = f"config must hold plain values of the types of its fields, got {config!r}: {_listed(error)}."
        raise TypeError(message) from error
    if not is_whole:
        message = (
            f"config must come back from its text as it was, got {config!r}: a field holds more than its type says."
        )
        raise TypeError(message)
    plain: dict[str, Any] = {_TYPE: _name(kind)} | json.loads(text)
    return plain


def _from_plain(kind: type[Config], plain: Any) -> Config:
    if not isinstance(plain, Mapping):
        message = f"text must hold the fields of {kind.__name__} by name, got {plain!r}."
        raise ValueError(message)  # noqa: TRY004 - it is the text that is wrong
    fields = dict(plain)
    given = fields.pop(_TYPE, _name(kind))
    if given != _name(kind):
        message = f"text must be that of a {_name(kind)}, got one of {given}."
        raise ValueError(message)
    try:
        return _CONVERTER.structure(fields, kind)
    except StructureHandlerNotFoundError as error:
        message = f"{kind.__name__} must have fields of plain types and records, got {error}"
        raise ValueError(message) from error
    except BaseValidationError as error:
        known = ", ".join(field.name for field in attrs.fields(kind))  # type: ignore[arg-type]
        message = f"text must hold a valid {kind.__name__}, with the fields {known}, got: {_listed(error)}."
        raise ValueError(message) from error


def _listed(error: Exception) -> str:
    """Return what was wrong, and where."""
    return "; ".join(transform_error(error, format_exception=_said))


def _said(error: BaseException, _: Any) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).removesuffix(".")


def config_to_json(config: Any, /) -> str:
    """Return a configuration as canonical JSON: sorted keys, no spaces, ASCII.

    Law: `config_from_json(type(config), config_to_json(config)) == config`; equal configurations give equal text.

    Args:
        config: an attrs record of numbers, text, dtypes, sequences, mappings, enumerations and such records.

    Raises:
        TypeError: if it is no attrs record, or holds what would not come back: values of other types than its fields
            say, a record with more fields than the field's class.
        ValueError: if it holds a number that JSON doesn't have: infinite, or none.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        ...     dtype: torch.dtype = torch.bfloat16
        >>> config_to_json(Sizes())
        '{"dtype":"bfloat16","type":"bionemo.core.model.config_text.Sizes","width":64}'
    """
    return json.dumps(_to_plain(config), sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_from_json(kind: type[Config], text: str, /) -> Config:
    """Return the configuration that a JSON text holds.

    Args:
        kind: its class: no class is looked up by the name in the text, which only has to agree where it is there.
        text: what `config_to_json` gave, or was written by hand.

    Raises:
        ValueError: if the text is no JSON, is that of another class, has a field that the class doesn't know (it is
            named), lacks one, or holds a value that doesn't fit.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> config_from_json(Sizes, '{"width": 3}')
        Sizes(width=3)
        >>> config_from_json(Sizes, '{"widht": 3}')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: text must hold a valid Sizes, with the fields width, got: Extra fields ... for Sizes: widht @ $.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"text must be JSON, got {text[:80]!r}: {error}"
        raise ValueError(message) from error
    return _from_plain(kind, plain)


def config_to_yaml(config: Any, /) -> str:
    """Return a configuration as YAML, for people to read and to change.

    Law: `config_from_yaml(type(config), config_to_yaml(config)) == config`.

    Raises:
        TypeError: as `config_to_json`.
        ValueError: likewise.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> print(config_to_yaml(Sizes()), end="")
        type: bionemo.core.model.config_text.Sizes
        width: 64
    """
    text: str = yaml.safe_dump(_to_plain(config), sort_keys=False)
    return text


def config_from_yaml(kind: type[Config], text: str, /) -> Config:
    """Return the configuration that a YAML text holds.

    Args:
        kind: its class.
        text: what `config_to_yaml` gave, or was written by hand.

    Raises:
        ValueError: as `config_from_json`.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> config_from_yaml(Sizes, "width: 3")
        Sizes(width=3)
    """
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"text must be YAML, got {text[:80]!r}: {error}"
        raise ValueError(message) from error
    return _from_plain(kind, plain)


def config_id(config: Any, /) -> str:
    """Return a name for what a configuration says: the sha256 of its canonical JSON.

    Law: equal configurations have equal ids, in any process and on any machine; another field gives another id.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> config_id(Sizes())[:12], config_id(Sizes()) == config_id(Sizes(width=65))
        ('8923dfaaf9db', False)
    """
    return hashlib.sha256(config_to_json(config).encode()).hexdigest()
