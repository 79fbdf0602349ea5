"""A script as users write it, for type checkers: `mypy --strict` and pyright accept it, with the wheel installed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import assert_type

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bionemo.adapters.distributed import CheckpointWriter, find_checkpoint, load_checkpoint
from bionemo.adapters.lightning import PipelineDataModule, TrainableModule
from bionemo.adapters.megatron import MegatronGPTConfig, TransformerSizes
from bionemo.core.model.config import BionemoTrainableModelConfig, build_model
from bionemo.core.model.cross_entropy import TokenCrossEntropy, token_cross_entropy
from bionemo.core.model.loss import LossSum, mean_loss
from bionemo.core.padding import pad_token_ids, unpad_token_ids
from bionemo.core.random import fold_in, make_generator, random_torch_context, split
from bionemo.core.record import fingerprint, from_json, to_json
from bionemo.data import (
    ClusterOrder,
    EpochOrder,
    LengthGroupedOrder,
    MixtureOrder,
    PackedOrder,
    Pipeline,
    SampleIndex,
    Source,
    batch_at,
    collate_packed,
    index_at,
    integer_weights,
    mask_tokens,
    position_of,
    random_crop,
)
from bionemo.data.pipes import loader
from bionemo.data.sources import RaggedRows, Windows, ragged_rows, windows
from bionemo.data.testing import assert_order, assert_resumes_exactly

Batch = tuple[Tensor, Tensor]


@attrs.frozen(kw_only=True)
class Squares:
    """A data set of one's own."""

    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> list[int]:
        return [index, index**2]


@attrs.frozen(kw_only=True)
class LinearConfig(BionemoTrainableModelConfig[nn.Linear, TokenCrossEntropy]):
    """A configuration of one's own."""

    width: int = 8

    def configure_model(self) -> nn.Linear:
        return nn.Linear(self.width, self.width)

    def get_loss_reduction_class(self) -> type[TokenCrossEntropy]:
        return TokenCrossEntropy


def collate(rows: Sequence[list[int]]) -> Batch:
    return pad_token_ids(rows, padding_len=2)


def make_pipeline(seed: int) -> Pipeline[Batch]:
    order = EpochOrder(length=10, seed=seed)
    source = Source(Squares(length=10), transform=partial(random_crop, length=2))
    return Pipeline(order=order, sources=source, batch_size=4, seed=seed, collate=collate)


def train(folder: Path) -> float:
    pipeline = make_pipeline(7)
    config = LinearConfig(width=2)
    model = build_model(config, generator=make_generator(42, "model"))
    assert_type(model, nn.Linear)
    optimizer = torch.optim.AdamW(model.parameters())
    batches = loader(pipeline, batches_per_epoch=3, num_workers=0)
    losses: list[LossSum] = []
    with CheckpointWriter(folder, keep=1) as writer:
        for ids, mask in batches:
            assert_type(ids, Tensor)
            logits = model(ids.float())
            loss = token_cross_entropy(logits, torch.where(mask, 0, -100)[:, 0])
            losses.append(loss)
            torch.autograd.backward([loss.loss_sum / loss.num_tokens])
            optimizer.step()
        writer.save(3, model, optimizer, batches)
    found = find_checkpoint(folder)
    assert_type(found, Path | None)
    if found is not None:
        load_checkpoint(found, model, optimizer, batches)
    return float(mean_loss(losses))


def orders() -> list[SampleIndex]:
    epochs = EpochOrder(length=10, seed=7, num_samples=100)
    lengths = np.arange(1, 11)
    mixture = MixtureOrder(
        orders=(epochs, ClusterOrder(clusters=["a", "b"], seed=3)), weights=integer_weights([0.7, 0.3])
    )
    grouped = LengthGroupedOrder(order=epochs, lengths=lengths, window_size=4, batch_size=2, seed=3)
    packed = PackedOrder(order=epochs, lengths=lengths, max_tokens=16, bins_per_step=2, window_size=4, seed=3)
    found = [index_at(order, 3) for order in (mixture, grouped, packed)]
    assert position_of(epochs, index_at(epochs, 5)) == 5
    restored = from_json(to_json(mixture), kinds=[MixtureOrder, EpochOrder, ClusterOrder])
    assert fingerprint(restored) == fingerprint(mixture)
    assert_order(epochs)
    return found


def tensors() -> dict[str, Tensor]:
    ids, mask = pad_token_ids([[5, 6, 7], [8]], padding_side="left")
    rows = unpad_token_ids(ids, mask)
    assert_type(rows, list[Tensor])
    masked = mask_tokens(ids, mask, seeds=torch.tensor([1, 2]), mask_id=1, replacement_ids=range(5, 9))
    seed = fold_in(42, "epoch", 1)
    assert_type(seed, int)
    one, two = split(make_generator(seed))
    with random_torch_context(one):
        noise = torch.rand(2)
    return {"ids": masked.ids, "labels": masked.labels, "noise": noise, "more": torch.rand(2, generator=two)}


def rows_in_memory() -> NDArray[np.int64]:
    rows = ragged_rows([[5, 6, 7], [8]], dtype=np.int64)
    assert_type(rows, RaggedRows)
    cut = windows(rows, 2)
    print(len(cut), Windows(lengths=[9, 3], size=4), collate_packed(list(rows)))
    return rows.lengths


def adapters(pipeline: Pipeline[Batch]) -> tuple[PipelineDataModule, TrainableModule]:
    gpt = MegatronGPTConfig(
        transformer=TransformerSizes(num_layers=1, hidden_size=8, num_attention_heads=2), vocab_size=8, max_length=4
    )
    print(to_json(gpt))
    module = TrainableModule(LinearConfig(), optimizer=torch.optim.SGD, generator=make_generator(7), seed=7)
    return PipelineDataModule(train=pipeline, batches_per_epoch=2), module


def first_tokens(batch: Batch) -> list[int]:
    return [int(token) for token in batch[0][:, 0]]


def main() -> None:
    pipeline = make_pipeline(7)
    with TemporaryDirectory() as folder:
        print(f"loss {train(Path(folder)):.3f}", adapters(pipeline))
    print(batch_at(pipeline, 2)[0].tolist(), orders(), tensors(), rows_in_memory())
    assert_resumes_exactly(lambda: loader(pipeline, batches_per_epoch=3), first_tokens, num_epochs=1)


if __name__ == "__main__":
    main()
