"""Each strange value at each place of each valid argument: calls that random ones seldom make."""

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.fuzzing.calls import CALLS
from tests.fuzzing.running import Job
from tests.fuzzing.trials import Trial, arguments_of, free_parameters, is_too_much
from tests.fuzzing.variants import ARRAY_DTYPES, ELEMENTS, TENSOR_DTYPES, Variant, extreme

MAX_DEPTH, MAX_LENGTH = 2, 5
"""Places are looked for within values that are nested so deep, and in the first and last element of short sequences."""


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Yield a value and each element in it, with a function that returns the value with something else there."""
    yield value, lambda new: new
    if depth == MAX_DEPTH:
        return
    if type(value) is dict:
        for key in value:
            for part, put in places(value[key], depth + 1):
                yield part, lambda new, key=key, put=put: value | {key: put(new)}
    elif type(value) in {list, tuple} and 0 < len(value) <= MAX_LENGTH:
        for index in sorted({0, len(value) - 1}):
            for part, put in places(value[index], depth + 1):
                yield part, lambda new, at=index, put=put: type(value)([*value[:at], put(new), *value[at + 1 :]])


def strange_for(part: Any) -> Iterator[Any]:
    """Yield the strange values for a place, among them variants of the tensor or array that is there."""
    yield from ELEMENTS
    if isinstance(part, Tensor):
        draw = random.Random(1)
        yield from (part.to(dtype) for dtype in TENSOR_DTYPES)
        yield from (extreme(part, draw) for _ in range(3))
        yield from (part.to("meta"), part.to_sparse(), torch.nested.nested_tensor([part.double()]), part[None])
        if part.ndim:
            yield from (part[:0], torch.cat([part, part]))
    if isinstance(part, np.ndarray) and not part.dtype.hasobject:
        yield from (part.astype(dtype) for dtype in ARRAY_DTYPES)
        yield from (np.ma.MaskedArray(part), part[None], part[:0])


@cache
def trials() -> Sequence[Trial]:
    """Return all calls, about 20,000."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about kinds of tensors, and of NumPy, about imaginary parts
        for called in CALLS:
            for name in free_parameters(called):
                for part, put in places(arguments_of(called)[name]):
                    values = [put(new) for new in strange_for(part) if not is_too_much(called, name, new)]
                    kind = "value" if put(part) is part else "element"
                    found += [Trial(called, {name: Variant(kind, value)}) for value in values]
    return found


def job() -> Job:
    return Job(trials().__getitem__, 0, len(trials()), 1)
