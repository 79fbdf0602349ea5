"""Megatron-core on a CUDA device: its schedules, optimizers and Transformer Engine."""

import importlib.util

import pytest
import torch

from bionemo.adapters.megatron import model_parallel
from bionemo.adapters.megatron.imports import import_megatron
from tests.adapters.megatron_training import train
from tests.adapters.test_megatron_attention import Kind, make_attention, make_rows
from tests.adapters.test_megatron_training import by_a_plain_loop

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="megatron-core's own code for CUDA needs a device"),
    pytest.mark.filterwarnings("ignore"),  # megatron-core's own, which depend on versions and device
]

ON_GPU = {"backend": "nccl", "device": "cuda", "dropout": 0.0}


@pytest.fixture(scope="module")
def expected() -> list[float]:
    with model_parallel():
        return by_a_plain_loop(20, dropout=0.0)


def test_losses_equal_those_on_the_cpu(expected: list[float]) -> None:
    assert train(**ON_GPU)["losses"] == pytest.approx(expected, abs=2e-3)


def test_a_distributed_optimizer_that_clips_has_the_losses_of_an_unsharded_one() -> None:
    clipped = train(**ON_GPU, optimizer_options={"clip_grad": 0.05})["losses"]
    options = {"clip_grad": 0.05, "use_distributed_optimizer": True}
    assert train(**ON_GPU, optimizer_options=options)["losses"] == pytest.approx(clipped, abs=2e-3)
    assert clipped != train(**ON_GPU)["losses"]


@pytest.mark.skipif(
    importlib.util.find_spec("transformer_engine") is None, reason="its layers need Transformer Engine installed"
)
@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_transformer_engine_layers_train(kind: str) -> None:
    import_megatron("megatron.core.tensor_parallel").model_parallel_cuda_manual_seed(1)
    specs = import_megatron(f"megatron.core.models.{kind}.{kind}_layer_specs")
    spec = getattr(specs, f"get_{kind}_layer_with_transformer_engine_spec")()
    losses = train(kind, **ON_GPU, layer_spec=spec)["losses"]
    assert losses[-1] < losses[0] - 0.05


def test_dropout_is_a_function_of_step_and_rank() -> None:
    first, second = (train(**ON_GPU | {"dropout": 0.1}, steps=5)["losses"] for _ in range(2))
    assert first == pytest.approx(second, abs=1e-5)
    assert first != pytest.approx(train(**ON_GPU, steps=5)["losses"], abs=1e-5)


@pytest.mark.parametrize("kind", [Kind.causal, Kind.padding])
def test_attention_equals_that_on_the_cpu(kind: Kind) -> None:
    rows = make_rows(groups=2)
    hidden = torch.arange(5) > 2
    found = make_attention(kind)(*(part.cuda() for part in rows), hidden.cuda()[None, None, None])
    torch.testing.assert_close(found.cpu(), make_attention(kind)(*rows, hidden[None, None, None]), atol=1e-3, rtol=1e-3)
