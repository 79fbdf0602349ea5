"""Counter-based draws: any element of a seed's random stream, computed without the elements before it."""

from typing import Any, Final, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bionemo.core.arrays import check_broadcast, in_blocks
from bionemo.core.checks import AnyInt, as_int, check_int, check_word, shown
from bionemo.core.random.hashing import fold_word

__all__ = ["MAX_RANGE", "bits_at", "integers_at", "scale_to", "uniforms_at"]

MAX_RANGE: Final = 2**62
"""Length of the longest range that `integers_at` draws from."""

_MASK_31: Final = 2**31 - 1
_MASK_32: Final = 2**32 - 1
_MANTISSA: Final = {torch.float32: 24, torch.float64: 53}
"""Bits of a uniform float: the size of the significand, so that every multiple of 2**-bits in [0, 1) is exact."""


def scale_to(word: Any, length: Any, /) -> Any:
    """Return `word * length >> 63`, which scales a 63-bit word to `range(length)`.

    Law: each result comes from `2**63 // length` words, or from one more.

    Args:
        word: 0..2**63-1, an int, int64 array or int64 tensor; not checked.
        length: 1..2**62, an int, int64 array or int64 tensor; not checked.

    Source: D. Lemire, "Fast random integer generation in an interval" (2019), without the rejection step.

    Example:
        >>> scale_to(0, 10), scale_to(2**62, 10), scale_to(2**63 - 1, 10)
        (0, 5, 9)
    """
    word, length = as_int(word), as_int(length)
    if isinstance(word, int) and isinstance(length, int):
        return word * length >> 63
    # The product has up to 125 bits, so multiply halves: word = upper * 2**32 + lower, length = high * 2**31 + low, and
    #   word * length = 2**63 * upper * high + 2**32 * upper * low + 2**31 * lower * high + lower * low
    # Add from the right and drop the low bits on the way: `carried` counts units of 2**31, `carried >> 1` units of
    # 2**32. Every intermediate is below 2**63: upper < 2**31, lower < 2**32, high <= 2**31, low < 2**31, and high is
    # 2**31 only for length 2**62, where low is 0.
    upper, lower = word >> 32, word & _MASK_32
    high, low = length >> 31, length & _MASK_31
    carried = lower * high + (lower * low >> 31)
    return upper * high + (((carried >> 1) + upper * low) >> 31)


@overload
def bits_at(seed: Tensor, counter: AnyInt | Tensor) -> Tensor: ...
@overload
def bits_at(seed: AnyInt | Tensor, counter: Tensor) -> Tensor: ...
@overload
def bits_at(seed: AnyInt, counter: AnyInt) -> int: ...
def bits_at(seed: AnyInt | Int[Tensor, "..."], counter: AnyInt | Int[Tensor, "..."]) -> Any:
    """Return the 63 random bits at a counter of a seed's stream.

    Laws: equal for ints and tensors, on every device, compiled and under `vmap`; no two counters of a seed have the
    same bits.

    Args:
        seed: 0..2**63-1, or an int64 tensor of seeds. Derive it for its purpose with `fold_in`, because equal seeds
            give equal streams.
        counter: 0..2**63-1, or an int64 tensor of counters, which broadcasts with `seed`.

    Returns:
        Bits in 0..2**63-1: an int, or an int64 tensor of the broadcast shape.

    Raises:
        TypeError: if an argument is neither an integer nor an int64 tensor.
        ValueError: if an argument is negative. Tensors inside `torch.compile` or `vmap`, or on an accelerator, are not
            checked.

    Source: the idea is J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); the hash is `fold_in`.

    Example:
        >>> bits_at(42, 7)
        8263323722558780100
        >>> bits_at(torch.tensor([[42], [43]]), torch.arange(3)).shape
        torch.Size([2, 3])
    """
    seed, counter = check_word(seed, name="seed"), check_word(counter, name="counter")
    check_broadcast(seed=seed, counter=counter)
    return in_blocks(fold_word, seed, counter)


@overload
def uniforms_at(seed: Tensor, counter: AnyInt | Tensor, *, dtype: torch.dtype = ...) -> Tensor: ...
@overload
def uniforms_at(seed: AnyInt | Tensor, counter: Tensor, *, dtype: torch.dtype = ...) -> Tensor: ...
@overload
def uniforms_at(seed: AnyInt, counter: AnyInt, *, dtype: torch.dtype = ...) -> float: ...
def uniforms_at(
    seed: AnyInt | Int[Tensor, "..."], counter: AnyInt | Int[Tensor, "..."], *, dtype: torch.dtype = torch.float64
) -> float | Float[Tensor, "..."]:
    """Return the uniform float in [0, 1) at a counter of a seed's stream.

    Laws: equal for ints and tensors, on every device, compiled and under `vmap`; the float consists of the high bits
    of `bits_at`; a float32 is the float64 of the same counter, truncated.

    Args:
        seed: 0..2**63-1, or an int64 tensor of seeds.
        counter: 0..2**63-1, or an int64 tensor of counters, which broadcasts with `seed`.
        dtype: float64, in steps of 2**-53, or float32, in steps of 2**-24.

    Returns:
        A float, or a tensor of `dtype` and the broadcast shape.

    Raises:
        TypeError: if `seed` or `counter` is neither an integer nor an int64 tensor.
        ValueError: if `seed` or `counter` is negative, or `dtype` is neither float32 nor float64.

    Example:
        >>> uniforms_at(42, torch.arange(3), dtype=torch.float32)
        tensor([0.7547, 0.3592, 0.3266])
    """
    if not isinstance(dtype, torch.dtype) or dtype not in _MANTISSA:
        message = f"dtype must be torch.float32 or torch.float64, got dtype={shown(dtype)}. Convert the result."
        raise ValueError(message)
    mantissa = _MANTISSA[dtype]
    bits = bits_at(seed, counter) >> (63 - mantissa)  # no more bits than the dtype holds: nothing rounds up to 1.0
    return (bits.to(dtype) if isinstance(bits, Tensor) else bits) * 2.0**-mantissa


def _integer(seed: Any, counter: Any, length: Any) -> Any:
    return scale_to(fold_word(seed, counter), length)


@overload
def integers_at(seed: Tensor, counter: AnyInt | Tensor, length: AnyInt) -> Tensor: ...
@overload
def integers_at(seed: AnyInt | Tensor, counter: Tensor, length: AnyInt) -> Tensor: ...
@overload
def integers_at(seed: AnyInt, counter: AnyInt, length: AnyInt) -> int: ...
def integers_at(
    seed: AnyInt | Int[Tensor, "..."], counter: AnyInt | Int[Tensor, "..."], length: AnyInt
) -> int | Int[Tensor, "..."]:
    """Return the uniform integer in `range(length)` at a counter of a seed's stream.

    Laws: equal for ints and tensors, on every device, compiled and under `vmap`; the probability of each integer is
    within 2**-63 of `1 / length`. There is no rejection step to remove this bias, which matters only in very long
    ranges: near 2**62, some integers are 1.5 times as probable as others.

    Args:
        seed: 0..2**63-1, or an int64 tensor of seeds.
        counter: 0..2**63-1, or an int64 tensor of counters, which broadcasts with `seed`.
        length: 1..2**62.

    Returns:
        An integer in 0..length-1: an int, or an int64 tensor of the broadcast shape.

    Raises:
        TypeError: if `seed` or `counter` is neither an integer nor an int64 tensor, or `length` is not an integer.
        ValueError: if an argument is out of range.

    Example:
        >>> integers_at(42, torch.arange(6), 10)
        tensor([7, 3, 3, 5, 7, 4])
    """
    length = check_int(length, name="length", low=1, high=MAX_RANGE)
    seed, counter = check_word(seed, name="seed"), check_word(counter, name="counter")
    check_broadcast(seed=seed, counter=counter)
    drawn: int | Tensor = in_blocks(_integer, seed, counter, length)
    return drawn
