"""Resources from YAML files: of this package, of installed packages, of a folder."""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, Final

import attrs

from bionemo.core.resources.format_2x import Resource2x, from_2x
from bionemo.core.resources.resource import Resource, check_type, short

__all__ = ["ENTRY_POINTS", "find_resource", "get_all_resources"]

ENTRY_POINTS: Final = "bionemo.resources"
"""Group of entry points: each names a module of an installed package, in whose folder its YAML files are."""

_MAX_CHARACTERS: Final = 2**22


def get_all_resources(path: Path | str | None = None) -> dict[str, Resource]:
    """Return the resources of the YAML files in a folder, by tag; or all that are installed.

    A file is a list of entries with the fields of `Resource`. The tag of an entry is without the part before the slash,
    which is the name of the file. Entries of bionemo-core 2.x, with `ngc` and `pbss`, are read, too.

    Args:
        path: a folder; or one file. None for the resources of bionemo-core and of the packages that have an entry point
            in the group `bionemo.resources`.

    Raises:
        ValueError: if a file isn't valid; the message names the file and the entry. It is raised for two equal tags,
            unknown and missing fields, missing digests, and bad URLs.
        TypeError: if `path` is not a path.
        OSError: if the folder or a file can't be read.

    Example:
        >>> get_all_resources()["proteins/swissprot_2k"].license
        'CC BY 4.0'
    """
    if path is None:
        return dict(_installed())
    check_type(path, (str, PathLike), "path must be a folder or a file, got path=")
    folder = Path(path)
    files = [folder] if folder.is_file() else _yaml_files(folder)
    return _by_tag(files)


def find_resource(tag: str, resources: Mapping[str, Any] | None = None, /) -> Resource:
    """Return the resource of a tag.

    Args:
        tag: `file/name`.
        resources: resources by tag, of 2.x or not; None for all that are installed.

    Raises:
        ValueError: if there is none; the message names the tags that are most alike.
        TypeError: if the arguments are of other types.

    Example:
        >>> find_resource("proteins/swisprot_2k")
        Traceback (most recent call last):
        ValueError: Resource 'proteins/swisprot_2k' not found. Did you mean 'proteins/swissprot_2k'?
    """
    check_type(tag, str, "tag must be a text, got tag=")
    known = get_all_resources() if resources is None else resources
    check_type(known, Mapping, "resources must be a mapping of tags to resources, got resources=")
    for each in known:
        check_type(each, str, "resources must be a mapping of tags to resources, got the tag ")
    if tag in known:
        found = known[tag]
        check_type(found, (Resource, Resource2x), f"resources must hold records of the class Resource, got {tag!r}: ")
        return from_2x(found) if isinstance(found, Resource2x) else found
    close = difflib.get_close_matches(tag, list(known), n=3)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"There are {len(known)} others."
    message = f"Resource {short(tag)} not found. {hint}"
    raise ValueError(message)


@cache
def _installed() -> Mapping[str, Resource]:
    """Return what is installed: it doesn't change while Python runs."""
    folders: list[Traversable] = [resources.files("bionemo.core.resources").joinpath("catalog")]
    for point in sorted(entry_points(group=ENTRY_POINTS)):
        try:
            folders.append(resources.files(point.module))
        except (ImportError, TypeError) as error:
            message = f"the entry point {point.name} = {point.value} of {ENTRY_POINTS} must name a package: {error}"
            raise ValueError(message) from error
    return _by_tag([file for folder in folders for file in _yaml_files(folder)])


def _yaml_files(folder: Traversable) -> list[Traversable]:
    return sorted(
        (file for file in folder.iterdir() if PurePosixPath(file.name).suffix in {".yaml", ".yml"}),
        key=lambda file: file.name,
    )


def _by_tag(files: Iterable[Traversable]) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    origin: dict[str, str] = {}
    for file in files:
        for number, entry in enumerate(_entries(file), start=1):
            where = f"{file}, entry {number}"
            resource = _resource(entry, PurePosixPath(file.name).stem, where)
            if resource.tag in found:
                message = f"{where}: the tag {resource.tag!r} is also that of {origin[resource.tag]}. Rename one."
                raise ValueError(message)
            found[resource.tag], origin[resource.tag] = resource, where
    return found


def _entries(file: Traversable) -> list[Any]:
    """Return the entries of a file, without conversions: YAML 1.2, where a key occurs once."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - takes longer to import than all the rest
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    text = file.read_text(encoding="utf-8")
    try:
        if len(text) > _MAX_CHARACTERS:
            message = f"it has {len(text)} characters, more than {_MAX_CHARACTERS}"
            raise ValueError(message)  # noqa: TRY301
        entries = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        message = f"{file} must be YAML: {' '.join(str(error).split())}."
        raise ValueError(message) from error
    if not isinstance(entries, list):
        message = f"{file} must be a list of entries (`- tag: ...`), got {short(entries)}."
        raise ValueError(message)  # noqa: TRY004 - the content of a file
    return entries


def _resource(entry: Any, stem: str, where: str) -> Resource:
    if not isinstance(entry, dict):
        message = f"{where} must be fields and values, got {short(entry)}."
        raise ValueError(message)  # noqa: TRY004 - the content of a file
    where = f"{where} (tag {short(entry.get('tag'))})"
    kind: Any = Resource2x if {"pbss", "ngc"} & entry.keys() else Resource
    fields = attrs.fields(kind)
    unknown = [str(name) for name in entry if name not in {field.name for field in fields}]
    missing = [field.name for field in fields if field.default is attrs.NOTHING and entry.get(field.name) is None]
    if unknown or missing:
        parts = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(missing)
        message = f"{where} must have the fields {', '.join(field.name for field in fields)}; {'; '.join(parts)}."
        raise ValueError(message)
    try:
        if not isinstance(entry["tag"], str) or "/" in entry["tag"]:
            message = f"tag must be a text without a slash, got tag={short(entry['tag'])}: the file's name is before it"
            raise ValueError(message)  # noqa: TRY301
        made = kind(**{**entry, "tag": f"{stem}/{entry['tag']}"})
        return from_2x(made) if kind is Resource2x else made
    except (TypeError, ValueError) as error:
        message = f"{where}: {error}"
        raise ValueError(message) from error
