"""Values of all types, which replace arguments."""

import array
import ast
import collections
import copy
import datetime as dt
import enum
import random
import re
import types
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bionemo import data
from tests.fuzzing.calls.parts import LinearConfig, epochs, make_pipeline, numbers, rng


class Opaque:
    """An object with a long text."""

    def __repr__(self) -> str:
        return "Opaque(" + "x" * 1000 + ")"


class IntKind(enum.IntEnum):
    THREE = 3


class StringKind(enum.StrEnum):
    ABC = "abc"


def infinite() -> torch.Tensor:
    return torch.tensor([float("nan"), float("inf"), -float("inf")])


def structured() -> np.ndarray:
    return np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])


VALUES: tuple[Callable[[], Any], ...] = (
    *(
        partial(copy.deepcopy, value)
        for value in (None, True, False, 3, -7, 10**30, 2.5, float("nan"), 1j, Fraction(1, 3))
    ),
    *(
        partial(copy.deepcopy, value)
        for value in (Decimal("2.5"), "", "3", "abc", "a" * 1000, b"abc", bytearray(b"ab"))
    ),
    *(partial(kind, 3) for kind in (np.int8, np.uint64, np.float32, np.bool_, np.str_, np.complex64)),
    *(partial(copy.deepcopy, value) for value in ([], [1, 2], ["a"], [None], [2.5], [[1], [2, 3]], [True])),
    *(partial(copy.deepcopy, value) for value in ((), (1,), ("a", 2), {}, {"a": 1}, {1: 2}, {1, 2})),
    *(lambda: frozenset([3]), lambda: range(3), object, Opaque, lambda: [Opaque()] * 100, lambda: slice(None)),
    *(lambda value=value: value for value in (int, dict, data.EpochOrder, Opaque, torch.nn.Linear, LinearConfig)),
    *(lambda value=value: value for value in (len, numbers, ast, Ellipsis, NotImplemented, re.compile("a"))),
    *(lambda: lambda value: value, lambda: iter([1, 2]), numbers, lambda: map(str, [1, 2]), {}.keys),
    *(partial(torch.tensor, value) for value in (2.5, 3, True, [1, 2], [2.5], [True, False], [[1, 2], [3, 4]], [1j])),
    *(partial(torch.tensor, [1, 2], dtype=kind) for kind in (torch.int32, torch.uint8, torch.float16)),
    *(lambda: torch.nn.Parameter(torch.ones(2)), lambda: torch.empty(0), lambda: torch.Size([1])),
    *(lambda: torch.ones(2, 2) > 0, lambda: torch.nn.Linear(1, 1), lambda: torch.device("cpu")),
    *(lambda value=value: value for value in (torch.int64, torch.float32, np.int64, np.float32, np.dtype("int8"))),
    *(partial(np.array, value) for value in (2.5, [1, 2], [2.5], ["a"], [[1, 2]], [None])),
    *(rng, partial(np.random.default_rng, 3), partial(np.random.RandomState, 3), partial(random.Random, 3)),
    *(epochs, make_pipeline, LinearConfig, lambda: data.SampleIndex(0, 1, 2), lambda: data.Source("abc")),
    *(lambda: Path("x"), lambda: pd.Series([1, 2]), lambda: pd.DataFrame({"a": [1]}), lambda: ValueError("x")),
    # Numbers that are none, and at the ends of what fits.
    *(partial(float, text) for text in ("inf", "-inf", "-0.0", "1e308", "5e-324")),
    *(partial(int, number) for number in (-1, 0, 2**63 - 1, 2**63, -(2**63), 2**64)),
    *(lambda: np.float64("nan"), lambda: np.uint64(2**64 - 1), lambda: np.int64(-(2**63)), lambda: np.longdouble(3)),
    *(lambda: [float("nan"), 1.0], lambda: [-1, 2**63], lambda: [2**64], infinite, lambda: np.array([np.inf, -1.0])),
    # Subclasses.
    *(lambda: IntKind.THREE, lambda: StringKind.ABC, lambda: collections.OrderedDict(a=1), collections.Counter),
    *(lambda: collections.defaultdict(int), lambda: types.MappingProxyType({"a": 1}), collections.UserList),
    *(lambda: collections.deque([1, 2]), lambda: array.array("q", [1, 2]), lambda: memoryview(b"ab")),
    # Arrays and tensors that hold no plain numbers, or hold them elsewhere.
    *(structured, lambda: np.ma.masked_array([1, 2], [True, False]), lambda: np.array(["2020-01-01"], "M8[D]")),
    *(lambda: np.array([1, "a"], dtype=object), lambda: np.empty((0, 3)), lambda: np.zeros((1, 1, 1, 1, 1), int)),
    *(lambda: torch.eye(2).to_sparse(), lambda: torch.eye(2).to_sparse_csr(), lambda: torch.empty(2, device="meta")),
    *(
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        lambda: torch.ones(2, dtype=torch.bfloat16),
    ),
    *(lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), lambda: torch.zeros(0, 3, dtype=torch.int64)),
    *(lambda: torch.tensor([1, 2], dtype=torch.uint64), lambda: torch.ones(2, dtype=torch.float8_e4m3fn)),
    *(lambda: dt.datetime(2020, 1, 1, tzinfo=dt.UTC), lambda: pd.Index([1, 2]), lambda: pd.NA),
)
"""Functions that make the values, new for each call."""
