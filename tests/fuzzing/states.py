"""What a call must not change: its arguments, and the states of the process."""

import gc
import inspect
import logging
import operator
import os
import random
import signal
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from tests.fuzzing.hints import is_plain


def state(value: Any) -> Any:  # noqa: PLR0911 - one per kind
    """Return what a call could change of a value, in a form that can be compared."""
    if isinstance(value, Tensor):
        about = (value.dtype, None if value.is_nested else value.shape, value.requires_grad, value.grad is None)
        if not is_plain(value):
            return about
        flat = value.detach().resolve_neg().resolve_conj().clone(memory_format=torch.contiguous_format).reshape(-1)
        return *about, flat.view(torch.uint8).numpy().tobytes()
    if isinstance(value, np.ndarray):
        content = value.tolist() if value.dtype.hasobject else value.tobytes()
        return repr(content) if value.dtype.hasobject else content, value.dtype, value.shape, value.flags.writeable
    if isinstance(value, dict):
        return [(repr(key)[:50], state(part)) for key, part in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return len(value), [state(part) for part in value]
    if isinstance(value, str | int | float | bytes | bytearray):
        return value if value == value else "nan"  # noqa: PLR0124 - NaN is not
    return None


def position(value: Any) -> Any:
    """Return the state of what a lawful answer may advance and an error may not: generators and iterators."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, types.GeneratorType):
        return inspect.getgeneratorstate(value)
    return operator.length_hint(value, -1) if isinstance(value, Iterator) else None


def process_states() -> dict[str, Any]:
    """Return the states of the process that are cheap to look at, by name."""
    numpy_state = np.random.get_state()
    return {
        "random state of Python": random.getstate(),
        "random state of NumPy": (numpy_state[1].tobytes(), numpy_state[2:]),
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "deterministic flags": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "matmul precision": torch.get_float32_matmul_precision(),
        "errors of NumPy": np.geterr(),
        "environment": os.environ._data.copy(),
        "working directory": os.getcwd(),  # noqa: PTH109 - cheap
        "warnings' filters": list(warnings.filters),
        "hooks": (sys.excepthook, warnings.showwarning, sys.stdout, sys.stderr, sys.getrecursionlimit()),
    }


def dear_states() -> dict[str, Any]:
    """Return the states of the process that take milliseconds to look at, by name."""
    gc.collect()
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGALRM}
    root = logging.getLogger()
    return {
        "signal handlers": handlers,
        "open descriptors": sorted(filter(None, map(target_of, Path("/proc/self/fd").iterdir()))),
        "matplotlib's rcParams": dict(mpl.rcParams),
        "log levels": (root.level, list(root.handlers), logging.root.manager.disable),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "print options": (repr(np.get_printoptions()), repr(torch._tensor_str.PRINT_OPTS)),
        "sharing strategy": torch.multiprocessing.get_sharing_strategy(),
        "path": list(sys.path),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
    }


def target_of(descriptor: Path) -> str | None:
    try:
        return str(descriptor.readlink())
    except OSError:  # that of the listing
        return None


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != after[name]]
