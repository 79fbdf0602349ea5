"""Integer arithmetic on arrays: in blocks that fit the cache, once per run of equal values, group by group.

A kernel written with operators alone serves ints, int64 arrays and int64 tensors.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.checks import IntArray, as_int, in_graph, is_concrete

__all__ = ["BLOCK", "by_run", "groups", "in_blocks", "take"]

BLOCK: Final = 2**14
"""Elements per block: the fastest size measured; half or twice as many cost a tenth more."""


def in_blocks(kernel: Callable[..., Any], /, *words: Any) -> Any:
    """Return the result of an elementwise kernel for ints, arrays and tensors that broadcast.

    Arrays and CPU tensors reach the kernel as one-axis int64 arrays of at most `BLOCK` elements, so that its many small
    steps stay in the processor's cache. Ints are passed unchanged. So are tensors on other devices, in `vmap` and in
    `torch.compile`; while compiling, ints next to tensors become 0-d tensors.

    Law: `in_blocks(kernel, *words)` equals `kernel(*words)`.

    Args:
        kernel: a pure elementwise function that returns one result or a tuple of them; an int in the tuple stands for
            an array of equal elements.
        *words: its arguments: ints, and either int64 arrays or int64 tensors.

    Returns:
        What the kernel returns, in the shape that the words broadcast to: tensors for tensors, arrays for arrays.

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
    flat = [np.broadcast_to(array, shape).reshape(-1) if isinstance(array, np.ndarray) else array for array in arrays]
    answer, wholes = _run(kernel, flat, math.prod(shape))
    results = [whole.reshape(shape) for whole in wholes]
    if tensors:
        results = [torch.from_numpy(result) for result in results]
    if not isinstance(answer, tuple):
        return results[0]
    return type(answer)(*results) if hasattr(answer, "_fields") else tuple(results)


def _run(kernel: Callable[..., Any], flat: list[Any], size: int) -> tuple[Any, list[Any]]:
    """Return the kernel's last answer, which shows its type, and each of its results as one array."""
    wholes: list[Any] = []
    for start in range(0, max(size, 1), BLOCK):
        block = slice(start, start + BLOCK)
        answer = kernel(*(word[block] if isinstance(word, np.ndarray) else word for word in flat))
        parts = answer if isinstance(answer, tuple) else (answer,)
        wholes = wholes or [np.empty(size, dtype=np.asarray(part).dtype) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            whole[block] = part
    return answer, wholes


def by_run(function: Callable[..., tuple[Any, ...]], /, *words: Any) -> tuple[Any, ...]:
    """Return the result of an elementwise function, computed once for each run of equal elements.

    Law: the result broadcasts to `function(*words)`; an int stands for an array of equal elements.

    Args:
        function: a pure elementwise function that returns a tuple.
        *words: its arguments: ints, and one-axis int64 arrays of one length.

    Example:
        >>> by_run(lambda epoch: (epoch * 10,), np.array([4, 4, 5, 5, 5]))
        (array([40, 40, 50, 50, 50]),)
    """
    arrays = [word for word in words if isinstance(word, np.ndarray)]
    if not arrays or not arrays[0].size:
        return function(*map(as_int, words))
    is_start = np.ones(arrays[0].size, dtype=np.bool_)
    is_start[1:] = arrays[0][1:] != arrays[0][:-1]
    for array in arrays[1:]:
        is_start[1:] |= array[1:] != array[:-1]
    starts: IntArray = np.flatnonzero(is_start)
    if len(starts) == 1:
        return function(*(int(word[0]) if isinstance(word, np.ndarray) else word for word in words))
    if len(starts) > len(is_start) // 2:  # hardly any runs: repeating the values would cost more than it saves
        return function(*words)
    lengths = np.diff(starts, append=len(is_start))
    values = function(*(word[starts] if isinstance(word, np.ndarray) else word for word in words))
    return tuple(value if isinstance(value, int) else np.repeat(value, lengths) for value in values)


def groups(values: IntArray, /) -> Iterator[tuple[int, IntArray]]:
    """Yield each distinct value of an array with the indices of its elements, in rising order.

    Args:
        values: non-negative, one-axis.

    Example:
        >>> [(value, members.tolist()) for value, members in groups(np.array([7, 0, 7]))]
        [(0, [1]), (7, [0, 2])]
    """
    # NumPy sorts short integers by radix, in linear time.
    is_short = bool(values.size) and int(values.max()) < 2**16
    order = np.argsort(values.astype(np.uint16) if is_short else values, kind="stable")
    rising = values[order]
    starts = np.flatnonzero(np.diff(rising, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, len(values)]):
        yield int(rising[start]), order[start:stop]


def take(table: Any, index: Any, /) -> Any:
    """Return elements of a table: an int for an int, an array for an array of indices.

    Args:
        table: a one-axis array.
        index: not checked. An int out of range raises; NumPy clips an array's, which is faster than checking.

    Example:
        >>> take(np.array([5, 6, 7]), 2), take(np.array([5, 6, 7]), np.array([0, 1]))
        (7, array([5, 6]))
    """
    return np.take(table, index, mode="clip") if isinstance(index, np.ndarray) else int(table[index])
