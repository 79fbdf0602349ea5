"""A decorator that checks the types of a function's arguments, from its annotations."""

import functools
import inspect
import typing
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np
from torch import Tensor
from torch.compiler import is_compiling

from bionemo.core.checks import check_dense, shown

__all__ = ["checked"]

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")
_WORDS: dict[Any, str] = {int: "an integer", np.integer: "an integer", float: "a number", np.floating: "a number"}
_WORDS |= {
    str: "a string",
    bool: "True or False",
    np.bool_: "True or False",
    NoneType: "None",
    type: "a class",
    Callable: "a function",
    Tensor: "a tensor",
    np.ndarray: "an array",
}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_COMMON = (int, float, str, NoneType, list, tuple, range, dict)
_ARRAYS = (np.ndarray, Tensor)


class _Requirement(NamedTuple):
    name: str
    kinds: tuple[type, ...]
    refused: tuple[type, ...]  # subclasses of the kinds
    alone: tuple[type, ...]  # kinds that need no elements, unlike an iterable or a data set
    choices: tuple[Any, ...]  # values of a Literal
    known: frozenset[Any]  # types that need no closer look


def checked(function: Callable[_Args, _Result], /) -> Callable[_Args, _Result]:
    """Return the function with a check of its arguments' types before each call.

    The annotations are read at the first call. Elements of containers, dtypes and shapes are left to the function. A
    bool is not an integer. Sparse, nested and quantized tensors are refused, and so are arrays and tensors without an
    axis where elements are needed. Inside `torch.compile`, nothing is checked.

    Law: the check draws no random number and advances no iterator.

    Raises:
        TypeError: in a call, if an argument has none of the annotated types.
        ValueError: in a call, if an argument is none of the values of a `Literal`.

    Example:
        >>> @checked
        ... def half(size: int) -> float:
        ...     return size / 2
        >>> half("3")
        Traceback (most recent call last):
        TypeError: size must be an integer, got size='3' of type str.
        >>> import torch
        >>> from collections.abc import Iterable
        >>> @checked
        ... def total(sizes: Iterable[int]) -> int:
        ...     return sum(sizes)
        >>> total(torch.tensor(3))
        Traceback (most recent call last):
        TypeError: sizes must have elements, got sizes=tensor(3), which has no axis.
    """
    read = functools.cache(functools.partial(_requirements, function))

    @functools.wraps(function)
    def call(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if not is_compiling():
            positional, by_name = read()
            if len(args) > len(positional):  # the last one is that of `*args`
                positional += positional[-1:] * (len(args) - len(positional))
            for requirement, value in zip(positional, args):  # noqa: B905 - `strict=` takes as long as the loop
                if type(value) not in requirement.known:
                    _check(value, requirement)
            for name, value in kwargs.items():
                if name in by_name and type(value) not in by_name[name].known:
                    _check(value, by_name[name])
        return function(*args, **kwargs)

    return call


def _requirements(function: Callable[..., Any]) -> Any:
    """Return the requirements of arguments passed by position, and of those passed by name."""
    hints, parts = typing.get_type_hints(function), inspect.signature(function).parameters.values()
    found = [(part, _requirement(part.name, _runtime_types(hints.get(part.name, object)))) for part in parts]
    positional = tuple(requirement for part, requirement in found if part.kind < part.KEYWORD_ONLY)
    return positional, {part.name: requirement for part, requirement in found if part.kind in _BY_NAME}


def _requirement(name: str, parts: list[Any]) -> _Requirement:
    choices = tuple(value for part in parts for value in get_args(part))
    kinds = tuple(part for part in parts if not get_args(part))
    plain = tuple(kind for kind in kinds if not getattr(kind, "_is_protocol", False))
    refused = (bool,) * {bool, object}.isdisjoint(kinds) + (type,) * (kinds != plain)
    alone = tuple(kind for kind in plain if kind.__module__ != "collections.abc")
    known = {kind for kind in (*_COMMON, *plain) if issubclass(kind, plain) and not issubclass(kind, refused)}
    return _Requirement(name, kinds, refused, alone, choices, frozenset(known.difference(_ARRAYS)))


def _runtime_types(hint: Any) -> list[Any]:
    """Return the classes behind a hint, of one of which a value has to be an instance, and literals."""
    if get_origin(hint) in {Union, UnionType}:
        return [kind for part in get_args(hint) for kind in _runtime_types(part)]
    if hint in {float, bool}:
        return [float, int] if hint is float else [bool, np.bool_]
    if get_origin(hint) is Literal:
        return [hint]
    if isinstance(hint, TypeVar):
        return _runtime_types(hint.__bound__ or object)
    kind = getattr(hint, "array_type", get_origin(hint) or hint)
    is_open = not isinstance(kind, type) or kind.__module__ == "typing"
    return [object if is_open or not getattr(kind, "_is_runtime_protocol", True) else kind]


def _check(value: object, requirement: _Requirement) -> None:
    name, kinds, refused, alone, choices, _ = requirement
    if isinstance(value, kinds) and not isinstance(value, refused):
        if isinstance(value, _ARRAYS) and object not in kinds:
            _check_array(value, name, is_alone=isinstance(value, alone))
        return
    is_choice = isinstance(value, tuple(map(type, choices)))
    if not is_choice or value not in choices:
        needed = " or ".join(dict.fromkeys([*map(repr, choices), *map(_words, kinds)]))
        message = f"{name} must be {needed}, got {name}={shown(value)} of type {type(value).__name__}."
        raise (ValueError if is_choice else TypeError)(message)


def _check_array(value: Any, name: str, *, is_alone: bool) -> None:
    """Check that an array or tensor is dense, and has elements to iterate over where it is taken for a container."""
    check_dense(value, name=name)
    if value.ndim == 0 and not is_alone:
        message = f"{name} must have elements, got {name}={shown(value)}, which has no axis."
        raise TypeError(message)


def _words(kind: type) -> str:
    path = ".".join(part for part in (*kind.__module__.split("."), kind.__name__) if part[0] != "_")
    if kind.__module__ == "collections.abc":
        path = kind.__name__.lower()
    name = kind.__name__ if path.startswith(("bionemo.", "builtins.")) else path
    return _WORDS.get(kind, f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}")
