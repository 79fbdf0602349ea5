"""Parts of the valid calls."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import attrs
import torch

from bionemo import data
from bionemo.core.model import config as model_config
from bionemo.core.model import cross_entropy, loss
from bionemo.data.pipes import nodes


def numbers() -> Iterator[int]:
    yield from (1, 2)


def rng(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def epochs(length: int = 12, **options: Any) -> data.EpochOrder:
    return data.EpochOrder(length=length, seed=7, num_samples=40, **options)


def make_pipeline(**options: Any) -> data.Pipeline:
    return data.Pipeline(order=epochs(), sources="abcdefghijkl", batch_size=4, seed=42, **options)


@attrs.frozen(kw_only=True)
class LinearConfig(model_config.BionemoTrainableModelConfig):
    size: int = 2

    def configure_model(self) -> torch.nn.Module:
        return torch.nn.Linear(self.size, self.size)

    def get_loss_reduction_class(self) -> type[cross_entropy.TokenCrossEntropy]:
        return cross_entropy.TokenCrossEntropy


class Call(NamedTuple):
    function: Callable[..., Any]
    make: Callable[[], dict[str, Any]]
    """Makes valid arguments, by parameter; those of `*args` as a tuple."""
    fixed: frozenset[str] = frozenset()
    """Parameters that are never replaced: other libraries check them, or they start processes."""


def call(function: Callable[..., Any], make: Callable[[], dict[str, Any]] | None = None, /, **arguments: Any) -> Call:
    """Return a call whose arguments are made anew each time where they have a state, else the same."""
    return Call(function, lambda: arguments | (make() if make else {}))


IDS = torch.arange(12).reshape(3, 4)
ROWS = [[5, 6], [7]]
PACKED = data.collate_packed([[5, 6], [7, 8]])
FIELDS = {"ids": data.RaggedField(torch.int64), "charge": data.ScalarField(torch.float64)}
SAMPLES = [{"ids": [5, 100], "charge": 127}, {"ids": [7], "charge": 3}]
SHORT = data.EpochOrder(length=12, seed=8, num_samples=40)
LENGTHS = list(range(5, 17))
LOSS = loss.LossSum(torch.tensor(6.0), torch.tensor(2), {"accuracy": torch.tensor(1)})
SIZES = {"num_layers": 1, "hidden_size": 8, "num_attention_heads": 2}
BLOCK = {"ids": IDS, "mask": IDS > 0, "seeds": torch.tensor([7, 8, 9])}
PIPELINE = make_pipeline()


def generator() -> dict[str, Any]:
    return {"generator": rng()}


def indices_node() -> Any:
    return nodes.sample_indices(epochs())


def samples_node() -> Any:
    return nodes.read(indices_node(), "abcdefghijkl")


def loader_call(function: Callable[..., Any], **options: Any) -> Call:
    position = {"rank": 0, "world_size": 1, "batches_per_epoch": 2, "restart": False, "start": 0}
    return call(function, pipeline=PIPELINE, **position, **options)
