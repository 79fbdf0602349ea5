"""Laws of mix and fold_in."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.random import fold_in
from bionemo.core.random.hashing import mix

WORDS = st.integers(0, 2**63 - 1)
DATA = st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=4)


@given(words=st.lists(WORDS, min_size=1, max_size=50))
def test_mix_of_a_tensor_equals_mix_of_its_integers(words: list[int]) -> None:
    assert mix(torch.tensor(words)).tolist() == [mix(word) for word in words]


@given(seed=WORDS, data=DATA, words=st.lists(WORDS, min_size=1, max_size=20))
def test_fold_in_of_tensors_equals_fold_in_of_their_integers(seed: int, data: list, words: list[int]) -> None:
    assert fold_in(seed, *data, torch.tensor(words)).tolist() == [fold_in(seed, *data, word) for word in words]
    assert fold_in(torch.tensor(words), *data, seed).tolist() == [fold_in(word, *data, seed) for word in words]


@given(seed=WORDS, first=DATA, second=DATA)
def test_folding_in_twice_equals_folding_in_both_at_once(seed: int, first: list, second: list) -> None:
    assert fold_in(seed, *first, *second) == fold_in(fold_in(seed, *first), *second)


@given(seed=WORDS, words=st.lists(WORDS, unique=True, max_size=50))
def test_distinct_integers_give_distinct_seeds(seed: int, words: list[int]) -> None:
    seeds = [fold_in(seed, word) for word in words]
    assert len(set(seeds)) == len(words)
    assert all(0 <= found < 2**63 for found in seeds)
