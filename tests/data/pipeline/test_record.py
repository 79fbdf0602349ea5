"""Names of functions, and the fields in which records differ."""

from functools import partial

import pytest

from bionemo.data.pipeline.record import record_differences
from bionemo.data.reading.functions import function_name


class Callable:
    def __call__(self) -> None:
        """Do nothing."""


def test_functions_have_names() -> None:
    assert function_name(None) is None
    assert function_name(len) == "builtins.len"
    assert function_name("".join) == "builtins.str.join"
    assert function_name(partial(len, object())) == "builtins.len(<builtins.object>)"
    assert function_name(partial(partial(sorted, key=len), [2], reverse=True)) == (
        "builtins.sorted([2], key=builtins.len, reverse=True)"
    )
    assert function_name(partial(sorted, reverse=True, key=len)) == function_name(
        partial(sorted, key=len, reverse=True)
    )
    assert function_name(Callable()).endswith("test_record.Callable")


@pytest.mark.parametrize(
    ("saved", "current", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"b": 2}, {"a": (1, None), "b": (None, 2)}),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, {"a.b.1": (2, 3)}),
        ({"a": [1]}, {"a": [1, 2]}, {"a.1": (None, 2)}),
        ({"a": []}, {"a": {}}, {}),
        ({"a": None}, {"a": {"b": 1}}, {"a.b": (None, 1)}),
    ],
)
def test_differences_have_dotted_paths(saved: dict, current: dict, expected: dict) -> None:
    assert record_differences(saved, current) == expected
