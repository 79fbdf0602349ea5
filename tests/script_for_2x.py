"""A program written for bionemo-core 2.4.5: it takes a folder, and runs without a change on 2.4.5 and on 3.0."""

import gzip
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bionemo.core import BIONEMO_CACHE_DIR
from bionemo.core.api import BionemoTrainableModelConfig
from bionemo.core.data.load import load
from bionemo.core.data.multi_epoch_dataset import (
    EpochIndex,
    IdentityMultiEpochDatasetWrapper,
    MultiEpochDatasetResampler,
    MultiEpochDatasetWrapper,
)
from bionemo.core.data.permute import permute
from bionemo.core.data.resamplers import PRNGResampleDataset
from bionemo.core.data.resource import get_all_resources
from bionemo.core.utils.batching_utils import pad_token_ids
from bionemo.core.utils.dtypes import get_autocast_dtype, precision_to_dtype
from bionemo.core.utils.random_utils import get_seed_from_rng, random_numpy_context
from bionemo.core.utils.subprocess_utils import run_subprocess_safely


@dataclass
class Masked(MultiEpochDatasetWrapper[list, list]):
    """Replaces tokens at random, differently in each epoch."""

    probability: float = 0.15
    seed: int = 42

    def apply_transform(self, sample: list, index: EpochIndex) -> list:
        """Return a row with some tokens replaced by 0."""
        rng = np.random.default_rng([self.seed, index.epoch, index.idx])
        return [0 if rng.random() < self.probability else token for token in sample]


class ModelConfig(BionemoTrainableModelConfig):
    """A linear layer."""

    def configure_model(self) -> torch.nn.Module:
        """Return the model."""
        return torch.nn.Linear(4, 2)

    def get_loss_reduction_class(self) -> type:
        """Return the class of the loss."""
        return torch.nn.CrossEntropyLoss


def resource_in(folder: Path) -> Path:
    """Load a file that a resource file describes and that was downloaded before; nothing is fetched."""
    content = gzip.compress(b"MKTAYIAK", mtime=0)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "resources").mkdir()
    (folder / "resources" / "local.yaml").write_text(
        f"- tag: few\n  pbss: s3://bucket/few.fasta.gz\n  sha256: {digest}\n  owner: A B <a@b.org>\n"
    )
    (folder / "cache").mkdir()
    (folder / "cache" / f"{digest}-few.fasta.gz").write_bytes(content)
    known = get_all_resources(folder / "resources")
    return load("local/few", source="pbss", resources=known, cache_dir=folder / "cache")


def main(folder: Path) -> dict:
    """Return what doesn't depend on the version."""
    rows = [list(range(5, 5 + length)) for length in (3, 7, 1, 5)]
    seed = get_seed_from_rng(np.random.default_rng(42))
    epochs = MultiEpochDatasetResampler(Masked(rows, probability=0.5), num_epochs=3, shuffle=True, seed=seed)
    ids, mask = pad_token_ids(list(map(torch.tensor, epochs)), padding_value=1, pad_size_divisible_by=8, device="cpu")
    plain = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper(rows), num_samples=6, shuffle=False)
    drawn = PRNGResampleDataset(rows, seed=7, num_samples=9)
    before = np.random.get_state()[1].tolist()
    with random_numpy_context(7):
        number = int(np.random.randint(1000))
    try:
        epochs[len(epochs)]
    except IndexError as error:
        reason = type(error).__name__
    try:
        permute(9, 9, seed)
    except ValueError:
        reason += " ValueError"
    return {
        "epochs": [sorted(map(len, (epochs[epoch * 4 + idx] for idx in range(4)))) for epoch in range(3)],
        "attributes": [len(epochs), epochs.num_epochs, epochs.num_samples, epochs.seed, len(epochs.epoch_seeds)],
        "padded": [list(ids.shape), int(mask.sum()), str(mask.dtype), int((ids[~mask] == 1).all())],
        "plain": list(plain),
        "drawn": [len(drawn), all(drawn[index] in rows for index in range(9)), drawn[3] == drawn[3]],
        "permutation": sorted(permute(index, 9, seed) for index in range(9)),
        "seed": seed,
        "number": number,
        "restored": np.random.get_state()[1].tolist() == before,
        "dtypes": [str(get_autocast_dtype("bf16-mixed")), str(precision_to_dtype["16-mixed"])],
        "model": str(ModelConfig().configure_model()),
        "command": run_subprocess_safely(f"{sys.executable} -c print(3)")["stdout"],
        "errors": reason,
        "cache": isinstance(BIONEMO_CACHE_DIR, Path),
        "loaded": gzip.decompress(resource_in(folder).read_bytes()).decode(),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), sort_keys=True))  # noqa: T201
