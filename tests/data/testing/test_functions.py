"""The laws of functions find what breaks them, and hold for the library's own functions."""

import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bionemo.core.padding import pad_token_ids
from bionemo.core.random import make_generator, sample_without_replacement
from bionemo.data import mask_tokens
from bionemo.data.permute import permute, unpermute
from bionemo.data.testing import assert_bijection, assert_pure


def add_in_place(rows: list[int]) -> int:
    rows.append(1)
    return len(rows)


def sort_values(batch: dict[str, Any], *, key: str) -> Any:
    batch[key].sort()
    return batch[key]


CALLS = []


def counting(value: int) -> int:
    CALLS.append(value)
    return len(CALLS)


IMPURE = {
    "an argument": (partial(assert_pure, add_in_place, [3]), r"add_in_place must not .*, but it changed args\[0\]"),
    "a part": (
        partial(assert_pure, sort_values, {"ids": np.array([3, 1])}, key="ids"),
        r"sort_values must not modify its arguments, but it changed args\[0\]\['ids'\]\.",
    ),
    "a keyword": (
        partial(assert_pure, lambda *, rows: rows.clear(), rows=[1]),
        r"<lambda> must not .*, but it changed rows, rows\[0\]\.",
    ),
    "torch": (partial(assert_pure, torch.rand, 3), "rand must leave .* changed that of torch"),
    "NumPy": (partial(assert_pure, np.random.rand), "changed that of NumPy"),
    "Python": (partial(assert_pure, lambda: {"a": random.random()}), r"part \['a'\] depends on a global random state"),
    "the system": (partial(assert_pure, random.SystemRandom().random), "it differs when it is called again"),
    "a count": (partial(assert_pure, counting, 3), "it differs when it is called again"),
}


@pytest.mark.parametrize("name", IMPURE)
def test_impure_functions_are_found(name: str) -> None:
    check, message = IMPURE[name]
    with pytest.raises(AssertionError, match=message):
        check()


def test_pure_functions_pass_and_keep_their_arguments() -> None:
    rows = [torch.tensor([5, 6]), torch.tensor([7])]
    assert_pure(pad_token_ids, rows)
    ids, mask = torch.arange(12).reshape(2, 6), torch.ones(2, 6, dtype=torch.bool)
    assert_pure(mask_tokens, ids, mask, seeds=torch.arange(2), mask_id=3, replacement_ids=range(5, 9))
    generator = make_generator(1)
    assert_pure(sample_without_replacement, 5, 2, generator=generator)
    assert torch.equal(generator.get_state(), make_generator(1).get_state())


@pytest.mark.parametrize("length", [0, 1, 2, 7, 1000])
def test_permutations_are_bijections(length: int) -> None:
    assert_bijection(partial(permute, length=length, seed=3), length, inverse=partial(unpermute, length=length, seed=3))


def test_long_permutations_are_sampled() -> None:
    tried: list[int] = []

    def identity(index: int) -> int:
        tried.append(index)
        return index

    assert_bijection(identity, 2**40, max_indices=5000)
    assert tried == sorted(tried)
    assert len(tried) <= 5000
    assert {0, 999, 2**40 - 1000, 2**40 - 1} <= {*tried}
    with pytest.raises(AssertionError, match=f"fn\\(0\\) == fn\\({2**32}\\) == 0"):  # like the permutation of 2.x
        assert_bijection(lambda index: index % 2**32, 2**40, max_indices=2**11)


def test_what_is_no_bijection_is_found_with_its_smallest_indices() -> None:
    with pytest.raises(AssertionError, match=r"fn\(3\) == 11\."):
        assert_bijection(lambda index: index + 8 * (index == 3), 10)
    with pytest.raises(AssertionError, match=r"fn\(2\) == fn\(5\) == 2\."):
        assert_bijection(lambda index: index - 3 * (index in {5, 8}), 10)
    with pytest.raises(AssertionError, match=r"fn\(4\) == 5 and inverse\(5\) == 5\."):
        assert_bijection(lambda index: index ^ (index > 3), 10, inverse=lambda index: index)
    with pytest.raises(TypeError, match=r"fn\(0\) must be an integer, got fn\(0\)=0.0"):
        assert_bijection(float, 10)
    assert_bijection(np.arange(10)[::-1].__getitem__, 10)
    assert_bijection(torch.arange(10).flip(0).__getitem__, 10)
