"""What a value holds, part by part, so that two values can be compared wherever they are."""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["content_digests", "different_parts"]


def _parts(value: Any, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield each part that holds no others, by its path, as bytes; and what kind of value each is."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        yield path, f"{value.dtype} {tuple(value.shape)} ".encode() + bytes(value.flatten().view(torch.uint8).numpy())
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        yield path, f"{value.dtype.str} {value.shape} ".encode() + value.tobytes()
    elif isinstance(value, Mapping):
        yield path, f"mapping of {len(value)}".encode()
        for key, part in value.items():
            yield from _parts(part, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | np.ndarray):
        yield path, f"{type(value).__name__} of {len(value)}".encode()
        for place, part in enumerate(value):
            yield from _parts(part, f"{path}[{place}]")
    elif hasattr(value, "__attrs_attrs__") or hasattr(value, "__dataclass_fields__"):
        names = [field.name for field in getattr(value, "__attrs_attrs__", ())] or list(value.__dataclass_fields__)
        yield path, type(value).__qualname__.encode()
        for name in names:
            yield from _parts(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, set | frozenset):
        yield path, b"".join(sorted(pickle.dumps(part) for part in value))
    else:
        yield path, pickle.dumps(value)


def content_digests(value: Any, /) -> dict[str, str]:
    """Return a digest of each part of a value, by its path: equal for values with the same content, on any device.

    Args:
        value: tensors and arrays, which count by dtype, shape and bytes, in mappings, sequences and records of any
            depth; all else counts as it pickles.

    Example:
        >>> list(content_digests({"ids": torch.arange(3), "names": ["a", "b"]}))
        ['', "['ids']", "['names']", "['names'][0]", "['names'][1]"]
    """
    return {path: hashlib.sha256(content).hexdigest() for path, content in _parts(value, "")}


def different_parts(left: dict[str, str], right: dict[str, str], /) -> list[str]:
    """Return the paths of the parts in which two values differ.

    Example:
        >>> different_parts(content_digests({"a": 1, "b": 2}), content_digests({"a": 1, "b": 3}))
        ["['b']"]
    """
    return [path for path in left | right if left.get(path) != right.get(path)]
