"""Contexts that seed global random states and restore them."""

import random

import numpy as np
import pytest
import torch

from bionemo.core.random import make_generator, random_numpy_context, random_python_context, random_torch_context


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
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
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
def test_states_are_restored_if_the_block_raises(context, draw) -> None:
    before = states()
    with pytest.raises(KeyError, match="inside"), context():
        draw()
        assert states() != before
        raise KeyError("inside")
    assert states() == before


@pytest.mark.parametrize("context", [random_numpy_context, random_python_context])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_bad_seed_changes_no_state(context, seed: int) -> None:
    before = states()
    with pytest.raises(ValueError, match=f"got seed={seed}"), context(seed):
        pass
    assert states() == before
