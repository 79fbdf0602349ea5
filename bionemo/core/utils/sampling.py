"""Samples of a range, drawn with a generator that is handed in."""

from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from bionemo.core.utils.alias import Weights, check_weights, draw_by_alias, make_alias_table
from bionemo.core.utils.blocks import in_blocks
from bionemo.core.utils.checks import AnyInt, check_int
from bionemo.core.utils.draws import MAX_RANGE, bits_at, integers_at
from bionemo.core.utils.generators import seed_from_generator

__all__ = ["sample_by_weight", "sample_with_replacement", "sample_without_replacement"]


def sample_with_replacement(
    length: AnyInt, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return integers of `range(length)`, drawn uniformly and independently.

    Law: the draw depends on the state of the generator alone, which moves on by one number; a shorter draw is the
    beginning of a longer one.

    Args:
        length: 1..2**62.
        num_samples: how many, at least 0.
        generator: gives the seed of the draw.

    Returns:
        An int64 tensor on the CPU.

    Raises:
        ValueError: if a number is out of range; the generator is untouched then.
        TypeError: if one is no integer.

    Example:
        >>> sample_with_replacement(10, 6, generator=torch.Generator().manual_seed(42))
        tensor([1, 3, 5, 8, 5, 0])
    """
    length = check_int(length, name="length", low=1, high=MAX_RANGE)
    num_samples = check_int(num_samples, name="num_samples")
    return integers_at(seed_from_generator(generator), torch.arange(num_samples, device="cpu"), length)


def sample_without_replacement(
    length: AnyInt, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return different integers of `range(length)`, in random sequence: uniform draws, without those that came before.

    Time and memory are those of the draw, not of the range.

    Law: no two are equal; with `num_samples == length` the answer is a permutation of the range.

    Args:
        length: 0..2**62.
        num_samples: how many, 0..length.
        generator: gives the seed of the draw; it moves on by one number.

    Returns:
        An int64 tensor on the CPU.

    Raises:
        ValueError: if a number is out of range; the generator is untouched then.
        TypeError: if one is no integer.

    Example:
        >>> sample_without_replacement(10, 6, generator=torch.Generator().manual_seed(42))
        tensor([9, 7, 5, 0, 8, 1])
    """
    length = check_int(length, name="length", high=MAX_RANGE)
    num_samples = check_int(num_samples, name="num_samples", high=length)
    seed = seed_from_generator(generator)
    if num_samples > length // 2:
        return bits_at(seed, torch.arange(length, device="cpu")).argsort()[:num_samples]
    # At most half of the range is asked for: in the mean, less than 1.4 draws for each number, and a few.
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
    """Return the values without those that occurred before, in their sequence."""
    ranked, order = values.sort(stable=True)
    is_first = torch.ones_like(ranked, dtype=torch.bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    return values[order[is_first].sort().values]


def sample_by_weight(
    weights: Weights, num_samples: AnyInt, *, generator: torch.Generator
) -> Int[Tensor, " num_samples"]:
    """Return places in a list of weights, drawn with replacement, each in proportion to its weight.

    Law: a place of weight zero is never drawn; a shorter draw is the beginning of a longer one.

    Args:
        weights: one axis of finite, non-negative numbers, not all zero. Their proportions count, not their sum.
        num_samples: how many, at least 0.
        generator: gives the seed of the draw; it moves on by one number.

    Returns:
        An int64 tensor on the CPU.

    Raises:
        ValueError: if a weight is NaN, negative or infinite, or all are zero; the generator is untouched then.
        TypeError: if the weights are no real numbers.

    Example:
        >>> sample_by_weight([0.5, 0.0, 1.5], 6, generator=torch.Generator().manual_seed(42))
        tensor([0, 2, 2, 2, 2, 0])
    """
    table = make_alias_table(check_weights(weights))
    num_samples = check_int(num_samples, name="num_samples")
    kernel = partial(draw_by_alias, table, seed_from_generator(generator))
    places: Tensor = in_blocks(kernel, torch.arange(num_samples, device="cpu"))
    return places
