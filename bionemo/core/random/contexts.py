"""Contexts that seed global random states for a block and restore them, for code that takes no generator."""

import os
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_seed
from bionemo.core.random.generators import seed_from_generator
from bionemo.core.random.hashing import fold_in

__all__ = [
    "global_states",
    "random_global_context",
    "random_numpy_context",
    "random_python_context",
    "random_torch_context",
]

_GLOBAL_STATES = threading.Lock()
"""Held while a block owns the global states, because a second thread would draw from them and restore them wrongly."""
# A child that is forked while another thread holds the lock would wait for it forever.
os.register_at_fork(after_in_child=lambda: globals().update(_GLOBAL_STATES=threading.Lock()))

_OWNED: Final[ContextVar[object]] = ContextVar("_OWNED", default=None)
"""The lock that this thread holds. A thread that works for another one, which waits, runs in a copy of its context."""

_PATIENCE = 60.0
"""Seconds that a thread waits for another one before it warns."""


@contextmanager
def _own_global_states() -> Iterator[None]:
    """Run a block that no other thread's block interrupts; a block within a block runs at once."""
    lock = _GLOBAL_STATES
    if _OWNED.get() is lock:
        yield
        return
    if not lock.acquire(timeout=_PATIENCE):
        message = (
            f"A thread waits for {_PATIENCE:.0f} s to seed the global random states, because another thread is in a "
            "block that seeds them. If that block waits for this thread, end it before: seed each step, not the loop."
        )
        warnings.warn(message, RuntimeWarning, stacklevel=5)
        lock.acquire()
    _OWNED.set(lock)
    try:
        yield
    finally:
        _OWNED.set(None)
        lock.release()


@checked
@contextmanager
def random_numpy_context(seed: AnyInt = 42) -> Iterator[None]:
    """Run a block with NumPy's global random state seeded, and restore it afterwards, also if the block raises.

    Only one thread at a time can be in a block of this module; others wait.

    Args:
        seed: 0..2**63-1; below 2**32 the block draws what it would after `np.random.seed(seed)`.

    Raises:
        ValueError: if the seed is out of range. The state is unchanged then.

    Example:
        >>> with random_numpy_context(42):
        ...     np.random.randint(100)
        51
    """
    seed = check_seed(seed)
    with _own_global_states():
        state = np.random.get_state()  # noqa: NPY002 - this function is about the global state
        try:
            # NumPy takes 32-bit seeds, or an array of them.
            np.random.seed(seed if seed < 2**32 else [seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


@checked
@contextmanager
def random_python_context(seed: AnyInt) -> Iterator[None]:
    """Run a block with the state of Python's `random` seeded, and restore it afterwards, also if the block raises.

    Only one thread at a time can be in a block of this module; others wait.

    Args:
        seed: 0..2**63-1; the block draws what it would after `random.seed(seed)`.

    Raises:
        ValueError: if the seed is out of range. The state is unchanged then.

    Example:
        >>> with random_python_context(42):
        ...     random.randrange(100)
        81
    """
    seed = check_seed(seed)
    with _own_global_states():
        state = random.getstate()
        try:
            random.seed(seed)
            yield
        finally:
            random.setstate(state)


@checked
@contextmanager
def random_torch_context(generator: torch.Generator) -> Iterator[None]:
    """Run a block with torch's global random states seeded, and restore them afterwards, also if the block raises.

    For code that takes no generator: an `nn.Module` that draws its weights, dropout. Covers the CPU and all CUDA
    devices; in a forked worker process, which can't use CUDA, only the CPU. Only one thread at a time can be in a block
    of this module; others wait. So seed a step, not a loop that waits for batches of another thread.

    Args:
        generator: gives the seed of the block, and advances by one draw.

    Example:
        >>> from bionemo.core.random import make_generator
        >>> with random_torch_context(make_generator(42, "step", 0)):
        ...     dropped = torch.nn.functional.dropout(torch.ones(8))
        >>> dropped
        tensor([0., 0., 2., 0., 0., 0., 0., 0.])
    """
    is_forked = torch.cuda._is_in_bad_fork()  # noqa: SLF001 - torch has no public function for it
    has_cuda = torch.cuda.is_available() and not is_forked
    devices = range(torch.cuda.device_count()) if has_cuda else ()
    with _own_global_states():
        seed = seed_from_generator(generator)
        with torch.random.fork_rng(devices=devices):
            torch.default_generator.manual_seed(seed)
            if has_cuda:
                torch.cuda.manual_seed_all(seed)
            yield


_NUMPY_BITS = np.random.MT19937(0)
"""Bit generator of NumPy's global functions inside a block: swapping it in is faster than restoring a state."""


@checked
@contextmanager
def random_global_context(seed: AnyInt) -> Iterator[None]:
    """Run a block with the global states of torch, NumPy and Python seeded; restore them afterwards, also if it raises.

    For third-party code that takes no generator: data sets, transforms, collators. Costs about 60 us. Covers torch's
    CPU state, and those of all CUDA devices if CUDA is initialized. Only one thread at a time can be in a block of this
    module; others wait.

    Law: what the block draws depends only on the seed, and nothing outside the block depends on it.

    Args:
        seed: 0..2**63-1.

    Raises:
        ValueError: if the seed is out of range. The states are unchanged then.

    Example:
        >>> with random_global_context(42):
        ...     drawn = torch.rand(()), np.random.rand(), random.random()
        >>> with random_global_context(42):
        ...     drawn == (torch.rand(()), np.random.rand(), random.random())
        True
    """
    seed = check_seed(seed)
    with _own_global_states():
        python, torch_cpu, devices = random.getstate(), torch.default_generator.get_state(), _cuda_states()
        numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - this function is about global states
        singleton: Any = np.random  # NumPy 2.4 has no types for swapping bit generators
        bits = singleton.get_bit_generator()
        try:
            random.seed(seed)
            singleton.set_bit_generator(_NUMPY_BITS)
            # Not torch's seed: both use the Mersenne Twister, and would draw the same stream.
            np.random.seed(fold_in(seed, "numpy") & 0xFFFFFFFF)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            yield
        finally:
            random.setstate(python)
            singleton.set_bit_generator(bits)
            # Swapping drops the cached second normal of a pair. A nested block has reseeded the outer block's own bits.
            if numpy["has_gauss"] or bits is _NUMPY_BITS:
                np.random.set_state(numpy)  # noqa: NPY002
            torch.default_generator.set_state(torch_cpu)
            for device, state in enumerate(devices):
                torch.cuda.set_rng_state(state, device)


def global_states() -> tuple[Any, ...]:
    """Return the global random states of torch, NumPy and Python, to compare them: equal if nothing was drawn.

    Example:
        >>> before = global_states()
        >>> global_states()[:2] == before[:2]
        True
    """
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - this function is about global states
    bits = numpy["state"]["key"].tobytes(), numpy["state"]["pos"], numpy["has_gauss"]
    states = [torch.default_generator.get_state(), *_cuda_states()]
    return b"".join(state.numpy().tobytes() for state in states), bits, random.getstate()


def _cuda_states() -> list[Tensor]:
    """Return the random states of all CUDA devices: none if CUDA is not initialized, as in a forked process."""
    cuda: Any = torch.cuda
    return list(cuda.get_rng_state_all()) if cuda.is_initialized() else []
