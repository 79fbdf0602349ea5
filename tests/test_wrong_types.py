"""Tests that every public function refuses arguments of wrong types, with an error that says which and why.

`make fuzz` makes a hundred thousand random calls; here each argument is replaced by some values.
"""

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bionemo.core.checked import checked
from tests import fuzzing
from tests.fuzzing import CALLS, MODULES, NOT_CALLED, VALUES, Call

NUM_VALUES = 12
"""Values per argument, different for each function."""

NEEDS_MORE = {"pin_memory": "a CUDA device", "check_checkpoint": "a checkpoint", "load_checkpoint": "a checkpoint"}


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", CALLS, ids=fuzzing.name_of)
def test_an_argument_of_a_wrong_type_is_refused_by_an_error_that_names_it(called: Call) -> None:
    draw = random.Random(fuzzing.name_of(called))
    found = [
        fuzzing.check(called, parameter, make())
        for parameter in fuzzing.arguments_of(called)
        for make in draw.sample(VALUES, NUM_VALUES)
    ]
    assert not any(found), "\n" + fuzzing.table(failure for failure in found if failure)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", CALLS, ids=fuzzing.name_of)
def test_the_valid_calls_are_valid_and_as_annotated(called: Call) -> None:
    arguments, parameters = fuzzing.arguments_of(called), fuzzing.signature_of(called.function).parameters
    assert arguments.keys() == called.make().keys()
    for name, value in arguments.items():
        is_rest = parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        for part in value if is_rest else [value]:
            assert fuzzing.fits(part, fuzzing.hints_of(called.function).get(name, Any)), name
    if called.function.__name__ not in NEEDS_MORE:
        assert fuzzing.outcome(called.function, arguments) is None


def test_every_public_function_and_record_is_called() -> None:
    public = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    called = {made.function for made in CALLS}
    missing = {name for name, value in public.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert {name for name in missing if public[name] not in called} == NOT_CALLED


def takes_anything(size: int) -> None:
    pass


def looks_inside(size: int) -> None:
    size.bit_length()


def names_nothing(size: int) -> None:
    raise TypeError("wrong type")


def shows_all(size: int) -> None:
    raise TypeError(f"size must be an integer, got {'x' * 300}.")


def draws_first(size: int) -> None:
    torch.rand(1)
    raise TypeError("size must be an integer, got size='3'.")


def refuses(size: int) -> None:
    raise TypeError("size must be an integer, got size='3'.")


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (takes_anything, "accepted"),
        (looks_inside, "AttributeError"),
        (names_nothing, "unclear TypeError"),
        (shows_all, "long text"),
        (draws_first, "moved a state"),
        (refuses, None),
    ],
)
def test_the_fuzzer_finds_each_kind_of_fault(function: Callable[..., Any], kind: str | None) -> None:
    with torch.random.fork_rng(devices=[]):
        failure = fuzzing.check(fuzzing.call(function, size=3), "size", "3")
    assert (failure and failure.kind) == kind
    assert fuzzing.check(fuzzing.call(checked(takes_anything), size=3), "size", "3") is None
