"""Models as pure functions of their parameters."""

import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
import torch
from torch import nn

from bionemo.core.model.config import BionemoModelConfig, build_model
from bionemo.core.model.functional import apply, init_params
from bionemo.core.model.loss import mean_loss, token_cross_entropy
from bionemo.core.random import make_generator, random_torch_context


class Noisy(nn.Module):
    """A model with dropout, and with buffers that the forward pass updates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.tied = self.layers[3].weight

    def forward(self, inputs: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return self.layers(inputs) * scale


@attrs.frozen
class NoisyConfig(BionemoModelConfig[Noisy]):
    width: int = 5

    def configure_model(self) -> Noisy:
        return Noisy(self.width)


@attrs.frozen
class PlainConfig(BionemoModelConfig[nn.Module]):
    width: int = 5

    def configure_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(self.width, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 3)).double()


CONFIG = PlainConfig()
INPUTS = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(7) % 3


def loss_fn(params, inputs, labels, **options):
    return mean_loss([token_cross_entropy(apply(CONFIG, params, inputs, **options), labels)])


def test_initial_parameters_equal_those_of_the_model() -> None:
    model = build_model(CONFIG, generator=make_generator(42))
    params = init_params(CONFIG, generator=make_generator(42))
    assert all(torch.equal(params[name], parameter) for name, parameter in model.named_parameters())
    assert not any(part.requires_grad for part in params.values())
    torch.testing.assert_close(apply(CONFIG, params, INPUTS), model.eval()(INPUTS), rtol=0, atol=0)


def test_gradients_equal_those_of_the_module() -> None:
    model = build_model(CONFIG, generator=make_generator(42)).eval()
    mean_loss([token_cross_entropy(model(INPUTS), LABELS)]).backward()
    found = torch.func.grad(loss_fn)(init_params(CONFIG, generator=make_generator(42)), INPUTS, LABELS)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-12, atol=1e-15)


def test_training_an_ensemble_at_once_equals_training_each_member_alone() -> None:
    members = [init_params(CONFIG, generator=make_generator(42, member)) for member in range(4)]
    stacked = {name: torch.stack([member[name] for member in members]) for name in members[0]}
    for _ in range(5):
        gradients = torch.vmap(torch.func.grad(loss_fn), in_dims=(0, None, None))(stacked, INPUTS, LABELS)
        stacked = {name: part - 0.5 * gradients[name] for name, part in stacked.items()}
    for number, member in enumerate(members):
        alone = member
        for _ in range(5):
            gradient = torch.func.grad(loss_fn)(alone, INPUTS, LABELS)
            alone = {name: part - 0.5 * gradient[name] for name, part in alone.items()}
        for name, part in alone.items():
            torch.testing.assert_close(stacked[name][number], part, rtol=1e-10, atol=1e-12)


def test_members_draw_the_same_or_different_dropout_as_vmap_says() -> None:
    params = init_params(CONFIG, generator=make_generator(42))
    stacked = {name: torch.stack([part] * 4) for name, part in params.items()}

    def run(randomness: str) -> torch.Tensor:
        with random_torch_context(make_generator(1)):
            return torch.vmap(lambda member: apply(CONFIG, member, INPUTS, training=True), randomness=randomness)(
                stacked
            )

    different, same = run("different"), run("same")
    assert not torch.equal(different[0], different[1])
    assert torch.equal(same[0], same[1])
    assert torch.equal(run("different"), different)
    assert torch.equal(apply(CONFIG, params, INPUTS), apply(CONFIG, params, INPUTS))


def test_buffer_updates_of_a_forward_pass_are_dropped() -> None:
    config = NoisyConfig()
    params = init_params(config, generator=make_generator(42))
    before = {name: part.clone() for name, part in params.items()}
    with random_torch_context(make_generator(1)):
        apply(config, params, INPUTS.float(), training=True)
    first = apply(config, params, INPUTS.float(), scale=2.0)
    model = build_model(config, generator=make_generator(42)).eval()
    assert torch.equal(first, model(INPUTS.float(), scale=2.0))  # with the running means of a new model
    assert all(torch.equal(before[name], part) for name, part in params.items())


class Counting(nn.Module):
    """A model that counts its calls in a buffer, in training and in evaluation mode."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = 2.0 if scale is True else 3.0
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return inputs * self.weight * self.scale * self.calls


@attrs.frozen
class CountingConfig(BionemoModelConfig[Counting]):
    scale: float = 3.0

    def configure_model(self) -> Counting:
        return Counting(self.scale)


def test_calls_do_not_affect_each_other() -> None:
    params = init_params(CountingConfig(), generator=make_generator(1))
    assert [float(apply(CountingConfig(), params, torch.ones(1))) for _ in range(3)] == [3.0, 3.0, 3.0]
    assert not apply(CountingConfig(), params, torch.ones(1)).requires_grad


@pytest.mark.usefixtures("no_type_checks")
def test_equal_configurations_of_different_models_are_cached_separately() -> None:
    params = init_params(CountingConfig(), generator=make_generator(1))
    assert CountingConfig(scale=True) == CountingConfig(scale=1)
    found = [float(apply(CountingConfig(scale=scale), params, torch.ones(1))) for scale in (True, 1)]
    assert found == [2.0, 3.0]


class Slow(nn.Module):
    """A model that waits between its two reads of the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        first = inputs * self.weight
        time.sleep(0.01)
        return first - self.weight


@attrs.frozen
class SlowConfig(BionemoModelConfig[Slow]):
    def configure_model(self) -> Slow:
        return Slow()


def test_threads_do_not_exchange_parameters_during_a_forward_pass() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda value: apply(SlowConfig(), {"weight": torch.full((1,), float(value))}, torch.ones(1)), range(8)
            )
        )
    assert [float(part) for part in found] == [0.0] * 8


def test_concurrent_calls_equal_sequential_ones() -> None:
    members = [init_params(CONFIG, generator=make_generator(42, member)) for member in range(8)]
    expected = [apply(CONFIG, member, INPUTS) for member in members]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = list(pool.map(lambda member: apply(CONFIG, member, INPUTS), members))
            assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_no_global_random_state_changes() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    apply(
        PlainConfig(width=6), init_params(PlainConfig(width=6), generator=make_generator(1)), torch.ones(2, 6).double()
    )
    assert torch.equal(before, torch.get_rng_state())


def test_parameters_of_another_model_are_refused_by_name() -> None:
    params = init_params(CONFIG, generator=make_generator(42))
    with pytest.raises(RuntimeError, match=r"params must be those of the model, 0.weight, .* got 0.weight, 0.bias\."):
        apply(CONFIG, {name: params[name] for name in ("0.weight", "0.bias")}, INPUTS)


@pytest.mark.usefixtures("no_type_checks")
def test_a_model_that_is_not_a_module_is_refused() -> None:
    @attrs.frozen
    class Odd(BionemoModelConfig):
        def configure_model(self):
            return attrs.make_class("Thing", [])()

    with pytest.raises(TypeError, match=r"must return a torch.nn.Module to be a function of parameters"):
        init_params(Odd(), generator=make_generator(1))
