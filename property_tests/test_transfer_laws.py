"""Laws of the transfer from worker processes, and of draws from global random states in a seeded context."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.random import random_global_context
from bionemo.data.pipes.processes.transfer import pack, unpack

DTYPES = [torch.int64, torch.int16, torch.bool, torch.float32, torch.bfloat16, torch.complex64]
TENSORS = st.builds(
    lambda shape, dtype, seed: torch.randint(100, shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 9),
)
ARRAYS = st.builds(
    lambda length, kind: np.arange(length).astype(kind),
    st.integers(0, 5),
    st.sampled_from(["i4", "u1", "?", "f4", "S3"]),
)
PLAIN = st.none() | st.integers() | st.text(max_size=5) | st.booleans()
BATCHES = st.recursive(
    TENSORS | ARRAYS | PLAIN,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=3), part, max_size=4) | st.tuples(part),
    max_leaves=12,
)


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return type(other) is torch.Tensor and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(part, other[key]) for key, part in one.items())
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(batch=BATCHES)
def test_unpack_returns_a_batch_equal_to_the_packed_one(batch) -> None:
    assert same(batch, unpack(pack(batch)))


DRAWS = [
    random.random,
    lambda: random.gauss(0, 1),
    np.random.rand,
    np.random.randn,
    lambda: np.random.permutation(3).tolist(),
    lambda: torch.rand(()).item(),
    lambda: torch.randn(()).item(),
    lambda: np.random.seed(3),
    lambda: torch.manual_seed(4) and None,
]


@pytest.mark.usefixtures("no_type_checks")  # beartype draws which element of a list it checks
@given(
    seed=st.integers(0, 2**63 - 1),
    before=st.lists(st.sampled_from(range(len(DRAWS))), max_size=5),
    within=st.lists(st.sampled_from(range(len(DRAWS))), max_size=8),
    after=st.lists(st.sampled_from(range(len(DRAWS))), max_size=5),
)
def test_draws_in_a_context_depend_only_on_its_seed_and_the_global_states_are_restored(
    seed: int, before: list, within: list, after: list
) -> None:
    def draw(which: list) -> list:
        return [DRAWS[number]() for number in which]

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw(before), draw(after)
    with random_global_context(seed):
        alone = draw(within)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    found = [draw(before)]
    with random_global_context(seed):
        assert draw(within) == alone
    found.append(draw(after))
    assert tuple(found) == expected
