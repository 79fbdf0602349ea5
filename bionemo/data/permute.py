"""A shuffle that is never stored: a bijection of range(length) for every length and seed, by random access."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, overload

import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.utils.blocks import in_blocks
from bionemo.core.utils.checks import AnyInt, check_index, check_int, check_seed, in_graph
from bionemo.data.feistel import (
    MAX_LENGTH,
    Plan,
    geometry,
    keys_of,
    make_plan,
    make_words,
    num_rounds,
    permute_kernel,
    unpermute_kernel,
)

__all__ = ["permute", "unpermute"]


@lru_cache(maxsize=256)
def _check_plan(length: int, seed: int) -> Plan:
    return make_plan(check_int(length, name="length", low=1, high=MAX_LENGTH), check_seed(seed))


def _traced_plan(length: int, seed: int, index: Tensor) -> Plan:
    """Return the plan of a graph, whose geometry and keys are worked out in it: then it serves other lengths too."""
    words = make_words(num_rounds(length), in_graph(seed, like=index))
    return Plan(geometry(in_graph(length, like=index)), keys_of(words))


def _run(kernel: Callable[..., Any], index: AnyInt | Tensor, length: AnyInt, seed: AnyInt) -> Any:
    """Return what a kernel answers for an index, once the arguments are checked."""
    if type(length) is not int or type(seed) is not int:  # a bool or float must not pass for a cached int
        length, seed = check_int(length, name="length", low=1, high=MAX_LENGTH), check_seed(seed)
    if torch.compiler.is_compiling() and isinstance(index, Tensor):
        return kernel(check_index(index, stop=None, name="index"), _traced_plan(length, seed, index))
    plan = _check_plan(length, seed)
    index = check_index(index, stop=length, name="index")
    return kernel(index, plan) if isinstance(index, int) else in_blocks(partial(kernel, plan=plan), index)


@overload
def permute(index: Tensor, length: AnyInt, seed: AnyInt) -> Tensor: ...
@overload
def permute(index: AnyInt, length: AnyInt, seed: AnyInt) -> int: ...
def permute(index: AnyInt | Int[Tensor, "*shape"], length: AnyInt, seed: AnyInt) -> Any:
    """Return what stands at a place of a shuffled `range(length)`.

    Law: a bijection of `range(length)` for every length and seed, undone by `unpermute`; a tensor gives, element by
    element, what its integers give. Time and memory don't depend on the length.

    Args:
        index: 0..length-1: an integer, or an int64 tensor of any shape on any device.
        length: 1..2**62.
        seed: 0..2**63-1; another seed is another shuffle.

    Returns:
        0..length-1: an int, or an int64 tensor of the index's shape and device.

    Raises:
        IndexError: if an index is out of range.
        ValueError: if the length or the seed is.
        TypeError: if one of them is no integer. Tensors inside `torch.compile` and `vmap`, or on an accelerator, are
            checked for their dtype alone.

    Source: the module's docstring; a Feistel network over unequal halves goes back to J. Black and P. Rogaway, "Ciphers
    with arbitrary finite domains" (2002).

    Example:
        >>> [permute(index, 6, 42) for index in range(6)]
        [4, 2, 0, 3, 5, 1]
        >>> permute(torch.arange(6), 6, 42)
        tensor([4, 2, 0, 3, 5, 1])
    """
    return _run(permute_kernel, index, length, seed)


@overload
def unpermute(index: Tensor, length: AnyInt, seed: AnyInt) -> Tensor: ...
@overload
def unpermute(index: AnyInt, length: AnyInt, seed: AnyInt) -> int: ...
def unpermute(index: AnyInt | Int[Tensor, "*shape"], length: AnyInt, seed: AnyInt) -> Any:
    """Return at which place of a shuffled `range(length)` an index stands.

    Law: the inverse of `permute`: `unpermute(permute(i, length, seed), length, seed) == i`.

    Args:
        index: 0..length-1: an integer, or an int64 tensor of any shape on any device.
        length: 1..2**62.
        seed: 0..2**63-1.

    Returns:
        0..length-1: an int, or an int64 tensor of the index's shape and device.

    Raises:
        IndexError: if an index is out of range.
        ValueError: if the length or the seed is.
        TypeError: if one of them is no integer. Tensors inside `torch.compile` and `vmap`, or on an accelerator, are
            checked for their dtype alone.

    Example:
        >>> unpermute(permute(3, 6, 42), 6, 42)
        3
    """
    return _run(unpermute_kernel, index, length, seed)
