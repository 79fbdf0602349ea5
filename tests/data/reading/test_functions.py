"""Functions that users pass: refused where they can't be called, and named so that another argument is another name."""

import functools
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, Pipeline, Source, batch_at
from bionemo.data.pipes import nodes
from bionemo.data.reading.functions import function_name


def make(**fields) -> Pipeline:
    return Pipeline(**{"order": EpochOrder(length=3, seed=1), "sources": "abc", "batch_size": 3, "seed": 1} | fields)


def with_generator(sample: str, *, generator: torch.Generator) -> str:
    return f"{sample}{generator.initial_seed()}"


@attrs.frozen
class Suffix:
    """A function with options, as a record."""

    suffix: str = "!"

    def __call__(self, sample: str) -> str:
        return sample + self.suffix


class Upper(torch.nn.Module):
    """A module without a generator."""

    def forward(self, sample: str) -> str:
        return sample.upper()


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (str.upper, "A"),
        (lambda sample: sample * 2, "aa"),
        (partial(int, base=16), 10),
        (Suffix("?"), "a?"),
        (Upper(), "A"),
        (ord, 97),
        (list, ["a"]),
    ],
)
def test_a_plain_function_of_one_argument_is_a_transform(transform: Callable, expected: Any) -> None:
    batch = batch_at(make(sources=Source("abc", transform=transform)), 0)
    assert expected in batch
    node = nodes.read(nodes.sample_indices(EpochOrder(length=3, seed=1, num_samples=3)), "abc")
    assert expected in [positioned.sample for positioned in nodes.transform(node, transform, seed=1)]


def test_a_transform_that_takes_a_generator_gets_the_samples_own() -> None:
    first, second = (batch_at(make(sources=Source("abc", transform=with_generator)), step) for step in range(2))
    assert len({sample[1:] for sample in (*first, *second)}) == 6
    wrapped = functools.wraps(with_generator)(partial(with_generator))
    assert batch_at(make(sources=Source("abc", transform=wrapped)), 0) == first


def test_a_built_in_function_of_torch_that_draws_gets_the_samples_own_generator() -> None:
    rows = torch.full((3, 64), 0.5)
    pipeline = make(sources=Source(rows, transform=torch.bernoulli), collate=torch.stack)
    assert torch.equal(batch_at(pipeline, 0), batch_at(pipeline, 0))


def test_a_batch_transform_may_take_seeds_or_not() -> None:
    assert batch_at(make(batch_transform=tuple), 0) == tuple(batch_at(make(), 0))
    assert batch_at(make(batch_transform=lambda batch, seeds: seeds.shape), 0) == (3,)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("function", [5, "sorted", [str.upper, str.strip], (str.upper,), {"a": str.upper}, object()])
@pytest.mark.parametrize("field", ["transform", "collate", "batch_transform"])
def test_what_is_no_function_is_refused_when_the_record_is_made(field: str, function: object) -> None:
    with pytest.raises(TypeError, match=f"{field} must be a function of one argument, got {field}="):
        make(**({"sources": Source("abc", transform=function)} if field == "transform" else {field: function}))


@pytest.mark.parametrize("function", [lambda: 1, lambda one, two: 1, lambda *, sample: 1])
@pytest.mark.parametrize("field", ["transform", "collate", "batch_transform"])
def test_a_function_of_other_arguments_is_refused_when_the_record_is_made(field: str, function: Callable) -> None:
    with pytest.raises(TypeError, match=rf"{field} must take one argument, got .*<lambda>\(.*\): "):
        make(**({"sources": Source("abc", transform=function)} if field == "transform" else {field: function}))


def crop(sample: Any, *options: Any, **named: Any) -> Any:
    return sample, options, named


TABLE = np.arange(5000)
OTHER = np.where(TABLE == 2500, -1, TABLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TABLE, OTHER),
        (torch.from_numpy(TABLE), torch.from_numpy(OTHER)),
        (TABLE.tolist(), OTHER.tolist()),
        (TABLE.astype(object), OTHER.astype(object)),
        (torch.ones(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)),
        (TABLE[:4], TABLE[:4].astype(np.float64)),
        (TABLE[:4], TABLE[:4].reshape(2, 2)),
        (dict(enumerate(TABLE.tolist())), dict(enumerate(OTHER.tolist()))),
        (set(TABLE.tolist()), set(OTHER.tolist())),
        ([crop], [with_generator]),
        ({"hook": crop}, {"hook": with_generator}),
        ({crop}, {with_generator}),
        (Suffix("a" * 1000 + "b"), Suffix("a" * 1000 + "c")),
        ([partial(crop, TABLE)], [partial(crop, OTHER)]),
    ],
)
def test_another_argument_gives_another_name_however_large_it_is(one: Any, other: Any) -> None:
    names = [function_name(partial(crop, value)) for value in (one, other)] + [
        function_name(partial(crop, option=value)) for value in (one, other)
    ]
    assert len(set(names)) == 4
    assert max(map(len, names)) < 500
    assert not any(" at 0x" in name for name in names)


PROGRAM = """
from functools import partial
import torch
from bionemo.data.reading.functions import function_name
def hook(x): return x
class Plain: pass
value = [hook, {hook, print}, set("bacde"), Plain(), lambda: 0, {"k": Plain()}, torch.nn.Linear(2, 2), [{1: hook}]]
print(function_name(partial(sorted, *value, key=hook, hooks=(hook, Plain()))))
"""


def test_a_name_is_the_same_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert " at 0x" not in found.pop()
