"""Laws of permute and unpermute."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.data.permute import MAX_LENGTH, permute, unpermute

SEEDS = st.integers(0, 2**63 - 1)


@given(length=st.integers(1, 3000), seed=SEEDS)
def test_permute_is_a_bijection(length: int, seed: int) -> None:
    assert torch.equal(permute(torch.arange(length), length, seed).sort().values, torch.arange(length))


@st.composite
def lengths_and_indices(draw: st.DrawFn) -> tuple[int, list[int]]:
    length = draw(
        st.one_of(
            st.integers(1, MAX_LENGTH),
            st.integers(0, 62).flatmap(lambda bits: st.integers(max(1, 2**bits - 2), min(2**bits + 2, MAX_LENGTH))),
        )
    )
    return length, draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=20))


@given(case=lengths_and_indices(), seed=SEEDS)
def test_unpermute_inverts_permute_and_tensors_give_the_same_as_integers(
    case: tuple[int, list[int]], seed: int
) -> None:
    length, indices = case
    shuffled = [permute(index, length, seed) for index in indices]
    assert all(0 <= index < length for index in shuffled)
    assert [unpermute(index, length, seed) for index in shuffled] == indices
    assert permute(torch.tensor(indices), length, seed).tolist() == shuffled
    assert unpermute(torch.tensor(shuffled), length, seed).tolist() == indices
    assert [permute(np.int64(index), np.int64(length), np.int64(seed)) for index in indices] == shuffled
