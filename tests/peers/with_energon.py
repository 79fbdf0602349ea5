"""Resumes of Megatron-Energon."""

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.peers.verdicts import Job, Ways, taken, verdict

REQUIREMENTS = (
    "megatron-energon==7.4.1",
    "webdataset==1.0.2",
    "braceexpand==0.1.7",
    "bracex==3.2.3",
    "deprecation==2.1.0",
    "filetype==1.2.0",
    "lark==1.3.1",
    "mfusepy==3.1.1",
    "multi-storage-client==1.3.1",
    "opentelemetry-api==1.45.2",
    "rapidyaml==0.15.2",
    "s3fs==2026.9.0",
    "wcmatch==12.0.1",
    "xattr==1.3.0",
)
DESCRIPTION = "__module__: megatron.energon\n__class__: TextWebdataset\nfield_map:\n  text: txt\n"


def write(first: int = 0) -> Path:
    """Write six shards of eight numbers, with Energon's metadata."""
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    folder = Path(tempfile.mkdtemp())
    names = [f"{shard}.tar" for shard in range(6)]
    for shard, name in enumerate(names):
        with tarfile.open(folder / name, "w") as archive:
            for idx in range(first + 8 * shard, first + 8 * shard + 8):
                text = str(idx).encode()
                info = tarfile.TarInfo(f"{idx:05d}.txt")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
    WebdatasetPreparator.prepare_dataset(
        folder, names, split_parts_ratio=[("train", 1.0)], workers=1, shuffle_seed=None
    )
    (folder / ".nv-meta" / "dataset.yaml").write_text(DESCRIPTION)
    return folder


def cases() -> dict[str, Callable[[], str]]:  # noqa: C901 - small functions that share the library
    from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_savable_loader, get_train_dataset, stateless

    class Packing(DefaultTaskEncoder):
        """Packs one to three samples into a bin; a batch is the numbers of two bins."""

        @stateless
        def encode_sample(self, sample: Any) -> Any:
            return sample

        def select_samples_to_pack(self, samples: list[Any]) -> list[list[Any]]:
            return [samples[start : start + 3] for start in range(0, len(samples), 3)]

        @stateless
        def pack_selected_samples(self, samples: list[Any]) -> list[int]:
            return [int(sample.text) for sample in samples]

        def batch(self, samples: list[list[int]]) -> list[int]:
            return sum(samples, [])

    ways = Ways(
        ids_of=lambda batch: [int(text) for text in batch.text],
        save=lambda loader, _: loader.save_state_rank(),
        load=lambda loader, state: loader.restore_state_rank(state),
    )
    bins = ways._replace(ids_of=list)
    folder, other = write(), write(100)

    def ranks(
        world_size: int = 1, *, num_workers: int = 0, local: Path = folder, encoder: Any = None, **options: Any
    ) -> Job:
        def make() -> list[Any]:
            loaders = []
            given = {"batch_size": 4, "shuffle_buffer_size": None, "max_samples_per_sequence": None} | options
            for rank in range(world_size):
                config = WorkerConfig(rank=rank, world_size=world_size, num_workers=num_workers)
                made = (encoder or DefaultTaskEncoder)()
                rows = get_train_dataset(local, worker_config=config, task_encoder=made, repeat=False, **given)
                loaders.append(get_savable_loader(rows))
            return loaders

        return make

    def all_ranks(before: int, after: int) -> str:
        """Return what a loader says to the states of another number of ranks."""
        states = [loader.save_state_rank() for loader in ranks(before)()]
        try:
            for loader in ranks(after)():
                loader.restore_state_global(states)
        except AssertionError as error:
            return f"refuses: AssertionError: {error}"
        return "accepted"

    packing = ranks(encoder=Packing, batch_size=2, packing_buffer_size=12)
    workers = ranks(num_workers=2)
    return {
        "within an epoch": lambda: verdict(ways, ranks()),
        "twice": lambda: verdict(ways, ranks(), stops=(3, 2)),
        "shuffle buffer of 10": lambda: verdict(ways, ranks(shuffle_buffer_size=10)),
        "shuffle buffer of 10, twice": lambda: verdict(ways, ranks(shuffle_buffer_size=10), stops=(3, 2)),
        "packing": lambda: verdict(bins, packing),
        "packing, twice": lambda: verdict(bins, packing, stops=(2, 2)),
        "2 workers → 2": lambda: verdict(ways, workers),
        "2 workers → 1": lambda: verdict(ways, workers, ranks(num_workers=1)),
        "2 ranks → 2": lambda: verdict(ways, ranks(2)),
        "2 ranks → 3, all states": lambda: all_ranks(2, 3),
        "2 ranks → 1, state of the rank": lambda: verdict(ways, ranks(2), ranks(1)),
        "batches of 4 → 8, 2 workers": lambda: verdict(ways, workers, ranks(num_workers=2, batch_size=8)),
        "batches of 4 → 2, 2 workers": lambda: verdict(ways, workers, ranks(num_workers=2, batch_size=2)),
        "batches of 4 → 2, no worker": lambda: verdict(ways, ranks(), ranks(batch_size=2)),
        "other data": lambda: taken(ways, ranks(), ranks(local=other)),
    }
