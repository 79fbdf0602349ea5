"""The checks of reading find what breaks the laws, and nothing else."""

import datetime as dt
import itertools
import pickle
import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import attrs
import numpy as np
import pytest
import torch

from bionemo.core.random import make_generator
from bionemo.data import EpochIndex, EpochOrder, Pipeline, Source, batch_at, sample_at
from bionemo.data.testing import check_pure_reads, check_same_on_ranks
from tests.data.testing import reads_ranks_run
from tests.torchrun import run_on_ranks

ROWS = torch.arange(40).reshape(10, 4)


class Counting:
    """A data set that counts its reads."""

    def __init__(self) -> None:
        self.reads = 0

    def __getitem__(self, idx: int) -> int:
        self.reads += 1
        return self.reads


class Resetting(Counting):
    """A data set that returns the index read before, and starts over after the last row."""

    def __getitem__(self, idx: int) -> int:
        before, self.reads = self.reads, idx % 9
        return before


class Generating:
    """A data set that draws from its own generator."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(1)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        return {"ids": ROWS[idx], "crop": [self.generator.integers(10**9)]}


def seeding(idx: int) -> np.ndarray:
    """Return a value that depends only on the index, but reseed the state that others draw from."""
    np.random.seed(idx)
    return np.random.rand(2)


def masking(row: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    return row + torch.randint(9, (4,), generator=generator)


def impure(row: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    return row + random.randrange(10**6)


def make_pipeline(transform: Callable) -> Pipeline:
    return Pipeline(
        order=EpochOrder(length=10, seed=1), sources=Source(ROWS, transform=transform), batch_size=4, seed=2
    )


IMPURE = {
    "torch's state": (lambda idx: torch.rand(2), r"read\(3\) must leave .* but it changed that of torch\."),
    "NumPy's state": (lambda idx: np.random.rand(), r"but it changed that of NumPy\."),
    "both": (lambda idx: (np.random.rand(), torch.rand(1)), r"but it changed that of torch, NumPy\."),
    "a state it seeds": (seeding, r"but it changed that of NumPy\."),
    "Python's state": (lambda idx: {"a": idx, "b": random.random()}, r"its part \['b'\] depends on a global"),
    "torch's state, without a draw": (lambda idx: torch.initial_seed(), r"it depends on a global random state"),
    "the system's": (lambda idx: np.random.default_rng().random(3), r"but it differs when it is read again"),
    "the time": (lambda idx: {"at": [time.perf_counter_ns()]}, r"its part \['at'\]\[0\] differs when it is read"),
    "its own generator": (Generating().__getitem__, r"but its part \['crop'\]\[0\] differs when it is read again"),
    "a count": (Counting().__getitem__, r"read\(3\) must .* but it differs when it is read again"),
    "what was read before": (Resetting().__getitem__, r"it depends on what was read before"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPURE)
def test_impure_reads_are_found(name: str) -> None:
    read, message = IMPURE[name]
    with pytest.raises(AssertionError, match=message):
        check_pure_reads(read, [3, 5, 0] if name != "what was read before" else [3, 5, 9])


def test_pure_reads_pass() -> None:
    for read in (ROWS.__getitem__, ROWS.numpy().__getitem__, list(range(10)).__getitem__, "abcdefghij".__getitem__):
        check_pure_reads(read, range(10))
    check_pure_reads(
        lambda index: torch.rand(3, generator=make_generator(1, *index)), [EpochIndex(0, 1), EpochIndex(2, 1)]
    )
    pipeline = make_pipeline(masking)
    check_pure_reads(partial(sample_at, pipeline), range(20))
    check_pure_reads(partial(batch_at, pipeline), range(5))
    check_pure_reads(
        partial(batch_at, make_pipeline(impure)), range(5)
    )  # a pipeline seeds the global states for its transforms


@pytest.mark.usefixtures("no_type_checks")  # the type checker draws from Python's state
def test_the_check_leaves_the_global_random_states_unchanged() -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    check_pure_reads(ROWS.__getitem__, range(3))
    with pytest.raises(AssertionError):
        check_pure_reads(lambda idx: np.random.rand(), range(3))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


class Pair(NamedTuple):
    ids: torch.Tensor
    name: str


@attrs.frozen(eq=False)
class Record:
    ids: torch.Tensor
    name: str


ONE_OF_EACH = [
    torch.arange(3),
    torch.arange(3, dtype=torch.int32),
    torch.arange(3)[None],
    torch.tensor([]),
    torch.tensor(1.5),
    torch.tensor(1.5, dtype=torch.bfloat16),
    torch.tensor([True, False]),
    torch.tensor([float("nan")]),
    np.arange(3),
    np.array(["a", "b"]),
    np.float32(1),
    1,
    1.0,
    True,
    None,
    "1",
    b"1",
    [1, "1"],
    (1, "1"),
    {"a": 1},
    {"a": [1]},
    {"a": 1, "b": 2},
    {1, 2},
    {(1, 2)},
    deque([torch.ones(2)]),
    range(3),
    torch.arange(6).reshape(3, 2)[:, 1],
    torch.ones(1).expand(5),
    torch.eye(3).to_sparse(),
    torch.tensor([1 + 2j]).conj(),
    np.ma.array([1, 999999, 3], mask=[0, 1, 0]),
    np.ma.array([1, 999999, 3], mask=[0, 0, 0]),
    np.array([(1, "a")], dtype=[("a", int), ("b", object)]),
    np.array(["a" * 40], dtype=np.dtypes.StringDType()),
    SimpleNamespace(a=torch.ones(2)),
    SimpleNamespace(a=torch.zeros(2)),
    Path("a"),
    dt.date(2026, 1, 2),
    make_generator(1),
    make_generator(2),
    len,
    Pair(torch.arange(3), "a"),
    Record(torch.arange(3), "a"),
    Record(torch.arange(3), "b"),
]


@pytest.mark.usefixtures("no_type_checks")
def test_values_equal_their_copies_and_differ_from_all_others() -> None:
    for value in ONE_OF_EACH:
        copies = itertools.chain([value], itertools.repeat(pickle.loads(pickle.dumps(value))))
        check_pure_reads(lambda _, copies=copies: next(copies), [0])
    for one, other in itertools.permutations(ONE_OF_EACH, 2):
        results = itertools.chain([one], itertools.repeat(other))
        with pytest.raises(AssertionError):
            check_pure_reads(lambda _, results=results: next(results), [0])


def test_mappings_and_sets_are_compared_in_any_order() -> None:
    results = itertools.cycle([{"a": 1, "b": {"x", "yy"}}, {"b": {"yy", "x"}, "a": 1}])
    check_pure_reads(lambda idx: next(results), [0])


class Reusing:
    """A data set that returns the same buffer each time, overwritten."""

    def __init__(self) -> None:
        self.buffer = torch.zeros(2)

    def __getitem__(self, idx: int) -> dict[str, torch.Tensor]:
        return {"ids": self.buffer.fill_(idx)}


def test_a_sample_that_changes_when_others_are_read_is_found() -> None:
    with pytest.raises(AssertionError, match=r"read\(0\) must return data of its own, but .*\['ids'\] changes"):
        check_pure_reads(Reusing().__getitem__, range(3))


def test_what_is_not_data_is_refused_with_its_path() -> None:
    itself: list = []
    itself.append(itself)
    for value in ({"f": [(part for part in ())]}, {"f": [torch.ones(2, device="meta")]}):
        with pytest.raises(TypeError, match=r"what is read must be data, got .* at \['f'\]\[0\]. Leave it out"):
            check_pure_reads(lambda idx, value=value: value, [0])
    with pytest.raises(TypeError, match="what is read must be data"):
        check_pure_reads(lambda idx: itself, [0])
    with pytest.raises(ValueError, match="indices must hold at least one index, got none"):
        check_pure_reads(lambda idx: 1, [])


def test_an_error_while_reading_names_the_index() -> None:
    with pytest.raises(KeyError) as raised:
        check_pure_reads({}.__getitem__, ["a"])
    assert raised.value.__notes__ == ["in read('a'), called by check_pure_reads"]


def test_without_ranks_there_is_nothing_to_compare() -> None:
    check_same_on_ranks(torch.rand(3))


@pytest.mark.slow
def test_ranks_that_hold_different_values_are_found(tmp_path: Path) -> None:
    """On two gloo ranks with their own hash seeds, as is usual."""
    run_on_ranks(reads_ranks_run.__file__, tmp_path, ranks=2, timeout=120)
    for rank in range(2):
        assert (tmp_path / f"{rank}.txt").read_text().splitlines() == [
            "same",
            "all ranks must hold the same value, but its part ['ids'] on rank 1 differs from that on rank 0.",
            "all ranks must hold the same value, but its part ['draw'] on rank 1 differs from that on rank 0.",
            "same",
            "on rank 1: what is read must be data, got <generator object <genexpr>> at ['ids']",
        ]
