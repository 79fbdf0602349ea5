"""Laws of fold_in."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.utils.hashing import fold_in, mix

WORDS = st.integers(0, 2**63 - 1)
DATA = st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=4)


@given(words=st.lists(WORDS, min_size=1, max_size=50))
def test_a_tensor_gives_what_its_integers_give(words: list[int]) -> None:
    assert mix(torch.tensor(words)).tolist() == [mix(word) for word in words]


@given(seed=WORDS, data=DATA, words=st.lists(WORDS, min_size=1, max_size=20))
def test_data_may_be_tensors(seed: int, data: list, words: list[int]) -> None:
    assert fold_in(seed, *data, torch.tensor(words)).tolist() == [fold_in(seed, *data, word) for word in words]
    assert fold_in(torch.tensor(words), *data, seed).tolist() == [fold_in(word, *data, seed) for word in words]


@given(seed=WORDS, first=DATA, second=DATA)
def test_folding_in_twice_is_folding_in_both(seed: int, first: list, second: list) -> None:
    assert fold_in(seed, *first, *second) == fold_in(fold_in(seed, *first), *second)


@given(seed=WORDS, words=st.lists(WORDS, unique=True, max_size=50))
def test_no_two_integers_give_one_seed(seed: int, words: list[int]) -> None:
    seeds = [fold_in(seed, word) for word in words]
    assert len(set(seeds)) == len(words)
    assert all(0 <= found < 2**63 for found in seeds)
