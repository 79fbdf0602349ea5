"""Generators made from seeds, and seeds drawn from generators."""

import numpy as np
import pytest
import torch

from bionemo.core.random import fold_in, get_seed_from_rng, make_generator, seed_from_generator, split


def numbers(generator: torch.Generator) -> list[int]:
    return torch.randint(10**6, (4,), generator=generator).tolist()


def test_equal_arguments_make_equal_generators() -> None:
    assert numbers(make_generator(42, "sample", 7)) == numbers(make_generator(42, "sample", 7))
    assert numbers(make_generator(42, "sample", 7)) != numbers(make_generator(42, "sample", 8))
    assert numbers(make_generator(42)) == numbers(torch.Generator().manual_seed(42))
    assert make_generator(42, "sample", 7).initial_seed() == fold_in(42, "sample", 7)


def test_drawing_a_seed_advances_the_generator() -> None:
    first, second = make_generator(42), make_generator(42)
    seeds = [seed_from_generator(first) for _ in range(100)]
    assert seeds == [seed_from_generator(second) for _ in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_children_do_not_depend_on_their_number_and_differ_from_each_other() -> None:
    few, many = split(make_generator(42)), split(make_generator(42), 5)
    assert [child.get_state().tolist() for child in few] == [child.get_state().tolist() for child in many[:2]]
    assert len({tuple(numbers(child)) for child in many}) == 5
    parent = make_generator(42)
    assert numbers(split(parent)[0]) != numbers(split(parent)[0])


@pytest.mark.parametrize("num", [0, -1])
def test_splitting_into_no_children_is_refused(num: int) -> None:
    with pytest.raises(ValueError, match=f"num must be in 1..*got num={num}"):
        split(make_generator(42), num)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_a_seed_drawn_from_a_numpy_generator_is_that_of_2x(dtype) -> None:
    ours, theirs = np.random.default_rng(42), np.random.default_rng(42)
    seeds = [get_seed_from_rng(ours, dtype) for _ in range(200)]
    assert seeds == [int(theirs.integers(np.iinfo(dtype).max)) for _ in range(200)]
    assert ours.bit_generator.state == theirs.bit_generator.state
    assert set(map(type, seeds)) == {int}
    assert get_seed_from_rng(np.random.default_rng(42)) == 7138484576005690179
    assert get_seed_from_rng(np.random.default_rng(42), np.int32) == 191664963
