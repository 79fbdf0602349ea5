"""Configurations as YAML, for people to read and to edit."""

from io import StringIO
from typing import Any, Final, TypeVar

import attrs
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bionemo.core.checked import checked
from bionemo.core.checks import shown
from bionemo.core.record import from_plain, to_plain
from bionemo.core.record_reading import reason_of

__all__ = ["config_from_yaml", "config_to_yaml"]

Config = TypeVar("Config")

_MAX_LENGTH: Final = 2**20
"""Largest number of characters of a text, for which the parser, written in Python, takes about a minute."""


def _yaml() -> Any:
    yaml: Any = YAML(typ="safe", pure=True)  # YAML 1.2: 010 is 10, and 1:30 is text
    yaml.default_flow_style = False
    yaml.width = 2 * _MAX_LENGTH  # no line is folded: with escapes in it, folding loses or adds a space
    yaml.allow_unicode = False  # unescaped, some line breaks of Unicode would come back as spaces
    yaml.sort_base_mapping_type_on_output = False
    return yaml


def config_to_yaml(config: Any, /) -> str:
    """Return a configuration as YAML 1.2.

    Law: `config_from_yaml(type(config), config_to_yaml(config)) == config`.

    Raises:
        TypeError, ValueError: as `bionemo.core.record.to_json`.

    Example:
        >>> import attrs
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> print(config_to_yaml(Sizes()), end="")
        type: Sizes
        width: 64
    """
    if not attrs.has(type(config)):
        message = f"config must be an attrs record, got config={shown(config)} of type {type(config).__name__}."
        raise TypeError(message)
    text = StringIO()
    _yaml().dump(to_plain(config), text)
    return text.getvalue()


@checked
def config_from_yaml(kind: type[Config], text: str, /) -> Config:
    """Return the configuration of a YAML text.

    Args:
        kind: its class.
        text: what `config_to_yaml` returned, or YAML 1.2 written by hand.

    Raises:
        ValueError: as `bionemo.core.record.from_json`.

    Example:
        >>> import attrs
        >>> @attrs.frozen
        ... class Sizes:
        ...     width: int = 64
        >>> config_from_yaml(Sizes, "width: 3")
        Sizes(width=3)
    """
    if len(text) > _MAX_LENGTH:
        message = f"text must have at most {_MAX_LENGTH} characters, got {len(text)}: {shown(text)}."
        raise ValueError(message)
    try:
        plain = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        message = f"text must be YAML, got {shown(text)}: {reason_of(error)}."
        raise ValueError(message) from error
    found: Config = from_plain(plain, kinds=[kind])
    return found
