"""Tests that the fuzzer finds each kind of fault, and names the call that repeats it."""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bionemo.core.checked import checked
from tests.fuzzing import everywhere, running
from tests.fuzzing.calls.parts import call
from tests.fuzzing.everywhere import places
from tests.fuzzing.judging import check
from tests.fuzzing.trials import Trial, trial_at
from tests.fuzzing.variants import ARRAY_LAYOUTS, TENSOR_LAYOUTS, Variant

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("no_type_checks")
REFUSED = "size must be an integer, got size='3'."


def takes_anything(size: int) -> None:
    pass


def looks_inside(size: int) -> None:
    size.bit_length()


def names_nothing(size: int) -> None:
    raise TypeError("wrong type")


def shows_all(size: int) -> None:
    raise TypeError(f"size must be an integer, got {'x' * 400}.")


def draws_first(size: int) -> None:
    torch.rand(1)
    raise TypeError(REFUSED)


def sets_the_environment(size: int) -> None:
    os.environ["FUZZED"] = "1"
    raise TypeError(REFUSED)


def sets_a_filter(size: int) -> None:
    warnings.simplefilter("error")
    raise TypeError(REFUSED)


def stays_in_no_grad(size: int) -> None:
    torch.set_grad_enabled(False)
    raise TypeError(REFUSED)


def raises_what_is_not_documented(size: int) -> None:
    raise RuntimeError(REFUSED)


def raises_what_is_documented(size: int) -> None:
    """Raise an error.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(REFUSED)


def refuses(size: int) -> None:
    raise TypeError(REFUSED)


def trial_of(function: Callable[..., Any], parameter: str, valid: Any, variant: Variant) -> Trial:
    return Trial(call(function, **{parameter: valid}), {parameter: variant})


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (takes_anything, "accepted"),
        (looks_inside, "AttributeError"),
        (names_nothing, "unclear TypeError"),
        (shows_all, "long text"),
        (draws_first, "changed the random state of torch"),
        (sets_the_environment, "changed the environment"),
        (sets_a_filter, "changed the warnings' filters"),
        (stays_in_no_grad, "changed the grad mode"),
        (raises_what_is_not_documented, "RuntimeError"),
        (raises_what_is_documented, None),
        (refuses, None),
        (checked(takes_anything), None),
    ],
)
def test_each_kind_of_fault_is_found(function: Callable[..., Any], kind: str | None, monkeypatch) -> None:
    monkeypatch.setenv("FUZZED", "0")
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(True):
        failure = check(trial_of(function, "size", 3, Variant("value", "3")))
    assert (failure and failure.kind) == kind


def sorts_in_place(sizes: Iterable[int]) -> None:
    sizes.sort()


def sums_memory(values: torch.Tensor) -> float:
    """Return the sum of what is in memory, whatever the tensor shows of it."""
    return float(torch.tensor(values.untyped_storage()[:].tolist()).sum())


def takes_contiguous(values: np.ndarray) -> int:
    if not values.flags.c_contiguous:
        raise ValueError("values must be contiguous, got another layout.")
    return int(values.sum())


def test_a_changed_argument_is_found() -> None:
    failure = check(trial_of(sorts_in_place, "sizes", [1], Variant("list", [3, 1, 2])))
    assert failure.kind == "changed an argument"


def test_an_answer_that_depends_on_the_layout_is_found() -> None:
    values = torch.tensor([1.0, 2.0, 3.0])
    variant = Variant("tensor", TENSOR_LAYOUTS["every second element"](values), values, has_plain=True)
    assert check(trial_of(sums_memory, "values", values, variant)).kind == "another answer than for a plain copy"


def test_a_layout_may_be_refused() -> None:
    values = np.arange(4)
    variant = Variant("array", ARRAY_LAYOUTS["every second element"](values), values, has_plain=True)
    assert check(trial_of(takes_contiguous, "values", values, variant)) is None


@pytest.mark.parametrize("name", [*TENSOR_LAYOUTS])
def test_a_layout_of_a_tensor_holds_what_its_plain_copy_holds(name: str) -> None:
    values = torch.arange(6.0).reshape(2, 3)
    strange = TENSOR_LAYOUTS[name](values)
    assert strange.shape == values.shape
    if name not in {"expanded", "overlapping"}:
        assert torch.equal(strange.to_dense().detach().as_subclass(torch.Tensor), values)


@pytest.mark.parametrize("name", [*ARRAY_LAYOUTS])
def test_a_layout_of_an_array_holds_what_its_plain_copy_holds(name: str) -> None:
    values = np.arange(6).reshape(2, 3)
    strange = ARRAY_LAYOUTS[name](values)
    assert strange.shape == values.shape
    if name != "broadcast":
        assert (strange == values).all()


def waits(size: int) -> None:
    if size == 3:
        time.sleep(60)


def dies(size: int) -> None:
    if size == 3:
        os._exit(7)


def cannot_be_interrupted(size: int) -> None:
    import signal

    if size == 3:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)


def test_a_call_that_takes_too_long_is_interrupted() -> None:
    job = running.Job(lambda number: trial_of(waits, "size", 1, Variant("number", 3)), 0, 1, 1)
    failure = running.call_number(job, 0, max_seconds=0.2)
    assert (failure.kind, failure.number) == ("hang", 0)


@pytest.mark.parametrize(
    ("function", "kind", "max_seconds"),
    [
        (dies, "crash", 100),
        pytest.param(cannot_be_interrupted, "hang that no alarm interrupts", 20, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_or_is_stuck_names_its_call_and_the_others_are_made(function, kind, max_seconds) -> None:
    job = running.Job(lambda number: trial_of(function, "size", 1, Variant("number", 3 if number == 5 else 1)), 0, 9, 1)
    (found,) = list(running.run(job, num_workers=2, max_seconds=max_seconds))
    assert (found.kind, found.number) == (kind, 5)


def test_the_number_of_a_call_determines_it() -> None:
    for number in range(40):
        first, again = trial_at(7, number), trial_at(7, number)
        assert first.called is again.called
        assert {name: variant.name for name, variant in first.changes.items()} == {
            name: variant.name for name, variant in again.changes.items()
        }


@pytest.mark.slow
def test_a_place_is_filled_and_all_else_stays() -> None:
    value = {"a": [5, (6, 7)], "b": 3}
    assert [part for part, _ in places(value)] == [value, [5, (6, 7)], 5, (6, 7), 3]
    filled = [put("new") for _, put in places(value)]
    assert filled[1:] == [
        {"a": "new", "b": 3},
        {"a": ["new", (6, 7)], "b": 3},
        {"a": [5, "new"], "b": 3},
        {"a": [5, (6, 7)], "b": "new"},
    ]
    assert filled[0] == "new"
    assert value == {"a": [5, (6, 7)], "b": 3}


@pytest.mark.filterwarnings("ignore")  # of torch, about kinds of tensors
def test_some_of_the_strange_values_everywhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = everywhere.job()
    assert job.stop > 10_000
    assert list(running.failures(job._replace(first=17, step=101))) == []


def test_the_command_line_makes_calls_and_repeats_one() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzzing", "--seed", "5"]
    for options in (["--count", "2000"], ["--only", "3"]):
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout
        assert "0 failures" in done.stdout
