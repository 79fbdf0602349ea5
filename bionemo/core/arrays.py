"""Integer arithmetic on arrays: by blocks that fit the cache, by runs of equal values, and by groups.

A kernel written with operators alone works on ints, int64 arrays and int64 tensors.
"""

import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.checks import AnyInt, IntArray, as_int, in_graph, is_concrete, shown

__all__ = ["BLOCK", "by_group", "by_run", "check_broadcast", "check_memory", "groups", "in_blocks", "take"]

BLOCK: Final = 2**14
"""Elements per block: the fastest size measured; half or twice as many take 10% longer."""
_FEW: Final = 12
"""Below so many elements, a call per int is faster than one per array."""


def in_blocks(kernel: Callable[..., Any], /, *words: Any) -> Any:
    """Return the result of an elementwise kernel for ints, arrays and tensors that broadcast.

    Arrays and CPU tensors reach the kernel as one-axis int64 arrays of at most `BLOCK` elements, so that its many small
    steps stay in the processor's cache. Ints are passed unchanged, and so are tensors on other devices or under
    `torch.compile` or `vmap`; while compiling, ints next to tensors become 0-d tensors.

    Law: `in_blocks(kernel, *words)` equals `kernel(*words)`.

    Args:
        kernel: a pure elementwise function that returns one result or a tuple of them; an int in the tuple represents
            an array of equal elements.
        *words: its arguments: ints, and either int64 arrays or int64 tensors.

    Returns:
        The kernel's result, in the shape that the words broadcast to: tensors for tensors, arrays for arrays.

    Example:
        >>> in_blocks(lambda word: word * 2, 3), in_blocks(lambda word: word * 2, torch.arange(3))
        (6, tensor([0, 2, 4]))
    """
    tensors = [word for word in words if isinstance(word, Tensor)]
    if tensors and not all([is_concrete(tensor) for tensor in tensors]):  # noqa: C419 - dynamo follows a list
        if torch.compiler.is_compiling():
            words = tuple(word if isinstance(word, Tensor) else in_graph(word, like=tensors[0]) for word in words)
        return kernel(*words)
    arrays = [word.numpy() if isinstance(word, Tensor) else as_int(word) for word in words]
    shapes = [array.shape for array in arrays if isinstance(array, np.ndarray)]
    if not shapes:
        return kernel(*arrays)
    shape = shapes[0] if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    flat = [_spread(array, shape) if isinstance(array, np.ndarray) else array for array in arrays]
    last, wholes = _run(kernel, flat, math.prod(shape))
    results = [whole.reshape(shape) for whole in wholes]
    if tensors:
        results = [torch.from_numpy(result) for result in results]
    if not isinstance(last, tuple):
        return results[0]
    return type(last)(*results) if hasattr(last, "_fields") else tuple(results)


def _spread(array: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return an array that is broadcast to a shape, with one axis."""
    return (array if array.shape == shape else np.broadcast_to(array, shape)).reshape(-1)


def _run(kernel: Callable[..., Any], flat: list[Any], size: int) -> tuple[Any, list[Any]]:
    """Return the kernel's result for the last block, for its type, and each part of the whole result as one array."""
    if size <= BLOCK:
        last = kernel(*flat)
        parts = last if isinstance(last, tuple) else (last,)
        return last, [part.copy() if isinstance(part, np.ndarray) else np.full(size, part) for part in parts]
    wholes: list[Any] = []
    for start in range(0, size, BLOCK):
        block = slice(start, start + BLOCK)
        last = kernel(*(word[block] if isinstance(word, np.ndarray) else word for word in flat))
        parts = last if isinstance(last, tuple) else (last,)
        wholes = wholes or [np.empty(size, dtype=np.asarray(part).dtype) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            whole[block] = part
    return last, wholes


def check_broadcast(**words: Any) -> None:
    """Check that the tensors among some words broadcast. While compiling, nothing is checked.

    Raises:
        ValueError: if they don't.

    Example:
        >>> check_broadcast(seed=torch.arange(2), counter=torch.arange(3))
        Traceback (most recent call last):
        ValueError: seed and counter must have shapes that broadcast, got (2,) and (3,).
    """
    shapes = {name: tuple(word.shape) for name, word in words.items() if isinstance(word, Tensor)}
    if len(shapes) < 2 or torch.compiler.is_compiling():  # noqa: PLR2004
        return
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        shown_shapes = " and ".join(map(str, shapes.values()))
        message = f"{' and '.join(shapes)} must have shapes that broadcast, got {shown_shapes}."
        raise ValueError(message) from error


@cache
def _memory() -> int:
    """Return the number of bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(num_bytes: AnyInt, /, *, name: str, value: AnyInt) -> None:
    """Check that a result fits the machine's memory, before anything is allocated for it.

    Args:
        num_bytes: number of bytes that the result needs at least.
        name: name of the argument that determines it.
        value: value of the argument.

    Raises:
        ValueError: if the result needs more than the whole memory. While compiling, nothing is checked.

    Example:
        >>> check_memory(8 * 10, name="num_samples", value=10)
    """
    if torch.compiler.is_compiling():
        return
    memory = _memory()
    if num_bytes > memory:
        fits = f"{name} must be small enough for this machine's memory of {memory:,} bytes"
        message = f"{fits}, got {name}={shown(as_int(value))}, which takes {num_bytes:,} bytes. Choose a smaller one."
        raise ValueError(message)


def by_run(function: Callable[..., tuple[Any, ...]], /, *words: Any) -> tuple[Any, ...]:
    """Return the result of an elementwise function, computed once for each run of equal elements.

    Law: the result broadcasts to `function(*words)`; an int represents an array of equal elements.

    Args:
        function: a pure elementwise function that returns a tuple, of numbers and of tuples of them.
        *words: its arguments: ints, and one-axis int64 arrays of one length.

    Example:
        >>> by_run(lambda epoch: (epoch * 10,), np.array([4, 4, 5, 5, 5]))
        (array([40, 40, 50, 50, 50]),)
    """
    arrays = [word for word in words if isinstance(word, np.ndarray)]
    if not arrays or not arrays[0].size:
        return function(*map(as_int, words))
    if all([(array == array[0]).all() for array in arrays]):  # noqa: C419 - faster than a generator
        return function(*(int(word[0]) if isinstance(word, np.ndarray) else word for word in words))
    is_start = np.ones(arrays[0].size, dtype=np.bool_)
    is_start[1:] = arrays[0][1:] != arrays[0][:-1]
    for array in arrays[1:]:
        is_start[1:] |= array[1:] != array[:-1]
    starts: IntArray = np.flatnonzero(is_start)
    if len(starts) > len(is_start) // 2:  # hardly any runs: repeating the values would cost more than it saves
        return function(*words)
    lengths = np.diff(starts, append=len(is_start))
    values = function(*(word[starts] if isinstance(word, np.ndarray) else word for word in words))
    return tuple(value if isinstance(value, int) else np.repeat(value, lengths, axis=-1) for value in values)


def groups(values: IntArray, /) -> Iterator[tuple[int, IntArray]]:
    """Yield each distinct value of an array with the indices of its elements, both in ascending order.

    Args:
        values: non-negative, one-axis.

    Example:
        >>> [(value, members.tolist()) for value, members in groups(np.array([7, 0, 7]))]
        [(0, [1]), (7, [0, 2])]
    """
    if values.size and (values == values[0]).all():
        yield int(values[0]), np.arange(len(values))
        return
    # NumPy sorts 16-bit integers by radix, in linear time.
    is_short = bool(values.size) and int(values.max()) < 2**16
    order = np.argsort(values.astype(np.uint16) if is_short else values, kind="stable")
    ascending = values[order]
    starts = np.flatnonzero(np.diff(ascending, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, len(values)]):
        yield int(ascending[start]), order[start:stop]


def by_group(function: Callable[..., Any], group: Any, /, *words: Any, num_results: AnyInt) -> Any:
    """Return the results of an elementwise function that is called once per group, with the elements that belong to it.

    Args:
        function: returns `num_results` numbers or arrays; its first argument is the group, an int.
        group: the group of each element: an int, or a one-axis array of non-negative ints.
        *words: the other arguments: ints, or arrays like `group`.
        num_results: number of results.

    Example:
        >>> by_group(lambda group, word: [group + word], np.array([10, 20, 10]), np.array([1, 2, 3]), num_results=1)
        [array([11, 22, 13])]
    """
    if isinstance(group, int | np.integer):
        return function(int(group), *map(as_int, words))
    results = [np.empty_like(group) for _ in range(num_results)]
    for number, members in groups(group):
        for part in members.tolist() if len(members) < _FEW else [members]:
            found = function(number, *(as_int(word[part]) for word in words))
            for result, value in zip(results, found, strict=True):
                result[part] = value
    return results


def take(table: Any, index: Any, /) -> Any:
    """Return elements of a table: an int for an int, an array for an array of indices.

    Args:
        table: a one-axis array.
        index: not checked. An int out of range raises; in an array it is clipped, which is faster than a check.

    Example:
        >>> take(np.array([5, 6, 7]), 2), take(np.array([5, 6, 7]), np.array([0, 1]))
        (7, array([5, 6]))
    """
    return np.take(table, index, mode="clip") if isinstance(index, np.ndarray) else int(table[index])
