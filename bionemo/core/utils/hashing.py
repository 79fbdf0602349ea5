"""Seeds from seeds: one hash, equal for Python ints, int64 arrays and int64 tensors."""

from functools import lru_cache
from typing import Any, Final, TypeVar, overload

import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, IntArray, as_int, check_int, check_int64, check_seed, in_graph

__all__ = ["fold_in", "fold_word", "mix"]

Word = TypeVar("Word", int, IntArray, Tensor)
Words = TypeVar("Words", IntArray, Tensor)

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_MASK_63: Final = 2**63 - 1
_GOLDEN: Final = 0x1E3779B97F4A7C15
"""2**63 over the golden ratio, odd: takes seed 0 off the fixed point of `mix`."""
_FIRST: Final = 0x3F58476D1CE4E5B9
_SECOND: Final = 0x14D049BB133111EB
"""Multipliers of D. Stafford's "Better Bit Mixing" (2011), variant 13, the finaliser of splitmix64.

Their top bit is left out: modulo 2**63 it counts for nothing.
"""


def _multiply(word: Word, constant: int) -> Word:
    """Return the product modulo 2**63.

    An array or tensor goes by 32-bit halves, because int64 must not overflow: with the low half of both constants
    below 2**29 and the high one below 2**30, no sum reaches 2**63.
    """
    if isinstance(word, int):
        return word * constant & _MASK_63
    low, high = word & _MASK_32, word >> 32
    product = low * (constant & _MASK_32)
    upper = (product >> 32) + high * (constant & _MASK_32) + (low & _MASK_31) * (constant >> 32)
    whole: Word = ((upper & _MASK_31) << 32) | (product & _MASK_32)
    return whole


@overload
def mix(word: AnyInt, /) -> int: ...
@overload
def mix(word: Words, /) -> Words: ...
def mix(word: Any, /) -> Any:
    """Return a 63-bit word whose every bit depends on every bit of the one given.

    Law: a bijection of range(2**63) that keeps 0, equal for an int and for each element of an array or tensor.

    Args:
        word: an int, int64 array or int64 tensor in 0..2**63-1; not checked.

    Returns:
        The kind and shape of `word`.

    Source: D. Stafford, "Better Bit Mixing", variant 13 (2011), carried out modulo 2**63.

    Example:
        >>> mix(0), mix(1)
        (0, 2558316640067307269)
    """
    return _mix(as_int(word))


def _mix(word: Word) -> Word:
    word = _multiply(word ^ (word >> 30), _FIRST)
    word = _multiply(word ^ (word >> 27), _SECOND)
    return word ^ (word >> 31)


def fold_word(state: Any, word: Any, /) -> Any:
    """Return the seed that belongs to a seed and one number; unchecked, for ints, int64 arrays and tensors.

    Law: `fold_word(state, word) == fold_in(state, word)`; for one state, no two words give one answer.

    Example:
        >>> fold_word(42, 7) == fold_in(42, 7)
        True
    """
    return _mix(_mix(as_int(state) ^ _GOLDEN) ^ as_int(word))


def _hash_text(text: str) -> int:
    word = mix(len(text) ^ _GOLDEN)
    for letter in text:
        word = mix(word ^ ord(letter))
    return word


_hash_text_once = lru_cache(maxsize=1024)(_hash_text)


@overload
def fold_in(seed: Tensor, /, *data: AnyInt | str) -> Tensor: ...
@overload
def fold_in(seed: AnyInt, /, *data: AnyInt | str) -> int: ...
@overload
def fold_in(seed: AnyInt | Tensor, /, *data: AnyInt | str | Tensor) -> Any: ...
def fold_in(seed: AnyInt | Int[Tensor, "..."], /, *data: AnyInt | str | Int[Tensor, "..."]) -> Any:
    """Return the seed that belongs to a seed and what it is used for.

    The one way to derive a seed: a hash, so that neighbouring seeds and neighbouring data have nothing in common. Start
    with a short string that names the purpose (`fold_in(seed, "epoch", epoch)`): then one seed in two places never
    makes one stream.

    Laws: `fold_in(seed, a, b) == fold_in(fold_in(seed, a), b)`; for one seed, no two integers give one answer; a tensor
    gives, element by element, what its integers give.

    Args:
        seed: 0..2**63-1, or an int64 tensor of such.
        *data: integers in 0..2**63-1, int64 tensors of such (they broadcast), or strings. Without data the seed itself
            is the answer.

    Returns:
        0..2**63-1: an int, or an int64 tensor of the broadcast shape as soon as one argument is a tensor.

    Raises:
        TypeError: for floats, bools, or tensors of another dtype than int64.
        ValueError: for a negative integer. Tensors inside `torch.compile` or `vmap`, or on an accelerator, are not
            checked.

    Source: the name and the use follow `jax.random.fold_in`; the hash is `mix`.

    Example:
        >>> fold_in(42, "epoch", 1)
        3357695411936279130
        >>> import torch
        >>> int(fold_in(42, "epoch", torch.tensor([0, 1]))[1])
        3357695411936279130
    """
    state: Any = check_int64(seed, name="seed") if isinstance(seed, Tensor) else check_seed(seed)
    tensors = [datum for datum in data if isinstance(datum, Tensor)]
    if isinstance(state, int) and tensors and torch.compiler.is_compiling():
        state = in_graph(state, like=tensors[0])
    for datum in data:
        if isinstance(datum, str):
            word: int | Tensor = (_hash_text if torch.compiler.is_compiling() else _hash_text_once)(datum)
        elif isinstance(datum, Tensor):
            word = check_int64(datum, name="data")
        else:
            word = check_int(datum, name="data")
        state = fold_word(state, word)
    return state
