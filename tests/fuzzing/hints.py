"""What annotations allow."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np
import torch


@cache
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except NameError:  # of a class that derives from another library's
        return {}


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911 - one per kind
    """Return whether a value, with all its elements, is what an annotation allows. When in doubt, it is."""
    origin, parts = get_origin(hint), get_args(hint)
    value = str(value) if isinstance(value, np.str_) else value
    if hint is Any or isinstance(hint, TypeVar) or hint is inspect.Parameter.empty:
        return True
    if origin in {Union, types.UnionType}:
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(isinstance(value, type(part)) and value == part for part in parts)
    if hasattr(hint, "array_type"):  # jaxtyping's
        return isinstance(value, hint.array_type) and fits_dtype(str(value.dtype).removeprefix("torch."), hint.dtypes)
    if hint in {int, float}:  # all functions take NumPy's numbers too
        allowed = int | np.integer if hint is int else float | int | np.floating | np.integer
        is_number = (
            getattr(value, "ndim", None) == 0 and hint is float
        )  # NumPy takes arrays and tensors of no axis, too
        return is_number or (isinstance(value, allowed) and not isinstance(value, bool))
    if origin is type:
        bounds = [part for part in parts if inspect.isclass(get_origin(part) or part)]
        return isinstance(value, type) and all(issubclass(value, get_origin(part) or part) for part in bounds)
    kind = hint if origin is None else origin
    if not inspect.isclass(kind):
        return True
    if isinstance(value, bool | np.bool_):  # both are taken where a bool is wanted
        return kind in {bool, object, Hashable}
    is_class_for_protocol = getattr(kind, "_is_protocol", False) and isinstance(value, type)
    return isinstance(value, kind) and not is_class_for_protocol and have_elements(value, kind, parts)


def fits_dtype(name: str, allowed: Any) -> bool:
    return not isinstance(allowed, list | tuple) or any(re.fullmatch(part, name) for part in allowed)


def is_plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is dense, on the CPU, and of numbers."""
    is_dense = not tensor.is_nested and tensor.layout is torch.strided and not tensor.is_quantized
    return is_dense and tensor.device.type == "cpu"


def have_elements(value: Any, kind: type, parts: tuple[Any, ...]) -> bool:  # noqa: PLR0911 - one per kind
    if kind.__module__ not in {"collections.abc", "builtins"} or not parts or isinstance(value, Iterator):
        return True
    if isinstance(value, Mapping) and len(parts) == 2:
        return all(fits(key, parts[0]) and fits(element, parts[1]) for key, element in value.items())
    if kind is tuple and parts[1:] != (Ellipsis,):
        return len(value) == len(parts) and all(map(fits, value, parts))
    if isinstance(value, torch.Tensor) and not is_plain(value):
        return True  # nobody can look at its elements
    if getattr(value, "shape", None) == ():
        return False
    if not issubclass(kind, Iterable) or not isinstance(value, Iterable):
        return True
    is_column = isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 1
    return all(fits(element, parts[0]) for element in (value.tolist() if is_column else value))
