"""Checks of integers and integer tensors, raised at the public boundary once."""

from collections.abc import Callable  # noqa: TC003 - likewise
from typing import Any, Final, TypeAlias, overload

import attrs  # noqa: TC002 - beartype reads the annotations
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "MAX_INT",
    "AnyFloat",
    "AnyInt",
    "IntArray",
    "as_int",
    "as_int64",
    "check_bool",
    "check_choice",
    "check_index",
    "check_int",
    "check_int64",
    "check_seed",
    "in_graph",
    "is_concrete",
]

MAX_INT: Final = 2**63 - 1
"""Largest int64: seeds, positions and counters lie in 0..MAX_INT."""

AnyInt: TypeAlias = int | np.integer
"""A Python or NumPy integer."""

AnyFloat: TypeAlias = float | np.floating | np.integer
"""A Python or NumPy number."""

IntArray: TypeAlias = NDArray[np.int64]
"""An int64 array."""


@overload
def as_int(word: AnyInt, /) -> int: ...
@overload
def as_int(word: Any, /) -> Any: ...
def as_int(word: Any, /) -> Any:
    """Return a NumPy integer as a Python int, and anything else as it is.

    For kernels that check nothing: a NumPy integer overflows where a Python int grows.

    Example:
        >>> as_int(np.int8(100)) * 2, as_int("x")
        (200, 'x')
    """
    return int(word) if isinstance(word, np.integer) else word


def is_concrete(tensor: Tensor, /) -> bool:
    """Return whether the values of a tensor lie in the memory of the CPU and may be looked at.

    They may not inside `torch.compile` and `vmap`, where a branch on a value can't be followed, nor on an accelerator,
    which would have to be waited for. There the public functions leave their checks of values out.

    Example:
        >>> import torch
        >>> is_concrete(torch.arange(3))
        True
    """
    if torch.compiler.is_compiling():
        return False
    is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # noqa: SLF001 - torch has no public question
    return type(tensor) is Tensor and tensor.device.type == "cpu" and not is_wrapped


def in_graph(number: AnyInt, /, like: Tensor) -> Tensor:
    """Return an int as an int64 tensor without axes, for the graph that another int64 tensor goes through.

    A compiled graph must not reckon with ints that vary: the compiler takes what bitwise operations make of them for
    floats, and writes out what it need not read anew at each use, whole hashes of them. So this reads an element.

    Example:
        >>> import torch
        >>> in_graph(3, like=torch.arange(3))
        tensor(3)
    """
    return (like.reshape(-1)[:1].sum() & 0) + as_int(number)


def _as_int(value: AnyInt, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        message = f"{name} must be an integer, got {name}={value!r} of type {type(value).__name__}."
        raise TypeError(message)
    return int(value)


def _check_dtype(tensor: Tensor, name: str) -> None:
    if tensor.dtype != torch.int64:
        message = f"{name} must be an int64 tensor, got dtype={tensor.dtype}. Convert it by .to(torch.int64)."
        raise TypeError(message)


def check_int(value: AnyInt, /, *, name: str, low: AnyInt = 0, high: AnyInt = MAX_INT) -> int:
    """Return an integer of any kind as a Python int.

    Raises:
        TypeError: if it is no integer (bools count as none).
        ValueError: outside `low..high`, both included.

    Example:
        >>> check_int(3, name="seed")
        3
    """
    number = value if type(value) is int else _as_int(value, name)
    if not low <= number <= high:
        message = f"{name} must be in {low}..{high}, got {name}={number}."
        raise ValueError(message)
    return number


def check_seed(seed: AnyInt, /) -> int:
    """Return a seed as a Python int.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is negative or above 2**63-1.

    Example:
        >>> check_seed(42)
        42
    """
    return check_int(seed, name="seed")


def check_int64(tensor: Tensor, /, *, name: str) -> Tensor:
    """Return a tensor of non-negative int64 as it is.

    Raises:
        TypeError: for another dtype.
        ValueError: for a negative value, where values can be seen (see `is_concrete`).

    Example:
        >>> import torch
        >>> check_int64(torch.tensor([0, 3]), name="seeds")
        tensor([0, 3])
    """
    _check_dtype(tensor, name)
    if is_concrete(tensor) and tensor.numel() and (lowest := int(tensor.min())) < 0:
        message = f"{name} must not be negative, got {lowest}."
        raise ValueError(message)
    return tensor


def check_index(index: Any, /, *, stop: AnyInt | None, name: str) -> Any:
    """Return an index that lies in `0..stop-1`: an integer as a Python int, an array or tensor unchanged.

    Args:
        index: an integer, or an int64 array or tensor of any shape.
        stop: first value out of range; None for no end.
        name: name of the index in the error.

    Raises:
        TypeError: if it is no integer and no int64 tensor.
        IndexError: if it is out of range. Tensors whose values can't be seen are not checked (see `is_concrete`).

    Example:
        >>> check_index(4, stop=5, name="position")
        4
    """
    if type(index) is int and 0 <= index < (2**63 if stop is None else stop):
        return index
    checked = index
    if isinstance(index, Tensor):
        _check_dtype(index, name)
        if not is_concrete(index) or not index.numel():
            return index  # before `stop` is read: a compiled graph must not depend on it
        low, high = (int(bound) for bound in torch.aminmax(index))
    elif isinstance(index, np.ndarray):
        if not index.size:
            return index
        low, high = int(index.min()), int(index.max())
    else:
        low = high = checked = _as_int(index, name)
    last = MAX_INT if stop is None else as_int(stop) - 1
    if low < 0 or high > last:
        allowed = f"in 0..{last}" if last >= 0 else "in an empty range"
        message = f"{name} must be {allowed}, got {name}={low if low < 0 else high}."
        raise IndexError(message)
    return checked


def as_int64(values: Any, /, *, name: str) -> IntArray:
    """Return the integers of a range, sequence or array as an int64 array of the same shape.

    Raises:
        TypeError: if an element is no integer.
        IndexError: if one doesn't fit int64.

    Example:
        >>> as_int64(range(2, 5), name="positions")
        array([2, 3, 4])
    """
    if isinstance(values, range):
        for end in (values[0], values[-1]) if values else ():
            check_index(end, stop=None, name=name)
        return np.arange(len(values), dtype=np.int64) * values.step + (values.start if values else 0)
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "iu":  # an empty list, too large integers, or no integers: one by one, to name the first
        elements = np.array(values, dtype=np.object_)
        checked = [check_index(element, stop=None, name=name) for element in elements.ravel()]
        return np.array(checked, dtype=np.int64).reshape(elements.shape)
    if array.dtype == np.uint64 and array.size:
        check_index(int(array.max()), stop=None, name=name)
    return array.astype(np.int64, copy=False)


def check_bool(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """Check that a field of a record is a bool: an attrs validator.

    Raises:
        TypeError: if it isn't.

    Example:
        >>> import attrs
        >>> Options = attrs.make_class("Options", {"shuffle": attrs.field(validator=check_bool)})
        >>> Options(shuffle=1)
        Traceback (most recent call last):
        TypeError: shuffle must be True or False, got shuffle=1.
    """
    if not isinstance(value, bool):
        message = f"{field.name} must be True or False, got {field.name}={value!r}."
        raise TypeError(message)


def check_choice(*choices: str) -> "Callable[[object, attrs.Attribute[Any], Any], None]":
    """Return an attrs validator that a field is one of some choices; it raises a ValueError.

    Example:
        >>> import attrs
        >>> Options = attrs.make_class("Options", {"side": attrs.field(validator=check_choice("left", "right"))})
        >>> Options(side="top")
        Traceback (most recent call last):
        ValueError: side must be 'left' or 'right', got side='top'.
    """

    def check(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
        if value not in choices:
            message = f"{field.name} must be {' or '.join(map(repr, choices))}, got {field.name}={value!r}."
            raise ValueError(message)

    return check
