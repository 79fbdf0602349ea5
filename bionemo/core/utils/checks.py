"""Checks of integers and integer tensors, raised at the public boundary once."""

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
    "check_blocks",
    "check_index",
    "check_int",
    "check_int64",
    "check_seed",
    "check_token",
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


def check_index(index: AnyInt | Tensor, /, *, stop: AnyInt | None, name: str) -> int | Tensor:
    """Return an index, as a Python int or as the tensor it is, that lies in `0..stop-1`.

    Args:
        index: an integer or an int64 tensor of any shape.
        stop: first value out of range; None for no end.
        name: what the index is called in the error.

    Raises:
        TypeError: if it is no integer or no int64 tensor.
        IndexError: out of range, anywhere in a tensor whose values can be seen (see `is_concrete`).

    Example:
        >>> check_index(4, stop=5, name="position")
        4
    """
    if type(index) is int and 0 <= index < (2**63 if stop is None else stop):
        return index
    if isinstance(index, Tensor):
        _check_dtype(index, name)
        if not is_concrete(index) or not index.numel():
            return index  # before `stop` is looked at: a compiled graph shall not depend on it
        low, high = (int(bound) for bound in torch.aminmax(index))
        checked: int | Tensor = index
    else:
        low = high = checked = _as_int(index, name)
    last = MAX_INT if stop is None else as_int(stop) - 1
    if low < 0 or high > last:
        allowed = f"in 0..{last}" if last >= 0 else "in an empty range"
        message = f"{name} must be {allowed}, got {name}={low if low < 0 else high}."
        raise IndexError(message)
    return checked


def check_blocks(ids: Tensor, mask: Tensor, /, *, seeds: Tensor | None = None, **others: object) -> None:
    """Check that a mask, and other tensors beside a block of tokens, belong to it.

    Raises:
        ValueError: if one has another shape, or the seeds aren't one a row.
        TypeError: if the mask is none of bools.

    Example:
        >>> import torch
        >>> ids = torch.arange(6).reshape(2, 3)
        >>> check_blocks(ids, ids > 0, seeds=torch.arange(2))
    """
    if mask.dtype != torch.bool:
        message = f"mask must be of bools, True = real token, got dtype={mask.dtype}. Convert it by .bool()."
        raise TypeError(message)
    blocks = {"mask": mask} | {name: other for name, other in others.items() if isinstance(other, Tensor)}
    is_apart = ids.ndim != 2 or any(block.shape != ids.shape for block in blocks.values())  # noqa: PLR2004 - a block
    if is_apart or (seeds is not None and seeds.shape != ids.shape[:1]):
        found = ", ".join(f"{name} {tuple(block.shape)}" for name, block in blocks.items())
        rows = "" if seeds is None else f" and seeds {tuple(seeds.shape)}"
        message = (
            f"ids and {', '.join(blocks)} must have one shape of rows and columns"
            f"{'' if seeds is None else ', and seeds one a row'}, got ids {tuple(ids.shape)}, {found}{rows}."
        )
        raise ValueError(message)


def check_token(token: AnyInt, dtype: torch.dtype, /, *, name: str) -> int:
    """Return a token as a Python int, if a dtype holds it.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it doesn't fit.

    Example:
        >>> check_token(3, torch.int8, name="mask_id")
        3
    """
    number, limits = _as_int(token, name), torch.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        message = f"{name} must fit the ids' {dtype}, got {number}."
        raise ValueError(message)
    return number
