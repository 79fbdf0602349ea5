"""Functions that users pass to a pipeline: how they are called, and the names by which they are compared."""

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import FunctionType
from typing import Any, Final

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.checks import shown

__all__ = ["accept_keyword", "check_function", "draws_nothing", "function_name", "is_pure", "shown_name"]

_LONGEST: Final = 200
"""Number of characters of an argument in a function's name, above which a digest represents it."""


def check_function(function: object, /, *, name: str) -> None:
    """Check that a function can be called with one argument.

    A function without a signature, as some built-in ones are, passes.

    Args:
        function: anything.
        name: name of the function in the error.

    Raises:
        TypeError: if it is not callable, or takes other arguments.

    Example:
        >>> check_function([str.upper, str.strip], name="transform")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        TypeError: transform must be a function of one argument, got transform=[<method 'upper' of 'str' objects>...
    """
    if not callable(function):
        remedy = " Write one function that calls them in turn." if isinstance(function, list | tuple) else ""
        message = f"{name} must be a function of one argument, got {name}={shown(function)}.{remedy}"
        raise TypeError(message)
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(None)
    except TypeError as error:
        message = f"{name} must take one argument, got {function_name(function)}{signature}: {error}."
        raise TypeError(message) from error


def accept_keyword(function: Callable[..., Any], keyword: str, /, *, name: str) -> Callable[..., Any]:
    """Return a function of one argument as one that may also be given a keyword argument.

    Raises:
        TypeError: if it is not a function of one argument, with or without the keyword.

    Example:
        >>> accept_keyword(str.upper, "generator", name="transform")("mkt", generator=None)
        'MKT'
    """
    if callable(function) and _takes_keyword(function, keyword):
        return function
    check_function(function, name=name)
    return functools.partial(_without_keywords, function)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the arguments that a function takes; None for a built-in function that doesn't say."""
    if isinstance(function, FunctionType):
        return _signature_once(function)
    try:
        return inspect.signature(function.forward if isinstance(function, torch.nn.Module) else function)
    except ValueError:
        return None


_signature_once = functools.lru_cache(maxsize=256)(inspect.signature)
"""Reading a signature takes longer than all else that makes a pipeline."""


def _takes_keyword(function: Callable[..., Any], keyword: str) -> bool:
    signature = _signature(function)
    if signature is None:  # torch's built-in functions have their arguments in their docs
        return keyword in (getattr(function, "func", function).__doc__ or "")
    try:
        signature.bind(None, **{keyword: None})
    except TypeError:
        return False
    return True


def _without_keywords(function: Callable[..., Any], argument: Any, **_: object) -> Any:
    return function(argument)


def function_name(function: Callable[..., Any] | None, /) -> str | None:
    """Return a name that says what a function does: its path, and the arguments of a partial; None for none.

    Law: the same in every process, so never an address in memory; another argument of a partial gives another name.

    Example:
        >>> function_name(functools.partial(sorted, reverse=True))
        'builtins.sorted(reverse=True)'
    """
    if function is None:
        return None
    if isinstance(function, functools.partial):
        given = [*map(_text, function.args)]
        given += [f"{name}={_text(value)}" for name, value in sorted(function.keywords.items())]
        return f"{function_name(function.func)}({', '.join(given)})"
    if attrs.has(type(function)):
        return _text_of_record(function)
    kind: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(kind, '__module__', None) or 'builtins'}.{kind.__qualname__}"


_PURE_TYPES: Final = frozenset({Tensor, np.ndarray, np.memmap, list, tuple, str, bytes, range})
"""Types of data sets that draw nothing from a global random state."""


def draws_nothing(dataset: object, /) -> bool:
    """Return whether a data set is known to draw nothing from a global random state when it is read.

    Example:
        >>> draws_nothing("abc"), draws_nothing(object())
        (True, False)
    """
    return type(dataset) in _PURE_TYPES or type(dataset).__module__.startswith("bionemo.data.sources.")


def is_pure(function: Any, /) -> bool:
    """Return whether a function or type is known to draw nothing from a global random state.

    So are the functions of this library, and the types of plain containers.

    Example:
        >>> is_pure(list), is_pure(print)
        (True, False)
    """
    if function is None or (isinstance(function, type) and function in _PURE_TYPES):
        return True
    if isinstance(function, functools.partial):
        return is_pure(function.func) and not any(map(callable, (*function.args, *function.keywords.values())))
    return str(getattr(function, "__module__", None)).startswith(("bionemo.core.", "bionemo.data."))


def shown_name(function: Callable[..., Any] | None, /) -> str:
    """Return the name of a function, cut to 80 characters, for the repr of what holds it.

    Example:
        >>> shown_name(str.upper)
        'builtins.str.upper'
    """
    return shown(function_name(function)).strip("'")


def _text(value: Any) -> str:
    """Return an argument as text that is the same in every process; a digest represents a long one."""
    text = _whole_text(value)
    if len(text) <= _LONGEST:
        return text
    return f"<{type(value).__module__}.{type(value).__qualname__} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"


def _whole_text(value: Any) -> str:  # noqa: PLR0911 - one line per kind of value
    if callable(value):
        return str(function_name(value))
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, Tensor | np.ndarray):
        return _text_of_array(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, AbstractSet):
        return "{" + ", ".join(sorted(map(_text, value))) + "}"
    if type(value) in {list, tuple}:
        parts = ", ".join(map(_text, value))
        return f"[{parts}]" if type(value) is list else f"({parts}{',' * (len(value) == 1)})"
    if attrs.has(type(value)):
        return _text_of_record(value)
    kind: Any = type(value)
    if kind.__repr__ is object.__repr__:
        return f"<{kind.__module__}.{kind.__qualname__}>"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _text_of_record(record: Any) -> str:
    fields = (f"{field.name}={_text(getattr(record, field.name))}" for field in attrs.fields(type(record)))
    return f"{type(record).__module__}.{type(record).__qualname__}({', '.join(fields)})"


def _text_of_array(array: Any) -> str:
    """Return type, dtype, shape and a digest of the elements; without a digest for layouts that have no plain ones."""
    if isinstance(array, np.ndarray):
        content = str(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    elif array.layout is torch.strided and not (array.is_quantized or array.is_nested):
        plain = array.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        content = b""
    digest = hashlib.sha256(content).hexdigest()[:16] if content else ""
    return f"<{type(array).__qualname__} {array.dtype}{list(array.shape)} {digest}>"
