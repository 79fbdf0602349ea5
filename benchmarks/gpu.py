"""How fast one core feeds a GPU: `make gpu`. A small ESM-2-like model on live batches against one batch, over and over.

On a machine without a GPU, `python -m benchmarks.gpu cpu` runs the same program with a tiny model.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import limited
from benchmarks.table import text_table
from bionemo.core.model.cross_entropy import token_cross_entropy
from bionemo.core.model.loss import mean_loss
from bionemo.core.padding import pad_token_ids
from bionemo.data import EpochOrder, Pipeline, Source, mask_tokens, random_crop_rows
from bionemo.data.pipes import loader

CROP, BATCH, TOKENS = 512, 64, 33
ENOUGH = 0.95


@attrs.frozen
class Size:
    """Of the model and the run. ESM-2 8M has 6 layers, 320 numbers per token and 20 heads."""

    layers: int
    width: int
    heads: int
    steps: int


class Encoder(nn.Module):
    """Predicts tokens by a transformer."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            size.width, size.heads, 4 * size.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.tokens, self.positions = nn.Embedding(TOKENS, size.width), nn.Embedding(CROP, size.width)
        self.layers = nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False)
        self.head = nn.Linear(size.width, TOKENS)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of each token."""
        columns = torch.arange(ids.shape[1], device=ids.device)
        logits: Tensor = self.head(self.layers(self.tokens(ids) + self.positions(columns)))
        return logits


def crop(rows: list[Any], *, seeds: Tensor) -> list[Any]:
    """Return random crops."""
    return random_crop_rows(rows, length=CROP, seeds=seeds)


def pad(rows: list[Any]) -> tuple[Tensor, Tensor]:
    """Return rows of bytes padded to one width, so that all steps of the model cost the same."""
    return pad_token_ids(rows, padding_len=CROP)


def hide(batch: Any, *, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Return int64 ids and labels."""
    masked = mask_tokens(*batch, seeds=seeds, mask_id=32, replacement_ids=range(4, 24))
    return masked.ids.long(), masked.labels


def make_pipeline() -> Pipeline[Any]:
    """Return a pipeline of protein-like rows of one byte per token."""
    generator = np.random.default_rng(1)
    lengths = np.clip(generator.lognormal(5.7, 0.7, 20_000), 40, 2_000).astype(int)
    rows = [generator.integers(4, 24, length).astype(np.uint8) for length in lengths]
    return Pipeline(
        order=EpochOrder(length=len(rows), seed=1),
        sources=Source(rows, transform=crop, batched=True),
        batch_size=BATCH,
        seed=2,
        collate=pad,
        batch_transform=hide,
        seed_global_states=False,
    )


def seconds_per_step(step: Callable[[Any], Any], batches: Iterator[Any], steps: int, device: torch.device) -> float:
    """Return the mean time of a step, after ten to warm up."""
    for number in range(steps + 10):
        if number == 10:  # noqa: PLR2004
            _wait_for(device)
            began = time.perf_counter()
        step(next(batches))
    _wait_for(device)
    return (time.perf_counter() - began) / steps


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def same(batch: Any) -> Iterator[Any]:
    """Yield one batch over and over."""
    while True:
        yield batch


def main(name: str) -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    device = torch.device(name)
    size = Size(6, 320, 20, 300) if device.type == "cuda" else Size(1, 32, 2, 10)
    model = Encoder(size).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(batch: tuple[Tensor, Tensor]) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(batch[0])
        mean_loss([token_cross_entropy(logits, batch[1])]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    pipeline, rows = make_pipeline(), []
    batch = next(iter(loader(pipeline, device=device)))
    for label, options in {
        "one process, masks by the CPU": {"transform_on": "worker"},
        "one process, masks on the device": {"transform_on": "device"},
        "one process, compiled masks on the device": {"transform_on": "device", "compile_transform": True},
        "one worker, masks by the worker": {"transform_on": "worker", "num_workers": 1},
        "one worker, compiled masks on the device": {
            "transform_on": "device",
            "compile_transform": True,
            "num_workers": 1,
        },
    }.items():
        given: Any = options
        batches = loader(pipeline, device=device, **given)
        seconds_per_step(step, iter(batches), 10, device)  # workers start, and a transform is compiled
        cached = seconds_per_step(step, same(batch), size.steps // 2, device)
        took = seconds_per_step(step, iter(batches), size.steps, device)
        stats = batches.stats()
        batches.close()
        rows += [
            limited(
                "speed over that with one batch, over and over",
                f"{label}, {BATCH / took:,.0f} rows/s",
                cached / took,
                unit="of 1",
                limit=ENOUGH,
                is_more_better=True,
            ),
            limited("p99 of the consumer's wait, of a step", label, stats.waited_p99, unit="s", limit=cached),
        ]
        print(f"{label}: {stats}")
    print(text_table(rows))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cuda")
