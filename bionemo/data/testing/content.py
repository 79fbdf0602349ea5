"""Digests of the content of values, part by part, so that values in different processes can be compared."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import singledispatch
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

__all__ = ["content_digests", "different_parts", "listed_parts"]


class _Content(NamedTuple):
    """The content of a value: its own, and that of its parts, each with its path from the value."""

    kind: str
    """Type, and what else distinguishes values with the same bytes, such as dtype and shape."""
    data: Any = b""
    """Bytes, or an array of bytes."""
    parts: Iterable[tuple[str, Any]] = ()


@singledispatch
def _content(value: Any) -> _Content:
    """Return the content of a value: of a record its fields, of any other object what `pickle` would save of it."""
    kind = type(value).__qualname__
    if attrs.has(type(value)) or dataclasses.is_dataclass(value):
        fields: Any = attrs.fields(type(value)) if attrs.has(type(value)) else dataclasses.fields(value)
        return _Content(kind, parts=[(f".{field.name}", getattr(value, field.name, None)) for field in fields])
    reduced = value.__reduce_ex__(2)
    if isinstance(reduced, str):
        return _Content(kind, reduced.encode())
    constructor, arguments, state, members, items = (*reduced, *[None] * 5)[:5]
    parts = constructor, arguments, state, members and list(members), items and dict(items)
    return _Content(kind, parts=[(" as pickled", parts)])


@_content.register(bool | int | float | complex | str | bytes | range | None)
def _(value: object) -> _Content:
    return _Content(type(value).__qualname__, repr(value).encode())


@_content.register(type | FunctionType | BuiltinFunctionType)
def _(value: Any) -> _Content:
    return _Content("name", f"{value.__module__}.{value.__qualname__}".encode())


@_content.register
def _(value: Tensor) -> _Content:
    found = value.detach().resolve_conj().resolve_neg().cpu()
    dense = (found if found.layout == torch.strided else found.to_dense()).contiguous()
    kind = f"tensor {found.layout} {found.dtype} {tuple(found.shape)}"
    return _Content(kind, dense.reshape(-1).view(torch.uint8).numpy())


@_content.register
def _(value: torch.Generator) -> _Content:
    return _Content("generator", parts=[("", value.get_state())])


@_content.register(np.ndarray | np.generic)
def _(value: Any) -> _Content:
    kind = f"array {value.dtype.descr} {value.shape}"
    if value.dtype.hasobject or value.dtype.kind == "T":  # the bytes would be addresses, not content
        return _Content(kind, parts=[("", value.tolist())])
    return _Content(kind, np.ascontiguousarray(value).reshape(-1).view(np.uint8) if value.size else b"")


@_content.register
def _(value: np.ma.MaskedArray) -> _Content:
    return _Content("masked", parts=[(".mask", np.ma.getmaskarray(value)), (".filled()", value.filled())])


@_content.register
def _(value: Mapping) -> _Content:  # type: ignore[type-arg]
    parts = [(f"[{key!r}]" if isinstance(key, str | int) else f"[{_digest(key)}]", part) for key, part in value.items()]
    return _Content(f"{type(value).__qualname__} of {len(value)}", parts=parts)


@_content.register
def _(value: Sequence) -> _Content:  # type: ignore[type-arg]
    parts = ((f"[{index}]", part) for index, part in enumerate(value))
    return _Content(f"{type(value).__qualname__} of {len(value)}", parts=parts)


@_content.register
def _(value: AbstractSet) -> _Content:  # type: ignore[type-arg]
    return _Content(type(value).__qualname__, "".join(sorted(map(_digest, value))).encode())


def _digest(value: object) -> str:
    return hashlib.sha256(repr(sorted(_digests(value, ""))).encode()).hexdigest()


def _digests(value: object, path: str) -> Iterator[tuple[str, str]]:
    try:
        kind, data, parts = _content(value)
    except (TypeError, RuntimeError) as error:
        message = (
            f"what is read must be data, got {value!r}{path and f' at {path}'}. Leave it out, or convert it to data."
        )
        raise TypeError(message) from error
    digest = hashlib.sha256(kind.encode())
    digest.update(data)
    yield path, digest.hexdigest()
    for step, part in parts:
        yield from _digests(part, path + step)


def content_digests(value: Any, /) -> dict[str, str]:
    """Return a digest of each part of a value, by path.

    Law: values with the same content have the same digests, in every process and on every device.

    Args:
        value: tensors and arrays, compared by dtype, shape and bytes; mappings, in any order; sequences, sets, records,
            numbers and strings; any other object is compared by what `pickle` would save of it.

    Raises:
        TypeError: if the value holds something that isn't data, such as an open file, or refers to itself.

    Example:
        >>> list(content_digests({"ids": torch.arange(3), "names": ["a", "b"]}))
        ['', "['ids']", "['names']", "['names'][0]", "['names'][1]"]
    """
    return dict(_digests(value, ""))


def different_parts(left: dict[str, str], right: dict[str, str], /) -> list[str]:
    """Return the paths of the parts in which two values differ, given their digests.

    Example:
        >>> different_parts(content_digests({"a": 1, "b": 2}), content_digests({"a": 1, "b": 3}))
        ["['b']"]
    """
    return [path for path in left | right if left.get(path) != right.get(path)]


def listed_parts(parts: list[str], /) -> str:
    """Return in words the first of some parts of a value.

    Example:
        >>> listed_parts(["['ids']", ""])
        "its part ['ids'], it"
    """
    return ", ".join(f"its part {part}" if part else "it" for part in parts[:5])
