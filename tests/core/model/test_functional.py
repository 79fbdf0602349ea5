"""Models as pure functions of their parameters."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
import torch
from torch import nn

from bionemo.core.model.config import BionemoModelConfig, build_model
from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.model.functional import apply, init_params
from bionemo.core.model.loss import mean_loss
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


class Waiting(nn.Module):
    """A model that says that its forward pass has begun, and waits."""

    def __init__(self, steps: tuple[threading.Event, threading.Event]) -> None:
        super().__init__()
        self.steps = steps
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor, *, wait: bool = False) -> torch.Tensor:
        if wait:
            self.steps[0].set()
            assert self.steps[1].wait(60)
        return inputs * self.weight


@attrs.frozen(eq=False)
class WaitingConfig(BionemoModelConfig[Waiting]):
    begun: threading.Event
    end: threading.Event

    def configure_model(self) -> Waiting:
        return Waiting((self.begun, self.end))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_forked_while_another_thread_runs_a_model_runs_it_as_well() -> None:
    config = WaitingConfig(threading.Event(), threading.Event())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(apply, config, {"weight": torch.full((1,), 5.0)}, torch.ones(1), wait=True)
        assert config.begun.wait(60)
        child = os.fork()
        if not child:
            torch.set_num_threads(1)
            found = [float(apply(config, {"weight": torch.full((1,), 3.0)}, torch.ones(1))) for _ in range(2)]
            os._exit(0 if found == [3.0, 3.0] else 1)
        deadline = time.monotonic() + 60
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
            time.sleep(0.01)
        if not ended[0]:
            os.kill(child, 9)
        config.end.set()
        assert float(running.result()) == 5.0
    assert ended == (child, 0)


@attrs.frozen
class RecursiveConfig(BionemoModelConfig[nn.Module]):
    def configure_model(self) -> nn.Module:
        return Recursive()


class Recursive(nn.Module):
    """A model whose forward pass calls `apply` with other parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, depth: int) -> torch.Tensor:
        inner = apply(RecursiveConfig(), {"weight": self.weight + 1}, depth - 1) if depth else 0
        return self.weight * 10**depth + inner


def test_a_model_may_be_applied_within_its_own_forward_pass() -> None:
    assert float(apply(RecursiveConfig(), {"weight": torch.ones(1)}, 2)) == 123.0


class Buffered(nn.Module):
    """A model with buffers of several dtypes, one of which isn't saved."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 4))
        self.register_buffer("scale", torch.full((1,), 0.5, dtype=dtype))
        self.register_buffer("index", torch.tensor([2, 0]), persistent=False)
        self.register_buffer("flag", torch.tensor(True))

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self.index.dtype == self.layers[1].num_batches_tracked.dtype == torch.int64
        assert self.flag.dtype == torch.bool
        return {"out": self.layers(inputs)[0][:, self.index] * self.scale, "scale": self.scale}


@attrs.frozen
class BufferedConfig(BionemoModelConfig[Buffered]):
    dtype: torch.dtype = torch.float32

    def configure_model(self) -> Buffered:
        return Buffered(self.dtype)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("built", [torch.float32, torch.float64])
def test_buffers_have_the_dtype_of_the_parameters_as_in_a_converted_module(built, dtype, training: bool) -> None:
    config, inputs = BufferedConfig(built), torch.ones(5, 3, dtype=dtype)
    params = {name: part.to(dtype) for name, part in init_params(config, generator=make_generator(42)).items()}
    model = build_model(config, generator=make_generator(42)).train(training)
    # float64 buffers beside float32 parameters are the model's own choice
    expected = (model if dtype == torch.float32 else model.to(dtype))(inputs)
    found = apply(config, params, inputs, training=training)
    assert found["scale"].dtype == expected["scale"].dtype
    torch.testing.assert_close(found["out"], expected["out"], rtol=0, atol=0)


def test_buffers_are_on_the_device_of_the_parameters() -> None:
    params = {
        name: part.to("meta") for name, part in init_params(BufferedConfig(), generator=make_generator(42)).items()
    }
    for _ in range(2):
        found = apply(BufferedConfig(), params, torch.ones(5, 3, device="meta"))
        assert {part.device.type for part in found.values()} == {"meta"}
    gradient = torch.func.grad(lambda params: apply(BufferedConfig(), params, torch.ones(5, 3).to("meta"))["out"].sum())
    assert gradient(params)["layers.0.weight"].device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_with_buffers_runs_on_a_gpu(dtype: torch.dtype) -> None:
    params = init_params(BufferedConfig(), generator=make_generator(42))
    inputs = torch.ones(5, 3)
    expected = apply(BufferedConfig(), params, inputs)["out"]
    on_gpu = {name: part.to("cuda", dtype) for name, part in params.items()}
    found = apply(BufferedConfig(), on_gpu, inputs.to("cuda", dtype))["out"]
    assert found.dtype == dtype
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0.05, atol=0.05)


@attrs.frozen
class ConstantConfig(BionemoModelConfig[nn.Module]):
    """A model without parameters."""

    def configure_model(self) -> nn.Module:
        return nn.BatchNorm1d(3, affine=False)


def test_buffers_without_parameters_are_on_the_device_of_the_inputs() -> None:
    assert apply(ConstantConfig(), {}, torch.ones(5, 3, device="meta")).device.type == "meta"
    assert apply(ConstantConfig(), {}, torch.ones(5, 3)).device.type == "cpu"


def test_a_model_may_be_built_and_applied_within_a_context_that_seeds_global_states() -> None:
    config, params = PlainConfig(width=4), init_params(PlainConfig(width=4), generator=make_generator(1))
    found = []
    for _ in range(2):  # built in the first round
        with random_torch_context(make_generator(1)):
            found.append(apply(config, params, torch.ones(2, 4).double(), training=True))
    assert torch.equal(*found)


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
