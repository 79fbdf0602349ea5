"""Seeds derived from seeds by one hash, with equal results for Python ints, int64 arrays and int64 tensors."""

from functools import lru_cache
from typing import Any, Final, TypeVar, cast, overload

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.arrays import BLOCK, check_broadcast, in_blocks
from bionemo.core.checks import AnyInt, IntArray, as_int, check_word, in_graph

__all__ = ["fold_in", "fold_mixed", "fold_word", "mix", "mix_in", "mix_seed"]

Word = TypeVar("Word", int, IntArray, Tensor)
Words = TypeVar("Words", IntArray, Tensor)

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_MASK_63: Final = 2**63 - 1
_GOLDEN: Final = 0x1E3779B97F4A7C15
"""2**63 divided by the golden ratio, made odd: moves seed 0 away from 0, the fixed point of `mix`."""
_FIRST: Final = 0x3F58476D1CE4E5B9
_SECOND: Final = 0x14D049BB133111EB
"""Multipliers of D. Stafford's "Better Bit Mixing" (2011), variant 13, the finalizer of splitmix64.

Their top bits are cleared, which changes nothing modulo 2**63.
"""
_SHIFTS: Final = (30, 27, 31)
_ARRAYS: Final = [
    np.array(number, np.uint64) for number in (_MASK_63, _SHIFTS[0], _FIRST, _SHIFTS[1], _SECOND, _SHIFTS[2])
]
"""The constants as arrays: for a short array, converting an int takes as long as using it."""


def _multiply(word: Word, constant: int) -> Word:
    """Return `word * constant` modulo 2**63."""
    if isinstance(word, int):
        return word * constant & _MASK_63
    # int64 must not overflow, so multiply by 32-bit halves:
    #   word * constant = low * c_low + 2**32 * (high * c_low + low * c_high) + 2**64 * high * c_high
    # The last term vanishes modulo 2**63, and the bracket counts modulo 2**31 only, so bit 31 of its `low` may be
    # masked. Both constants have c_low < 2**29 and c_high < 2**30: the terms of `upper` are below 2**29, 2**60 and
    # 2**61, and `product` is below 2**61.
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
    """Return a 63-bit hash of a 63-bit word: every output bit depends on every input bit.

    Law: a bijection of `range(2**63)` that maps 0 to 0; an array or tensor gives, element by element, what ints give.

    Args:
        word: an int, int64 array or int64 tensor in 0..2**63-1; not checked.

    Returns:
        A word of the type and shape of `word`.

    Source: D. Stafford, "Better Bit Mixing", variant 13 (2011), computed modulo 2**63.

    Example:
        >>> mix(0), mix(1)
        (0, 2558316640067307269)
    """
    return _mix(as_int(word))


def _mix(word: Word) -> Word:
    if isinstance(word, np.ndarray):
        return _mix_array(word)
    # Each step is invertible: a xor with a right shift of itself, and a product with an odd number modulo 2**63.
    word = _multiply(word ^ (word >> _SHIFTS[0]), _FIRST)
    word = _multiply(word ^ (word >> _SHIFTS[1]), _SECOND)
    return word ^ (word >> _SHIFTS[2])


def _mix_array(word: IntArray) -> IntArray:
    """Return `_mix` of an array, in few passes: NumPy's uint64 is defined to wrap around."""
    bits = word.view(np.uint64)
    mask, first_shift, first, second_shift, second, third_shift = _ARRAYS
    shifted = np.right_shift(bits, first_shift)
    mixed = np.bitwise_xor(bits, shifted)
    for constant, shift in ((first, second_shift), (second, third_shift)):
        np.multiply(mixed, constant, mixed)
        np.bitwise_and(mixed, mask, mixed)
        np.right_shift(mixed, shift, shifted)
        np.bitwise_xor(mixed, shifted, mixed)
    return mixed.view(np.int64)


def mix_seed(seed: Any, /) -> Any:
    """Return a seed prepared for `fold_mixed`: for ints, int64 arrays and tensors, unchecked.

    Example:
        >>> fold_mixed(mix_seed(42), 7) == fold_in(42, 7)
        True
    """
    return _mix(as_int(seed) ^ _GOLDEN)


def fold_mixed(mixed: Any, word: Any, /) -> Any:
    """Return the seed derived from a seed and one number, with half the work of `fold_word`.

    Law: `fold_mixed(mix_seed(seed), word) == fold_word(seed, word)`.

    Args:
        mixed: what `mix_seed` returned: for rows of many elements it is needed once per row.
        word: as for `fold_word`.

    Example:
        >>> fold_mixed(mix_seed(42), 7) == fold_in(42, 7)
        True
    """
    return _mix(mixed ^ as_int(word))


def fold_word(seed: Any, word: Any, /) -> Any:
    """Return the seed derived from a seed and one number: `fold_in` for ints, int64 arrays and tensors, unchecked.

    Law: `fold_word(seed, word) == fold_in(seed, word)`; for a fixed seed, distinct words give distinct seeds.

    Example:
        >>> fold_word(42, 7) == fold_in(42, 7)
        True
    """
    # The seed is mixed before the word enters: `seed ^ word` alone would confuse (0, 1) with (1, 0).
    return fold_mixed(mix_seed(seed), word)


def _hash_text(text: str) -> int:
    word = mix(len(text) ^ _GOLDEN)  # the length first: no text's hash is an intermediate state of a longer text's
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
    """Return a seed derived from a seed and data.

    This is the only way to derive a seed: a hash, so that neighboring seeds and neighboring data give unrelated
    results. Start the data with a short string that names the purpose (`fold_in(seed, "epoch", epoch)`), so that one
    seed used for two purposes never gives the same stream.

    Laws: `fold_in(seed, a, b) == fold_in(fold_in(seed, a), b)`; for a fixed seed, distinct integers give distinct
    results; a tensor gives, element by element, what its integers give.

    Args:
        seed: 0..2**63-1, or an int64 tensor of seeds.
        *data: integers in 0..2**63-1, int64 tensors of them (which broadcast), or strings. Without data the result is
            the seed itself.

    Returns:
        A seed in 0..2**63-1: an int, or an int64 tensor of the broadcast shape if any argument is a tensor.

    Raises:
        TypeError: for floats, bools, or tensors of another dtype than int64.
        ValueError: for a negative integer. Tensors inside `torch.compile` or `vmap`, or on an accelerator, are not
            checked.

    Source: name and usage follow `jax.random.fold_in`; the hash is `mix`.

    Example:
        >>> fold_in(42, "epoch", 1)
        3357695411936279130
        >>> import torch
        >>> int(fold_in(42, "epoch", torch.tensor([0, 1]))[1])
        3357695411936279130
    """
    state = check_word(seed, name="seed")
    words = [_text_word(datum) if isinstance(datum, str) else check_word(datum, name="data") for datum in data]
    tensors = [word for word in words if isinstance(word, Tensor)]
    if tensors:
        check_broadcast(seed=state, **{f"data[{number}]": word for number, word in enumerate(words)})
    if torch.compiler.is_compiling():
        if isinstance(state, int) and tensors:
            state = in_graph(state, like=tensors[0])  # dynamo would inline an int's whole hash at every use
        return _fold_words(state, *words)
    return in_blocks(_fold_words, state, *words)


def mix_in(seeds: Words, purpose: str, /) -> Words:
    """Return `fold_in(seeds, purpose)` prepared for `fold_mixed`, unchecked.

    Args:
        seeds: one per row, in an int64 array or tensor.
        purpose: what the words are for.

    Example:
        >>> mixed = mix_in(torch.tensor([42, 43]), "mask")
        >>> torch.equal(fold_mixed(mixed, 7), fold_in(torch.tensor([42, 43]), "mask", 7))
        True
    """
    word = _text_word(purpose)
    if isinstance(seeds, np.ndarray) and seeds.ndim == 1 and seeds.size <= BLOCK:
        return cast("Words", _fold_and_mix(seeds, word))
    mixed: Words = in_blocks(_fold_and_mix, seeds, word)
    return mixed


def _fold_and_mix(seed: Any, word: Any) -> Any:
    return mix_seed(fold_word(seed, word))


def _text_word(text: str) -> int:
    # Dynamo warns about an lru_cache and ignores it; a compiled graph holds the hash as a constant anyway.
    return (_hash_text if torch.compiler.is_compiling() else _hash_text_once)(text)


def _fold_words(state: Any, *words: Any) -> Any:
    for word in words:
        state = fold_word(state, word)
    return state
