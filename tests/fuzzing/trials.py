"""Call number `n` of a seed: which arguments of which valid call are replaced by what."""

import random
import warnings
from bisect import bisect
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from tests.fuzzing.calls import CALLS, LAWS, SLOW_CALLS
from tests.fuzzing.calls.parts import Call
from tests.fuzzing.hints import signature_of
from tests.fuzzing.values import VALUES
from tests.fuzzing.variants import Variant, variant_of

SLOW_WEIGHT = 0.1
MAX_AMOUNT = 10**6
AMOUNTS = {"num_positions", "num_epochs", "num_steps", "num_batches", "max_batches", "stops", "max_indices", "limit"}
"""Parameters that say how much is to be done: a huge value takes long, lawfully."""


class Trial(NamedTuple):
    called: Call
    changes: dict[str, Variant]


def arguments_of(called: Call) -> dict[str, Any]:
    """Return new valid arguments, in the order of the parameters."""
    made = called.make()
    return {name: made[name] for name in signature_of(called.function).parameters if name in made}


def free_parameters(called: Call) -> list[str]:
    """Return the parameters whose arguments may be replaced."""
    return [name for name in arguments_of(called) if name not in called.fixed]


def name_of(called: Call) -> str:
    return f"{called.function.__module__}.{called.function.__qualname__}"


@cache
def weighted_calls() -> tuple[list[Call], list[float]]:
    """Return the calls, and the sums of their weights: the number of their parameters, and less if they are slow."""
    slow = {id(called) for called in SLOW_CALLS}
    weights = [len(free_parameters(called)) * (SLOW_WEIGHT if id(called) in slow else 1) for called in CALLS]
    return list(CALLS), list(accumulate(weights))


def trial_at(seed: int, number: int) -> Trial:
    """Return call number `number` of a seed."""
    draw = random.Random(f"{seed} {number}")
    calls, sums = weighted_calls()
    called = calls[bisect(sums, draw.random() * sums[-1])]
    names = free_parameters(called)
    num_changed = 1 if draw.random() < 0.8 else min(draw.randint(2, 3), len(names))
    return trial_of(called, draw.sample(names, num_changed), draw)


def trial_of(called: Call, names: list[str], draw: random.Random, *, variant_fraction: float = 0.5) -> Trial:
    """Return a call with some arguments replaced by random ones."""
    arguments = arguments_of(called)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about kinds of tensors
        changes = {
            name: change_of(arguments[name], draw, variant_fraction, is_amount=is_amount(called, name))
            for name in names
        }
    return Trial(called, changes)


def is_amount(called: Call, name: str) -> bool:
    """Return whether an argument may say how much is to be done; those of laws may."""
    return name in AMOUNTS or called.function in LAWS


def is_too_much(called: Call, name: str, value: Any) -> bool:
    return is_amount(called, name) and isinstance(value, int | np.integer) and value > MAX_AMOUNT


def change_of(valid: Any, draw: random.Random, variant_fraction: float, *, is_amount: bool) -> Variant:
    """Return a variant of a valid value, or another value."""
    variant = variant_of(valid, draw, is_amount=is_amount) if draw.random() < variant_fraction else None
    variant = variant or Variant("value", draw.choice(VALUES)())
    is_huge = is_amount and isinstance(variant.value, int | np.integer) and variant.value > MAX_AMOUNT
    return Variant("number", -1) if is_huge else variant


def sample_of(called: Call, draw: random.Random, *, num_values: int) -> Iterator[Trial]:
    """Yield calls with each argument in turn replaced by some values."""
    for name in free_parameters(called):
        for _ in range(num_values):
            yield trial_of(called, [name], draw)
