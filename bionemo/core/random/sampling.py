"""Random samples of a range, drawn with an explicit generator."""

from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.arrays import check_memory, in_blocks
from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, check_int
from bionemo.core.random.alias import Weights, check_weights, draw_by_alias, make_alias_table
from bionemo.core.random.draws import MAX_RANGE, bits_at, integers_at
from bionemo.core.random.generators import seed_from_generator

__all__ = ["sample_by_weight", "sample_with_replacement", "sample_without_replacement"]


def _check_number(num_samples: AnyInt, *, high: int = MAX_INT) -> int:
    """Return the size of a sample as a Python int, after checking that the sample fits the memory."""
    number = check_int(num_samples, name="num_samples", high=high)
    check_memory(16 * number, name="num_samples", value=number)  # an int64 counter and the sample
    return number


@checked
def sample_with_replacement(
    length: AnyInt, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return integers drawn uniformly and independently from `range(length)`.

    Law: the sample depends only on the state of the generator; a shorter sample is the beginning of a longer one.

    Args:
        length: 1..2**62.
        num_samples: number of integers, at least 0.
        generator: gives the seed of the sample, and advances by one draw.

    Returns:
        An int64 tensor on the CPU.

    Raises:
        ValueError: if a number is out of range, or the sample doesn't fit the memory. The generator doesn't advance
            then.
        TypeError: if a number is not an integer.

    Example:
        >>> sample_with_replacement(10, 6, generator=torch.Generator().manual_seed(42))
        tensor([1, 3, 5, 8, 5, 0])
    """
    length = check_int(length, name="length", low=1, high=MAX_RANGE)
    num_samples = _check_number(num_samples)
    return integers_at(seed_from_generator(generator), torch.arange(num_samples, device="cpu"), length)


@checked
def sample_without_replacement(
    length: AnyInt, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return distinct integers drawn uniformly from `range(length)`, in random order.

    Time and memory are proportional to `num_samples`, not to `length`.

    Law: no two are equal; with `num_samples == length` the result is a permutation of the range.

    Args:
        length: 0..2**62.
        num_samples: number of integers, 0..length.
        generator: gives the seed of the sample, and advances by one draw.

    Returns:
        An int64 tensor on the CPU.

    Raises:
        ValueError: if a number is out of range, or the sample doesn't fit the memory. The generator doesn't advance
            then.
        TypeError: if a number is not an integer.

    Example:
        >>> sample_without_replacement(10, 6, generator=torch.Generator().manual_seed(42))
        tensor([9, 7, 5, 0, 8, 1])
    """
    length = check_int(length, name="length", high=MAX_RANGE)
    num_samples = _check_number(num_samples, high=length)
    seed = seed_from_generator(generator)
    if num_samples > length // 2:
        # Sorting random keys shuffles the range. No two keys are equal: `bits_at` is injective in its counter.
        return bits_at(seed, torch.arange(length, device="cpu")).argsort()[:num_samples]
    # At most half of the range is wanted: draw with replacement and drop repeats. Even for half of the range this takes
    # 2 * ln(2) < 1.4 draws per number on average; the 16 extra ones make a second round rare for small samples.
    chosen = torch.empty(0, dtype=torch.int64, device="cpu")
    drawn = 0
    while len(chosen) < num_samples:
        count = num_samples - len(chosen) + 16
        chosen = _first_of_each(
            torch.cat([chosen, integers_at(seed, torch.arange(drawn, drawn + count, device="cpu"), length)])
        )
        drawn += count
    return chosen[:num_samples]


def _first_of_each(values: Tensor) -> Tensor:
    """Return the distinct values, in the order of their first occurrences."""
    ranked, order = values.sort(stable=True)
    is_first = torch.ones_like(ranked, dtype=torch.bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    return values[order[is_first].sort().values]


@checked
def sample_by_weight(
    weights: Weights, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return indices drawn with replacement, each with probability proportional to its weight.

    Law: an index of weight zero is never drawn; a shorter sample is the beginning of a longer one.

    Args:
        weights: finite, non-negative numbers in one axis, not all zero. They need not sum to 1.
        num_samples: number of indices, at least 0.
        generator: gives the seed of the sample, and advances by one draw.

    Returns:
        An int64 tensor on the CPU, of values in `range(len(weights))`.

    Raises:
        ValueError: if a weight is NaN, negative or infinite, all are zero, or the sample doesn't fit the memory. The
            generator doesn't advance then.
        TypeError: if the weights are not real numbers.

    Example:
        >>> sample_by_weight([0.5, 0.0, 1.5], 6, generator=torch.Generator().manual_seed(42))
        tensor([0, 2, 2, 2, 2, 0])
    """
    num_samples = _check_number(num_samples)
    table = make_alias_table(check_weights(weights))
    kernel = partial(draw_by_alias, table, seed_from_generator(generator))
    indices: Tensor = in_blocks(kernel, torch.arange(num_samples, device="cpu"))
    return indices
