"""Torch generators made from seeds, and seeds drawn from generators."""

import secrets
from typing import Any, Final

import numpy as np
import torch
from numpy.random import SeedSequence

from bionemo.core.arrays import check_memory
from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, check_int, check_integer, shown
from bionemo.core.random.hashing import fold_in

__all__ = ["check_entropy", "get_seed_from_rng", "make_generator", "seed_from_entropy", "seed_from_generator", "split"]

_STATE_BYTES: Final = 5056
"""Size of the state of a CPU generator of torch."""


@checked
def make_generator(seed: AnyInt, /, *data: AnyInt | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator seeded with `fold_in(seed, *data)`.

    Law: equal arguments give generators in equal states; no global state is read or changed.

    Args:
        seed: 0..2**63-1.
        *data: integers and strings that name what the generator is for, as in `fold_in`. A CPU generator of torch
            keeps only 32 bits of its seed: two different data give the same stream with probability 2**-32, and without
            data, seeds with equal low 32 bits give the same stream.
        device: device of the generator.

    Raises:
        TypeError: if the seed is not an integer, or a datum is neither an integer nor a string.
        ValueError: if one is negative or above 2**63-1, or there is no such device.

    Example:
        >>> generator = make_generator(42, "sample", 7)
        >>> torch.randint(100, (3,), generator=generator)
        tensor([84, 88, 81])
    """
    try:
        generator = torch.Generator(device=device)
    except RuntimeError as error:
        message = f"device must be one that this machine has, got device={shown(device)}: {error}"
        raise ValueError(message[:400]) from error
    return generator.manual_seed(fold_in(seed, *data))


def seed_from_generator(generator: torch.Generator, /) -> int:
    """Return a seed drawn from a torch generator, which advances by one draw.

    Returns:
        An int in 0..2**63-1.

    Example:
        >>> generator = make_generator(42)
        >>> seed_from_generator(generator) == seed_from_generator(generator)
        False
    """
    if not isinstance(generator, torch.Generator):  # by hand: this function is called for every sample
        message = f"generator must be a torch.Generator, got generator={shown(generator)}. Use make_generator(seed)."  # type: ignore[unreachable]
        raise TypeError(message)
    return int(torch.empty((), dtype=torch.int64, device=generator.device).random_(generator=generator))


def check_entropy(value: AnyInt, /, *, name: str) -> int:
    """Return an integer of any size that isn't negative as a Python int.

    Raises:
        ValueError: if it is negative.
        TypeError: if it is not an integer.

    Example:
        >>> check_entropy(-1, name="seed")
        Traceback (most recent call last):
        ValueError: seed must be at least 0, got seed=-1.
    """
    number = check_integer(value, name=name)
    if number < 0:
        message = f"{name} must be at least 0, got {name}={shown(number)}."
        raise ValueError(message)
    return number


@checked
def seed_from_entropy(entropy: AnyInt | None, /) -> int:
    """Return a seed in 0..2**63-1 for a number of any size, e.g. one that `numpy.random.default_rng` takes.

    Laws: a number that is a seed gives itself; equal numbers give equal seeds. Larger numbers are folded by NumPy's
    `SeedSequence`.

    Args:
        entropy: at least 0. None draws a new seed from the operating system: write it down, to repeat the run.

    Raises:
        ValueError: if the number is negative.
        TypeError: if it is not an integer or None.

    Example:
        >>> seed_from_entropy(42), seed_from_entropy(2**70)
        (42, 2488204056750324975)
    """
    if entropy is None:
        return secrets.randbits(63)
    number = check_entropy(entropy, name="entropy")
    if number <= MAX_INT:
        return number
    return int(SeedSequence(number).generate_state(1, np.uint64)[0]) >> 1


@checked
def split(generator: torch.Generator, /, num: AnyInt = 2) -> tuple[torch.Generator, ...]:
    """Return independent generators for the parts of a program; the parent advances by one draw.

    Law: the children depend only on the state of the parent, and child `i` doesn't depend on `num`. On the CPU, two
    children give the same stream with probability 2**-32, because torch keeps only 32 bits of their seeds.

    Args:
        generator: the parent.
        num: number of children, at least 1.

    Returns:
        `num` generators on the parent's device.

    Raises:
        ValueError: if `num` is below 1, or the generators don't fit the memory.

    Example:
        >>> order_generator, model_generator = split(make_generator(42))
    """
    num = check_int(num, name="num", low=1)
    check_memory(num * _STATE_BYTES, name="num", value=num)
    seed = seed_from_generator(generator)
    return tuple(make_generator(seed, "split", child, device=generator.device) for child in range(num))


@checked
def get_seed_from_rng(rng: np.random.Generator, dtype: type[np.signedinteger[Any]] = np.int64) -> int:
    """Return a seed drawn from a NumPy generator, which advances by one draw.

    Law: it equals `int(rng.integers(np.iinfo(dtype).max))`, the seed that bionemo-core 2.x draws.

    Args:
        rng: the NumPy generator.
        dtype: signed integer type; the seed is drawn uniformly from its non-negative values except the largest.

    Returns:
        An int in `0..np.iinfo(dtype).max - 1`.

    Example:
        >>> get_seed_from_rng(np.random.default_rng(42))
        7138484576005690179
    """
    if not issubclass(dtype, np.signedinteger):
        message = f"dtype must be a signed integer type of NumPy, got dtype={shown(dtype)}."  # type: ignore[unreachable]
        raise TypeError(message)
    return int(rng.integers(np.iinfo(dtype).max))
