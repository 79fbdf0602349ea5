"""Tests of the check of arguments' types: what it takes, what it refuses and that it changes nothing else."""

import doctest
import functools
import inspect
import pickle
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt
from bionemo.data import EpochOrder, Order, Pipeline, Source

Number = TypeVar("Number", bound=float)
Anything = TypeVar("Anything")


@runtime_checkable
class Sized(Protocol):
    size: int


class Unchecked(Protocol):
    size: int


class HasSize:
    size = 3


def taking(hint: Any) -> Callable[[Any], Any]:
    """Return a function with an argument that is annotated with a hint."""

    def function(value):
        return value

    function.__annotations__ = {"value": hint}
    return checked(function)


ORDER = EpochOrder(length=3, seed=4)


@pytest.mark.parametrize(
    ("hint", "accepted", "refused", "words"),
    [
        (int, [3, -7], [True, 2.5, "3", None, np.int8(3)], "an integer"),
        (AnyInt, [3, np.int8(3)], [True, np.True_, 2.5, np.float32(2), "3", [3]], "an integer"),
        (AnyFloat, [3, 2.5, np.float16(2), np.int8(3)], [True, "3", 1j, torch.tensor(3.0)], "a number or an integer"),
        (float, [3, 2.5, np.float64(2)], [True, "3"], "a number or an integer"),
        (bool, [True, False, np.True_], [0, None, "True"], "True or False"),
        (bool | int, [True, 3], [2.5], "True or False or an integer"),
        (str | None, ["", None], [b"", 3], "a string or None"),
        (Any, [3, None, True, int], [], ""),
        (object, [3, None, True, int], [], ""),
        (Anything, [3, None, True, int], [], ""),
        (Number, [3, 2.5], ["3", True], "a number or an integer"),
        (Literal["left", "right"], ["left"], [3, None, ["left"]], "'left' or 'right'"),
        (Literal["fork"] | None, ["fork", None], [3, torch.arange(3)], "'fork' or None"),
        (Sequence[int], [[1], ("a",), range(3), ""], [3, {1}, iter([1]), np.arange(3)], "a sequence"),
        (Iterable[int], [[1], {1}, iter([1]), np.arange(3)], [3, None], "an iterable"),
        (Mapping[str, int], [{}], [[], None], "a mapping"),
        (dict[str, int], [{1: 2}], [[], None], "a dict"),
        (tuple[int, ...], [(), ("a",)], [[1]], "a tuple"),
        (Callable[[int], int], [len, int, lambda: 3], [3, None], "a function"),
        (type[int], [int, str], [3, "int"], "a class"),
        (Int[Tensor, "batch length"], [torch.zeros(3)], [np.zeros((3, 3)), [[3]], Tensor], "a tensor"),
        (AnyInt | Float[Tensor, "..."], [3, torch.tensor(3.0)], [True, [3]], "an integer or a tensor"),
        (NDArray[np.int64], [np.zeros(3)], [[3], torch.zeros(3)], "an array"),
        (torch.Generator, [torch.Generator()], [3, np.random.default_rng(3)], "a torch.Generator"),
        (np.random.Generator, [np.random.default_rng(3)], [torch.Generator()], "a numpy.random.Generator"),
        (torch.dtype, [torch.int64], ["int64", np.int64], "a torch.dtype"),
        (Order, [ORDER], [EpochOrder, range(3)], "an Order"),
        (Sized, [HasSize()], [HasSize, 3], "Sized"),
        (Unchecked, [3, None], [], ""),
        (Source | Pipeline[Any], [Source("abc")], ["abc"], "a Source or "),
        ("AnyInt", [3], ["3"], "an integer"),
    ],
)
def test_the_types_of_an_annotation_are_taken_and_no_others(hint, accepted, refused, words) -> None:
    function = taking(hint)
    for value in accepted:
        assert function(value) is value
        assert function(value=value) is value
    for value in refused:
        for pass_it in (lambda: function(value), lambda: function(value=value)):  # noqa: B023 - called at once
            with pytest.raises(TypeError, match="value must be ") as caught:
                pass_it()
            assert words in str(caught.value)
            assert str(caught.value).endswith(f" of type {type(value).__name__}.")
            assert len(str(caught.value)) < 300


def test_another_value_than_those_of_a_literal_is_refused() -> None:
    with pytest.raises(ValueError, match=r"value must be 'left' or 'right', got value='top' of type str\."):
        taking(Literal["left", "right"])("top")


@checked
def every_kind(first: int, /, second: str, *rest: float, option: bool = False, **others: Any) -> tuple[Any, ...]:
    """Return all arguments.

    Example:
        >>> every_kind(1, "two")
        (1, 'two', (), False, {})
    """
    return first, second, rest, option, others


def test_arguments_of_every_kind_are_checked() -> None:
    assert every_kind(1, "two", 3, 4.5, option=True, first="x") == (1, "two", (3, 4.5), True, {"first": "x"})
    assert every_kind(1, second="two") == (1, "two", (), False, {})
    for arguments, options, name in [
        (("1", "two"), {}, "first"),
        ((1, 2), {}, "second"),
        ((1,), {"second": 2}, "second"),
        ((1, "two", 3, "4"), {}, "rest"),
        ((1, "two"), {"option": 1}, "option"),
    ]:
        with pytest.raises(TypeError, match=f"{name} must be .*, got {name}="):
            every_kind(*arguments, **options)


def test_missing_and_unknown_arguments_are_refused_by_the_function() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'second'"):
        every_kind(1)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'other'"):
        taking(int)(3, other=4)
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        taking(int)(3, 4)


def test_the_function_is_otherwise_unchanged() -> None:
    assert str(inspect.signature(every_kind)).startswith("(first: int, /, second: str, *rest: float, option: bool")
    assert every_kind.__name__ == "every_kind"
    assert pickle.loads(pickle.dumps(every_kind)) is every_kind
    partial = pickle.loads(pickle.dumps(functools.partial(every_kind, 1, option=True)))
    assert partial("two") == (1, "two", (), True, {})
    tests = doctest.DocTestFinder().find(sys.modules[every_kind.__module__])
    assert sum(len(test.examples) for test in tests if test.name.endswith(".every_kind")) == 1


@pytest.mark.usefixtures("no_type_checks")
def test_a_check_moves_nothing() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    values = [numbers(), iter([1, 2]), torch.Generator(), np.random.default_rng(3)]
    states = [values[2].get_state().tolist(), values[3].bit_generator.state]
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    for value in values:
        with pytest.raises(TypeError):
            taking(Sequence[int] | Mapping[str, int] | int)(value)
        taking(Iterable[int] | torch.Generator | np.random.Generator)(value)
    assert states == [values[2].get_state().tolist(), values[3].bit_generator.state]
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert (list(values[0]), list(values[1])) == ([1], [1, 2])


def test_a_context_manager_is_checked_when_it_is_made() -> None:
    @checked
    @contextmanager
    def context(size: int) -> Iterator[int]:
        yield size

    with context(3) as size:
        assert size == 3
    with pytest.raises(TypeError, match="size must be an integer"):
        context("3")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_checked_function_is_compiled_as_one_graph() -> None:
    @checked
    def scaled(values: Float[Tensor, "..."], *, factor: float | None = None) -> Tensor:
        return values * (factor or 1)

    compiled = torch.compile(scaled, fullgraph=True, backend="eager")
    assert compiled(torch.ones(2), factor=3).tolist() == [3, 3]
    assert compiled(torch.ones(2)).tolist() == [1, 1]
    assert torch.vmap(scaled)(torch.ones(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match="values must be a tensor"):
        scaled([1.0])
