"""Checks of integers and integer tensors, raised at the public boundary once."""

import reprlib
from typing import Any, Final, TypeAlias, overload

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
    "check_dense",
    "check_index",
    "check_int",
    "check_integer",
    "check_seed",
    "check_word",
    "in_graph",
    "is_concrete",
    "shown",
]

MAX_INT: Final = 2**63 - 1
"""Largest int64: seeds, positions and counters lie in 0..MAX_INT."""

AnyInt: TypeAlias = int | np.integer
"""A Python or NumPy integer."""

AnyFloat: TypeAlias = float | np.floating | np.integer
"""A Python or NumPy number."""

IntArray: TypeAlias = NDArray[np.int64]
"""An int64 array."""


class _Short(reprlib.Repr):
    """Short reprs; Python refuses to write integers of more than 4,300 digits."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return super().repr_int(x, level) if bits < 2**12 else f"an integer of {bits} bits"


_SHORT: Final = _Short()
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: object, /) -> str:
    """Return the repr of a value for an error, cut to 80 characters.

    Example:
        >>> len(shown("a" * 1000))
        80
    """
    text = _SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - the docstring's


@overload
def as_int(word: AnyInt, /) -> int: ...
@overload
def as_int(word: Any, /) -> Any: ...
def as_int(word: Any, /) -> Any:
    """Return a NumPy integer as a Python int, and anything else unchanged.

    For kernels, which check nothing: NumPy integers overflow, Python ints grow.

    Example:
        >>> as_int(np.int8(100)) * 2, as_int("x")
        (200, 'x')
    """
    return int(word) if isinstance(word, np.integer) else word


def is_concrete(tensor: Tensor, /) -> bool:
    """Return whether the values of a tensor are in CPU memory and may be looked at.

    Not under `torch.compile` and `vmap`, which can't follow a branch on a value, and not on an accelerator, because
    reading a value waits for it. Public functions don't check the values of such tensors. Parameters and other plain
    subclasses are concrete; those with a `__torch_dispatch__` of their own, e.g. fake and distributed tensors, aren't.

    Example:
        >>> import torch
        >>> is_concrete(torch.arange(3))
        True
    """
    if torch.compiler.is_compiling() or type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return False
    is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # noqa: SLF001 - not public
    is_dense = tensor.layout is torch.strided and not tensor.is_nested
    return is_dense and tensor.is_cpu and not is_wrapped


def in_graph(number: AnyInt, /, like: Tensor) -> Tensor:
    """Return an int as a 0-d int64 tensor, in the graph that `like`, another int64 tensor, is part of.

    Keep varying ints out of compiled graphs: dynamo types the results of bitwise operations on them as floats, and
    inlines their expressions, even whole hashes, at every use. Adding the int to an element of `like` (times 0) makes
    it a value of the graph.

    Example:
        >>> import torch
        >>> in_graph(3, like=torch.arange(3))
        tensor(3)
    """
    return (like.reshape(-1)[:1].sum() & 0) + as_int(number)


def check_integer(value: Any, /, *, name: str) -> int:
    """Return an integer of any size as a Python int.

    Raises:
        TypeError: if it is not an integer; a bool is not.

    Example:
        >>> check_integer(True, name="token")
        Traceback (most recent call last):
        TypeError: token must be an integer, got token=True of type bool.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        message = f"{name} must be an integer, got {name}={shown(value)} of type {type(value).__name__}."
        raise TypeError(message)
    return int(value)


def check_dense(values: Tensor | NDArray[Any], /, *, name: str) -> None:
    """Check that a tensor or array is its elements at regular steps in memory; while compiling, nothing is checked.

    Raises:
        TypeError: if a tensor is sparse, nested or quantized, or an array masked.

    Example:
        >>> check_dense(torch.eye(2).to_sparse(), name="ids")
        Traceback (most recent call last):
        TypeError: ids must be dense, got a tensor of layout torch.sparse_coo. Convert it, e.g. by .to_dense().
    """
    if type(values) is np.ndarray or torch.compiler.is_compiling():
        kind = ""
    elif not isinstance(values, Tensor):
        kind = "a masked array" if isinstance(values, np.ma.MaskedArray) else ""
    elif values.layout is not torch.strided:
        kind = f"a tensor of layout {values.layout}"
    else:
        kind = "a nested tensor" if values.is_nested else "a quantized tensor" if values.is_quantized else ""
    if kind:
        message = f"{name} must be dense, got {kind}. Convert it, e.g. by .to_dense()."
        raise TypeError(message)


def _check_dtype(tensor: Tensor, name: str) -> None:
    check_dense(tensor, name=name)
    if tensor.dtype != torch.int64:
        message = f"{name} must be an int64 tensor, got dtype={tensor.dtype}. Convert it by .to(torch.int64)."
        raise TypeError(message)


def check_int(value: AnyInt, /, *, name: str, low: AnyInt = 0, high: AnyInt = MAX_INT) -> int:
    """Return an integer of any kind as a Python int.

    Raises:
        TypeError: if it is not an integer; a bool is not.
        ValueError: if it is outside `low..high`, both included.

    Example:
        >>> check_int(3, name="seed")
        3
    """
    number = value if type(value) is int else check_integer(value, name=name)
    if not low <= number <= high:
        message = f"{name} must be in {low}..{high}, got {name}={shown(number)}."
        raise ValueError(message)
    return number


def check_seed(seed: AnyInt, /) -> int:
    """Return a seed as a Python int.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is negative or above 2**63-1.

    Example:
        >>> check_seed(42)
        42
    """
    return check_int(seed, name="seed")


def check_word(word: AnyInt | Tensor, /, *, name: str) -> Any:
    """Return a word in 0..2**63-1: an integer as a Python int, an int64 tensor of words unchanged.

    Raises:
        TypeError: if it is neither an integer nor an int64 tensor.
        ValueError: if it is negative or too large; for a tensor only checked if `is_concrete`.

    Example:
        >>> import torch
        >>> check_word(3, name="seed"), check_word(torch.tensor([0, 3]), name="seeds")
        (3, tensor([0, 3]))
    """
    if not isinstance(word, Tensor):
        return check_int(word, name=name)
    _check_dtype(word, name)
    if is_concrete(word) and word.numel() and (lowest := int(word.min())) < 0:
        message = f"{name} must not be negative, got {lowest}."
        raise ValueError(message)
    return word


def check_index(index: Any, /, *, stop: AnyInt | None, name: str) -> Any:
    """Return an index that lies in `0..stop-1`: an integer as a Python int, an array or tensor unchanged.

    Args:
        index: an integer, or an int64 array or tensor of any shape.
        stop: first value out of range; None for no end.
        name: name of the index in the error.

    Raises:
        TypeError: if it is neither an integer nor an int64 array or tensor.
        IndexError: if it is out of range; for a tensor only checked if `is_concrete`.

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
        low = high = checked = check_integer(index, name=name)
    last = MAX_INT if stop is None else as_int(stop) - 1
    if low < 0 or high > last:
        allowed = f"in 0..{last}" if last >= 0 else "in an empty range"
        message = f"{name} must be {allowed}, got {name}={shown(low if low < 0 else high)}."
        raise IndexError(message)
    return checked
