"""Generators, and contexts that put global states back."""

import random

import numpy as np
import pytest
import torch

from bionemo.core.utils.random_utils import (
    fold_in,
    get_seed_from_rng,
    make_generator,
    random_numpy_context,
    random_python_context,
    random_torch_context,
    seed_from_generator,
    split,
)


def numbers(generator: torch.Generator) -> list[int]:
    return torch.randint(10**6, (4,), generator=generator).tolist()


def test_equal_arguments_make_equal_generators() -> None:
    assert numbers(make_generator(42, "sample", 7)) == numbers(make_generator(42, "sample", 7))
    assert numbers(make_generator(42, "sample", 7)) != numbers(make_generator(42, "sample", 8))
    assert numbers(make_generator(42)) == numbers(torch.Generator().manual_seed(42))
    assert make_generator(42, "sample", 7).initial_seed() == fold_in(42, "sample", 7)


def test_a_seed_is_drawn_and_the_generator_moves_on() -> None:
    first, second = make_generator(42), make_generator(42)
    seeds = [seed_from_generator(first) for _ in range(100)]
    assert seeds == [seed_from_generator(second) for _ in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_children_are_independent_of_their_number_and_of_each_other() -> None:
    few, many = split(make_generator(42)), split(make_generator(42), 5)
    assert [child.get_state().tolist() for child in few] == [child.get_state().tolist() for child in many[:2]]
    assert len({tuple(numbers(child)) for child in many}) == 5
    parent = make_generator(42)
    assert numbers(split(parent)[0]) != numbers(split(parent)[0])


@pytest.mark.parametrize("num", [0, -1])
def test_no_children_is_refused(num: int) -> None:
    with pytest.raises(ValueError, match=f"num must be in 1..*got num={num}"):
        split(make_generator(42), num)


def test_a_numpy_generator_gives_a_seed() -> None:
    assert get_seed_from_rng(np.random.default_rng(42)) == get_seed_from_rng(np.random.default_rng(42))
    small = [get_seed_from_rng(np.random.default_rng(seed), np.int8) for seed in range(300)]
    assert set(small) <= set(range(128))
    assert len(set(small)) > 100


def test_the_numpy_context_seeds_and_restores() -> None:
    np.random.seed(1)
    expected = np.random.rand(3)
    np.random.seed(1)
    with random_numpy_context(5):
        inside = np.random.rand(3)
    assert np.array_equal(np.random.rand(3), expected)
    np.random.seed(5)
    assert np.array_equal(np.random.rand(3), inside)


def test_the_numpy_context_takes_seeds_above_32_bits() -> None:
    drawn = set()
    for seed in (5, 5 + 2**32, 5 + 2**33, 2**63 - 1):
        with random_numpy_context(seed):
            drawn.add(float(np.random.rand()))
    assert len(drawn) == 4


def test_the_python_context_seeds_and_restores() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with random_python_context(5):
        inside = random.random()
    assert random.random() == expected
    random.seed(5)
    assert random.random() == inside


def test_the_torch_context_seeds_and_restores() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with random_torch_context(make_generator(5)):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with random_torch_context(make_generator(5)):
        assert torch.equal(torch.rand(3), inside)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_torch_context_covers_cuda() -> None:
    torch.cuda.manual_seed(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(1)
    drawn = []
    for _ in range(2):
        with random_torch_context(make_generator(5)):
            drawn.append(torch.rand(3, device="cuda"))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def states() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize(
    ("context", "draw"),
    [
        (lambda: random_torch_context(make_generator(3)), lambda: torch.rand(3)),
        (lambda: random_numpy_context(3), lambda: np.random.rand(3)),
        (lambda: random_python_context(3), random.random),
    ],
)
def test_a_block_that_raises_leaves_the_states_as_they_were(context, draw) -> None:
    before = states()
    with pytest.raises(KeyError, match="inside"), context():
        draw()
        assert states() != before
        raise KeyError("inside")
    assert states() == before


@pytest.mark.parametrize("context", [random_numpy_context, random_python_context])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_bad_seed_touches_nothing(context, seed: int) -> None:
    before = states()
    with pytest.raises(ValueError, match=f"got seed={seed}"), context(seed):
        pass
    assert states() == before
