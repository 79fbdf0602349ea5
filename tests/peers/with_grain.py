"""Resumes of grain's iterators."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.peers.verdicts import Job, Ways, of_sources, taken, verdict

REQUIREMENTS = ("grain==0.2.18", "absl-py", "array-record", "cloudpickle", "etils", "portpicker", "protobuf")


def cases() -> dict[str, Callable[[], str]]:  # noqa: C901 - small functions that share the library
    import grain
    from grain import MapDataset
    from grain import experimental as new

    ways = Ways(
        iterate=lambda iterator: iterator,
        save=lambda _, iterator: iterator.get_state(),
        load=lambda iterator, state: iterator.set_state(state),
    )

    def shuffled(first: int = 0) -> Any:
        return MapDataset.range(first, first + 48).shuffle(seed=1)

    def ranks(world_size: int = 1, *, batch_size: int = 4, num_workers: int = 0, first: int = 0) -> Job:
        def make() -> list[Any]:
            parts = [shuffled(first)[rank::world_size].batch(batch_size) for rank in range(world_size)]
            streams = [part.to_iter_dataset() for part in parts]
            if num_workers:
                options = grain.multiprocessing.MultiprocessingOptions(num_workers=num_workers)
                streams = [stream.mp_prefetch(options) for stream in streams]
            return [iter(stream) for stream in streams]

        return make

    def elastic(world_size: int, batch_size: int = 8) -> Job:
        from grain.sharding import ShardOptions

        options = [ShardOptions(shard_index=rank, shard_count=world_size) for rank in range(world_size)]
        return lambda: [iter(new.ElasticIterator(shuffled(), batch_size, one)) for one in options]

    def data_loader(num_workers: int) -> Job:
        sampler = grain.samplers.IndexSampler(48, shuffle=True, num_epochs=1, seed=1)
        options = {"sampler": sampler, "worker_count": num_workers, "operations": [grain.transforms.Batch(4)]}
        return lambda: [iter(grain.DataLoader(data_source=grain.sources.RangeDataSource(0, 48, 1), **options))]

    def mixture(*weights: float) -> Job:
        return lambda: [iter(MapDataset.mix([shuffled(), shuffled(100)], weights=weights).batch(4).to_iter_dataset())]

    def packed() -> list[Any]:
        rows = [{"ids": np.full(3 + number % 5, number + 1)} for number in range(40)]
        stream = MapDataset.source(rows).shuffle(seed=1).to_iter_dataset()
        return [iter(new.BestFitPackIterDataset(stream, length_struct={"ids": 16}, num_packing_bins=4))]

    def window() -> list[Any]:
        stream = new.WindowShuffleIterDataset(MapDataset.range(48).to_iter_dataset(), window_size=8, seed=1)
        return [iter(stream.batch(4))]

    def random_map() -> list[Any]:
        noisy = MapDataset.range(48).seed(3).random_map(lambda idx, rng: 1000 * int(idx) + int(rng.integers(1000)))
        return [iter(noisy.batch(4).to_iter_dataset())]

    def by_number() -> str:
        batches = shuffled().batch(4)
        return "exact" if list(batches[7]) == list([*batches.to_iter_dataset()][7]) else "another batch"

    bins = ways._replace(ids_of=lambda row: row["ids"][row["ids"] > 0])
    return {
        "within an epoch": lambda: verdict(ways, ranks()),
        "twice": lambda: verdict(ways, ranks(), stops=(3, 2)),
        "mp_prefetch, 2 workers → 2": lambda: verdict(ways, ranks(num_workers=2)),
        "mp_prefetch, 2 workers → 1": lambda: verdict(ways, ranks(num_workers=2), ranks(num_workers=1)),
        "DataLoader, 2 workers → 1": lambda: verdict(ways, data_loader(2), data_loader(1)),
        "2 ranks → 3": lambda: verdict(ways, ranks(2), ranks(3)),
        "ElasticIterator, 2 ranks → 4": lambda: verdict(ways, elastic(2), elastic(4)),
        "ElasticIterator, 2 ranks → 3": lambda: verdict(ways, elastic(2), elastic(3)),
        "batches of 4 → 8": lambda: verdict(ways, ranks(), ranks(batch_size=8)),
        "batches of 8 → 4": lambda: verdict(ways, ranks(batch_size=8), ranks()),
        "ElasticIterator, batches of 8 → 12": lambda: verdict(ways, elastic(1), elastic(1, 12)),
        "weights 1:1 → 1:1": lambda: verdict(ways, mixture(0.5, 0.5)),
        "weights 1:1 → 3:1": lambda: of_sources(ways, mixture(0.5, 0.5), mixture(0.75, 0.25)),
        "packing": lambda: verdict(bins, packed),
        "packing, twice": lambda: verdict(bins, packed, stops=(3, 2)),
        "window shuffle of a stream": lambda: verdict(ways, window),
        "random_map": lambda: verdict(ways, random_map),
        "step 7 by its number": by_number,
        "other data": lambda: taken(ways, ranks(), ranks(first=100)),
    }
