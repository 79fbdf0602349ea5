"""Transforms of samples, and the seeds that they and the transforms of batches draw by."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bionemo.core.arrays import groups
from bionemo.core.checks import AnyInt, IntArray
from bionemo.core.random import fold_in, make_generator
from bionemo.core.random.hashing import fold_mixed, mix_seed
from bionemo.data.reading.dataset import Source
from bionemo.data.reading.read import describe_members

__all__ = ["check_number", "position_seeds", "transform_sample", "transform_samples"]


def transform_sample(transform: Callable[..., Any], sample: Any, /, *, seed: AnyInt, position: AnyInt) -> Any:
    """Return a sample transformed with its own generator, made from the pipeline's seed and the sample's position.

    Args:
        transform: takes one sample, and its generator by keyword.
        sample: what the data set returned.
        seed: the pipeline's seed.
        position: position in the training order.

    Example:
        >>> def jitter(sample, *, generator):
        ...     return sample + int(torch.randint(100, (), generator=generator))
        >>> transform_sample(jitter, 1000, seed=42, position=3)
        1036
    """
    return transform(sample, generator=make_generator(seed, "sample", position))


def position_seeds(seed: AnyInt, purpose: str, positions: Collection[AnyInt], /) -> Tensor:
    """Return the seed of each sample or row of a batch, made from the pipeline's seed and the position.

    Args:
        seed: the pipeline's seed.
        purpose: "sample" for transforms of samples, "row" for a transform of the batch.
        positions: positions in the training order.

    Example:
        >>> position_seeds(42, "row", [3, 4]) % 100
        tensor([ 5, 46])
    """
    if isinstance(positions, range):  # NumPy would read it element by element
        numbers = np.arange(positions.start, positions.stop, positions.step)
    else:
        numbers = np.array(positions, dtype=np.int64)
    return torch.from_numpy(fold_mixed(_mixed_seed(seed, purpose), numbers))


@lru_cache(maxsize=64)
def _mixed_seed(seed: AnyInt, purpose: str) -> int:
    return int(mix_seed(fold_in(seed, purpose)))


def transform_samples(
    sources: Sequence[Source], samples: Any, seeds: Tensor, numbers: IntArray, /, *, describe: Callable[[Any], str]
) -> list[Any]:
    """Return samples transformed by the transforms of their sources.

    Args:
        sources: those of the pipeline.
        samples: what the data sets returned.
        seeds: one per sample.
        numbers: number of each sample's source.
        describe: returns the note for an error; called with an int64 array or slice, which selects the samples that
            were being transformed.

    Raises:
        Exception: what a transform raises, with the note.

    Example:
        >>> sources = [Source("ab", transform=str.upper), Source("xy")]
        >>> transform_samples(sources, ["a", "y"], torch.arange(2), np.array([0, 1]), describe=str)
        ['A', 'y']
    """
    if len(sources) == 1:
        return _transformed(sources[0], list(samples), seeds, describe)
    transformed = list(samples)
    for number, members in groups(numbers):
        given = [transformed[member] for member in members.tolist()]
        found = _transformed(sources[number], given, seeds[members], partial(describe_members, describe, members))
        for member, sample in zip(members.tolist(), found, strict=True):
            transformed[member] = sample
    return transformed


def _transformed(source: Source, samples: list[Any], seeds: Tensor, describe: Callable[[Any], str]) -> list[Any]:
    """Return samples of one source transformed: one by one with a generator each, or by one call."""
    if source.transform is None or not samples:
        return samples
    transformed: list[Any] = []
    try:
        if source.batched:
            transformed = list(source.apply(samples, seeds=seeds))
            check_number(len(transformed), len(samples))
        else:
            for sample, seed in zip(samples, seeds.tolist(), strict=True):
                transformed.append(source.apply(sample, generator=torch.Generator().manual_seed(seed)))
    except Exception as error:
        error.add_note(describe(slice(None) if source.batched else slice(len(transformed), len(transformed) + 1)))
        raise
    return transformed


def check_number(number: int, expected: int, /) -> None:
    """Check that a batched transform returned one sample per sample.

    Example:
        >>> check_number(3, 3)
    """
    if number != expected:
        message = f"a batched transform must return one sample per sample, got {number} for {expected}."
        raise ValueError(message)
