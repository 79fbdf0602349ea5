"""Randomness that is handed in: seeds, generators, draws, and contexts for code that insists on a global state."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bionemo.core.utils.checks import AnyInt, check_seed
from bionemo.core.utils.draws import bits_at, integers_at, uniforms_at
from bionemo.core.utils.generators import get_seed_from_rng, make_generator, seed_from_generator, split
from bionemo.core.utils.hashing import fold_in
from bionemo.core.utils.sampling import sample_by_weight, sample_with_replacement, sample_without_replacement

__all__ = [
    "bits_at",
    "fold_in",
    "get_seed_from_rng",
    "integers_at",
    "make_generator",
    "random_global_context",
    "random_numpy_context",
    "random_python_context",
    "random_torch_context",
    "sample_by_weight",
    "sample_with_replacement",
    "sample_without_replacement",
    "seed_from_generator",
    "split",
    "uniforms_at",
]


@contextmanager
def random_numpy_context(seed: AnyInt = 42) -> Iterator[None]:
    """Run a block with NumPy's global state seeded, and put the state back, also when it raises.

    Args:
        seed: 0..2**63-1; below 2**32 the block sees what `np.random.seed(seed)` gives.

    Raises:
        ValueError: if the seed is out of range; the state is untouched then.

    Example:
        >>> with random_numpy_context(42):
        ...     np.random.randint(100)
        51
    """
    seed = check_seed(seed)
    state = np.random.get_state()  # noqa: NPY002 - the global state is what this is about
    try:
        np.random.seed(seed if seed < 2**32 else [seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextmanager
def random_python_context(seed: AnyInt) -> Iterator[None]:
    """Run a block with the global state of Python's `random` seeded, and put the state back, also when it raises.

    Args:
        seed: 0..2**63-1.

    Raises:
        ValueError: if the seed is out of range; the state is untouched then.

    Example:
        >>> with random_python_context(42):
        ...     random.randrange(100)
        81
    """
    seed = check_seed(seed)
    state = random.getstate()
    try:
        random.seed(seed)
        yield
    finally:
        random.setstate(state)


@contextmanager
def random_torch_context(generator: torch.Generator) -> Iterator[None]:
    """Run a block with torch's global states seeded by a generator, and put them back, also when it raises.

    For code that takes no generator: an `nn.Module` that draws its weights, dropout. The generator moves on by one
    draw. The CPU's state is covered, and those of all CUDA devices where there are any (but for a forked worker
    process, which can't use CUDA).

    Args:
        generator: gives the seed of the block.

    Example:
        >>> with random_torch_context(make_generator(42, "step", 0)):
        ...     dropped = torch.nn.functional.dropout(torch.ones(8))
        >>> dropped
        tensor([0., 0., 2., 0., 0., 0., 0., 0.])
    """
    seed = seed_from_generator(generator)
    is_forked = torch.cuda._is_in_bad_fork()  # noqa: SLF001 - torch has no public question
    has_cuda = torch.cuda.is_available() and not is_forked
    devices = range(torch.cuda.device_count()) if has_cuda else ()
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if has_cuda:
            torch.cuda.manual_seed_all(seed)
        yield


_GLOBAL_STATES = threading.RLock()
"""Held while the global states are those of a block: of another thread they would be neither its own nor put back."""
os.register_at_fork(after_in_child=lambda: globals().update(_GLOBAL_STATES=threading.RLock()))

_NUMPY_BITS = np.random.MT19937(0)
"""What NumPy draws from within a block: to exchange it is faster than to put a state back."""


@contextmanager
def random_global_context(seed: AnyInt) -> Iterator[None]:
    """Run a block with the global states of torch, NumPy and Python seeded, and put them back, also when it raises.

    For third-party code that takes no generator: data sets, transforms, collators. It costs some 60 us. Of torch, the
    CPU's state is covered, and those of CUDA devices where CUDA is in use. Threads take turns.

    Law: what the block draws depends on the seed alone, and nothing outside depends on the block.

    Args:
        seed: 0..2**63-1.

    Raises:
        ValueError: if the seed is out of range; the states are untouched then.

    Example:
        >>> with random_global_context(42):
        ...     drawn = torch.rand(()), np.random.rand(), random.random()
        >>> with random_global_context(42):
        ...     drawn == (torch.rand(()), np.random.rand(), random.random())
        True
    """
    seed = check_seed(seed)
    with _GLOBAL_STATES:
        python, torch_cpu, devices = random.getstate(), torch.default_generator.get_state(), _cuda_states()
        numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the global states are what this is about
        singleton: Any = np.random  # NumPy 2.4 types no exchange
        bits = singleton.get_bit_generator()
        try:
            random.seed(seed)
            singleton.set_bit_generator(_NUMPY_BITS)
            # Another seed than torch's: both have the Mersenne Twister behind them, and would draw one stream.
            np.random.seed(fold_in(seed, "numpy") & 0xFFFFFFFF)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            yield
        finally:
            random.setstate(python)
            singleton.set_bit_generator(bits)
            if numpy["has_gauss"] or bits is _NUMPY_BITS:  # the second number of a pair; a block within a block
                np.random.set_state(numpy)  # noqa: NPY002
            torch.default_generator.set_state(torch_cpu)
            for device, state in enumerate(devices):
                torch.cuda.set_rng_state(state, device)


def _cuda_states() -> list[Tensor]:
    """Return the states of all CUDA devices; none before CUDA is used, and in a forked process that can't use it."""
    cuda: Any = torch.cuda
    return list(cuda.get_rng_state_all()) if cuda.is_initialized() else []
