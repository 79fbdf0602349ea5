"""Integer arithmetic on a CPU tensor's memory: NumPy, in blocks that stay in the processor's cache.

Written with operators alone, one kernel serves ints, int64 arrays and int64 tensors. Called eagerly on a whole tensor,
each of its many small steps would go through main memory.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import IntArray, as_int, in_graph, is_concrete

__all__ = ["BLOCK", "by_run", "in_blocks", "take"]

BLOCK: Final = 2**14
"""Elements in a block: measured best, with a factor of two on either side costing a tenth."""


def in_blocks(kernel: Callable[..., Any], /, *words: Any) -> Any:
    """Return what an elementwise kernel answers for ints and int64 tensors that broadcast.

    Tensors in the memory of the CPU are handed to it as int64 arrays, block by block; ints, and tensors elsewhere, in
    `torch.compile` or in `vmap`, as they are, but that in a graph an int beside a tensor becomes one.

    Law: `in_blocks(kernel, *words)` equals `kernel(*words)`.

    Args:
        kernel: a pure elementwise function of ints, one-axis arrays and tensors alike, that answers with one of them
            or with a tuple or NamedTuple of them.
        *words: its arguments.

    Example:
        >>> in_blocks(lambda word: word * 2, 3), in_blocks(lambda word: word * 2, torch.arange(3))
        (6, tensor([0, 2, 4]))
    """
    tensors = [word for word in words if isinstance(word, Tensor)]
    if not tensors:
        return kernel(*map(as_int, words))
    if not all([is_concrete(tensor) for tensor in tensors]):  # noqa: C419 - dynamo follows a list
        if torch.compiler.is_compiling():
            words = tuple(word if isinstance(word, Tensor) else in_graph(word, like=tensors[0]) for word in words)
        return kernel(*words)
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    flat = [word.expand(shape).reshape(-1).numpy() if isinstance(word, Tensor) else word for word in words]
    size = math.prod(shape)
    wholes: list[Any] = []
    for start in range(0, max(size, 1), BLOCK):
        block = slice(start, start + BLOCK)
        answer = kernel(*(word[block] if isinstance(word, np.ndarray) else word for word in flat))
        parts = answer if isinstance(answer, tuple) else (answer,)
        wholes = wholes or [np.empty(size, dtype=part.dtype) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            whole[block] = part
    tensors = [torch.from_numpy(whole).reshape(shape) for whole in wholes]
    if not isinstance(answer, tuple):
        return tensors[0]
    return type(answer)(*tensors) if hasattr(answer, "_fields") else tuple(tensors)


def by_run(function: Callable[..., tuple[Any, ...]], /, *words: Any) -> tuple[Any, ...]:
    """Return what an elementwise function answers, with each run of equal elements of arrays computed once.

    Law: the answer broadcasts to `function(*words)`: an int stands for an array of equal elements.

    Args:
        function: a pure elementwise function that answers with a tuple.
        *words: its arguments: ints, one-axis int64 arrays of one length, or tensors, which go to it as they are.

    Example:
        >>> by_run(lambda epoch: (epoch * 10,), np.array([4, 4, 5, 5, 5]))
        (array([40, 40, 50, 50, 50]),)
    """
    words = tuple(map(as_int, words))
    arrays = [word for word in words if isinstance(word, np.ndarray)]
    if not arrays or not arrays[0].size:
        return function(*words)
    is_start = np.ones(arrays[0].size, dtype=np.bool_)
    is_start[1:] = np.logical_or.reduce([array[1:] != array[:-1] for array in arrays])
    starts: IntArray = np.flatnonzero(is_start)
    if len(starts) == 1:
        return function(*(int(word[0]) if isinstance(word, np.ndarray) else word for word in words))
    if len(starts) > len(is_start) // 2:
        return function(*words)
    lengths = np.diff(starts, append=len(is_start))
    values = function(*(word[starts] if isinstance(word, np.ndarray) else word for word in words))
    return tuple(value if isinstance(value, int) else np.repeat(value, lengths) for value in values)


def take(table: Any, place: Any, /) -> Any:
    """Return elements of a table: an int, array or tensor for an int, array or tensor of places.

    Args:
        table: a one-axis array or tensor.
        place: where in it; not checked: an int out of range is an error, an array's is moved to the nearest end.

    Example:
        >>> take(np.array([5, 6, 7]), 2), take(np.array([5, 6, 7]), torch.tensor([0, 1]))
        (7, tensor([5, 6]))
    """
    if isinstance(place, Tensor):
        # Flat, because a graph would turn a place without axes into a number.
        return torch.as_tensor(table, device=place.device)[place.reshape(-1)].reshape(place.shape)
    return int(table[place]) if isinstance(place, int | np.integer) else np.take(table, place, mode="clip")
