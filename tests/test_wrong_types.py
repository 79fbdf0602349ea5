"""Tests that every public function refuses arguments of wrong types, with an error that says which and why.

`make fuzz` makes a million random calls; here each argument is replaced by some values.
"""

import inspect
import random
from typing import Any

import pytest

from tests.fuzzing.calls import CALLS, FAST_CALLS, MODULES, NOT_CALLED, SLOW_CALLS, Call
from tests.fuzzing.calls.files import file_calls
from tests.fuzzing.hints import fits, hints_of, signature_of
from tests.fuzzing.judging import check, outcome
from tests.fuzzing.trials import arguments_of, name_of, sample_of

NEEDS_MORE = {"pin_memory": "a CUDA device", "check_checkpoint": "a checkpoint", "load_checkpoint": "a checkpoint"}
OF_FILES = {made.function for made in file_calls()}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def failures_of(called: Call, num_values: int) -> list:
    draw = random.Random(name_of(called))
    return [failure for trial in sample_of(called, draw, num_values=num_values) if (failure := check(trial))]


# The fuzzer makes tensors of kinds that torch warns about.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", FAST_CALLS, ids=name_of)
def test_an_argument_of_a_wrong_type_is_refused_by_an_error_that_names_it(called: Call) -> None:
    assert failures_of(called, num_values=6) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", [called for called in SLOW_CALLS if called.function not in OF_FILES], ids=name_of)
def test_so_it_is_by_functions_that_take_milliseconds(called: Call) -> None:
    assert failures_of(called, num_values=2) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", [*file_calls(), *FAST_CALLS], ids=name_of)
def test_so_it_is_for_many_values(called: Call) -> None:
    assert failures_of(called, num_values=40) == []


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("called", CALLS, ids=name_of)
def test_the_valid_calls_are_valid_and_as_annotated(called: Call) -> None:
    arguments, parameters = arguments_of(called), signature_of(called.function).parameters
    assert arguments.keys() == called.make().keys()
    for name, value in arguments.items():
        is_rest = parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        for part in value if is_rest else [value]:
            assert fits(part, hints_of(called.function).get(name, Any)), name
    if called.function.__name__ not in NEEDS_MORE:
        assert outcome(called.function, arguments).error is None


def test_every_public_function_and_record_is_called() -> None:
    public = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    called = {made.function for made in CALLS}
    missing = {name for name, value in public.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert {name for name in missing if public[name] not in called} == NOT_CALLED
