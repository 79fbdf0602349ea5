"""Model configurations and build_model."""

import copy
import pickle
import random

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from bionemo.core.model.config import BionemoModelConfig, BionemoTrainableModelConfig, build_model
from bionemo.core.model.cross_entropy import TokenCrossEntropy
from bionemo.core.random import make_generator


class Noisy(nn.Module):
    """Draws its weights from every global random state."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)
        self.register_buffer("numpy", torch.from_numpy(np.random.rand(size)))
        self.register_buffer("python", torch.tensor([random.random() for _ in range(size)]))

    def forward(self, batch):
        return self.linear(batch)


@attrs.frozen(kw_only=True)
class NoisyConfig(BionemoTrainableModelConfig[Noisy, TokenCrossEntropy]):
    size: int = 3

    def configure_model(self) -> Noisy:
        return Noisy(self.size)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        return TokenCrossEntropy


@attrs.frozen
class EmptyConfig(BionemoModelConfig[nn.Module]):
    def configure_model(self):
        return None


def global_states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()


def test_the_weights_depend_on_the_state_of_the_generator() -> None:
    first, again = (build_model(NoisyConfig(), generator=make_generator(42)).state_dict() for _ in range(2))
    other = build_model(NoisyConfig(), generator=make_generator(43)).state_dict()
    assert len(first) == 4
    for name, weights in first.items():
        assert torch.equal(weights, again[name])
        assert not torch.equal(weights, other[name])


def test_the_generator_advances() -> None:
    generator = make_generator(42)
    first, second = (build_model(NoisyConfig(), generator=generator) for _ in range(2))
    assert not torch.equal(first.linear.weight, second.linear.weight)


def test_the_weights_neither_depend_on_global_states_nor_change_them() -> None:
    expected = build_model(NoisyConfig(), generator=make_generator(42)).state_dict()
    torch.rand(5), np.random.rand(5), random.random()
    before = global_states()
    found = build_model(NoisyConfig(), generator=make_generator(42)).state_dict()
    after = global_states()
    assert all(torch.equal(weights, expected[name]) for name, weights in found.items())
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_a_configuration_that_builds_none_is_refused() -> None:
    with pytest.raises(TypeError, match="configure_model must return a model, got None from EmptyConfig"):
        build_model(EmptyConfig(), generator=make_generator(42))


@pytest.mark.parametrize("kind", [BionemoModelConfig, BionemoTrainableModelConfig])
def test_the_interfaces_are_abstract(kind: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        kind()


def test_a_configuration_is_frozen_and_compares_hashes_and_pickles() -> None:
    config = NoisyConfig(size=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.size = 4
    with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
        config.another = 4
    assert config == NoisyConfig(size=2) != NoisyConfig(size=3)
    assert hash(config) == hash(pickle.loads(pickle.dumps(config))) == hash(copy.deepcopy(config))
