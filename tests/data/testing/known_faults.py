"""Faults of other libraries, reported or found here, each as a loader or function that a law is applied to.

    python -m tests.data.testing.known_faults NAME

prints what the law says: the message of its AssertionError, or "holds".
"""

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from benchmarks.peers import without_vision
from bionemo.data.testing import (
    adapt,
    assert_bijection,
    assert_epochs_differ,
    assert_exact_coverage,
    assert_pure,
    assert_ranks_draw_differently,
    assert_resumes_exactly,
    check_pure_reads,
    replayed,
)
from tests.data.testing import loaders_of_others as others


# With torch alone -----------------------------------------------------------------------------------------------------
def noise_repeats_in_workers() -> None:
    def make_loader(rank: int, world_size: int) -> DataLoader[Any]:
        return DataLoader(others.Noisy(), sampler=range(rank, 100, world_size), batch_size=5, num_workers=2)

    assert_ranks_draw_differently(make_loader, lambda batch: batch[1], 1, num_epochs=1)


def noise_is_equal_on_ranks() -> None:
    def make_loader(rank: int, world_size: int) -> DataLoader[Any]:
        sampler, generator = range(rank, 100, world_size), torch.Generator()  # "reproducible", says many a script
        return DataLoader(GlobalNoise(), sampler=sampler, batch_size=5, num_workers=1, generator=generator)

    assert_ranks_draw_differently(make_loader, lambda batch: batch, 2, num_epochs=1)


class GlobalNoise(others.Noisy):
    """A data set that draws from NumPy's global state."""

    def __getitem__(self, idx: int) -> Any:
        return np.random.normal(size=4)


def without_set_epoch() -> None:
    sampler = DistributedSampler(range(100), num_replicas=2, rank=0)
    assert_epochs_differ(lambda: DataLoader(range(100), sampler=sampler, batch_size=10), list)


def samples_fill_the_ranks() -> None:
    def make_loader(rank: int, world_size: int) -> DataLoader[Any]:
        return DataLoader(range(101), sampler=DistributedSampler(range(101), world_size, rank), batch_size=10)

    assert_exact_coverage(make_loader, list, 101, 2)


def tokens_per_batch_on_each_rank() -> None:
    lengths = [9, 1] * 50

    def make_loader(rank: int, world_size: int) -> DataLoader[Any]:
        return DataLoader(range(100), batch_sampler=others.ByTokens(lengths, 10, rank, world_size))

    assert_exact_coverage(make_loader, list, 100, 2)


class ReverseComplement:
    """A data set of DNA that reads every second sequence, drawn from the global state, from the other strand."""

    sequences = ("ACCT", "GATTACA", "TTGCA")

    def __getitem__(self, idx: int) -> str:
        sequence = self.sequences[idx]
        return sequence[::-1].translate(str.maketrans("ACGT", "TGCA")) if torch.rand(()) < 0.5 else sequence


def strand_of_the_global_state() -> None:
    check_pure_reads(ReverseComplement().__getitem__, range(3))


def complement_in_place() -> None:
    def complement(ids: np.ndarray) -> np.ndarray:
        ids[:] = 3 - ids[::-1]
        return ids

    assert_pure(complement, np.array([0, 1, 2, 3, 3]))


# With what the tests install ------------------------------------------------------------------------------------------
def stateful_data_loader_shuffles_otherwise() -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    def make_loader() -> Any:
        generator = torch.Generator().manual_seed(1)
        return StatefulDataLoader(range(20), batch_size=4, shuffle=True, generator=generator)

    assert_resumes_exactly(make_loader, list, stops=[2])


def stateful_data_loader_ends_an_epoch() -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    def make_loader() -> Any:
        torch.manual_seed(1)
        return StatefulDataLoader(range(20), batch_size=4, shuffle=True)

    assert_resumes_exactly(make_loader, list, stops=[5])


def _stream() -> Any:
    import datasets

    return datasets.Dataset.from_dict({"idx": list(range(20))}).to_iterable_dataset(num_shards=4)


def stream_begins_later_passes_late() -> None:
    assert_resumes_exactly(_stream, lambda row: [row["idx"]], stops=[3])


def stream_in_workers_resumes_twice() -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    def make_loader() -> Any:
        return StatefulDataLoader(_stream(), batch_size=2, num_workers=2)

    assert_resumes_exactly(make_loader, lambda batch: batch["idx"], stops=[(1, 1)], num_epochs=1)


def _prepared() -> Any:
    from accelerate import Accelerator, DataLoaderConfiguration

    options = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=3)
    loader = DataLoader(list(range(20)), batch_size=4, shuffle=True)
    return Accelerator(cpu=True, dataloader_config=options).prepare(loader)


def skipped_batches_of_another_epoch() -> None:
    from accelerate import skip_first_batches

    def make_loader() -> Any:
        loader = _prepared()
        return replayed(loader, set_epoch=loader.set_epoch, skip=skip_first_batches)

    assert_resumes_exactly(make_loader, list, stops=[7], num_epochs=3)


def skipped_batches_before_the_same_epoch() -> None:
    from accelerate import skip_first_batches

    assert_resumes_exactly(lambda: replayed(_prepared(), skip=skip_first_batches), list, stops=[2])


# With peers -----------------------------------------------------------------------------------------------------------
def grain_shuffle() -> None:
    from grain import MapDataset

    assert_bijection(MapDataset.range(65_537).shuffle(seed=1).__getitem__, 65_537)


def grain_window_shuffle() -> None:
    from grain import MapDataset
    from grain.experimental import WindowShuffleMapDataset

    assert_bijection(WindowShuffleMapDataset(MapDataset.range(20), window_size=8, seed=1).__getitem__, 20)


def grain_iterator() -> None:
    from grain import MapDataset

    def make_loader() -> Any:
        batches = MapDataset.range(20).shuffle(seed=1).to_iter_dataset().batch(4)
        return adapt(iter(batches), save=lambda held: held.get_state(), load=lambda held, state: held.set_state(state))

    assert_resumes_exactly(make_loader, list, num_epochs=1)


def mosaic_ends_an_epoch() -> None:
    without_vision()
    import streaming

    folder = tempfile.mkdtemp()
    with streaming.MDSWriter(out=folder, columns={"idx": "int"}, size_limit=200) as writer:
        for idx in range(40):
            writer.write({"idx": idx})

    def make_loader() -> Any:
        streaming.base.util.clean_stale_shared_memory()
        rows = streaming.StreamingDataset(local=folder, shuffle=True, batch_size=4, shuffle_seed=1)
        return streaming.StreamingDataLoader(rows, batch_size=4, num_workers=0)

    assert_resumes_exactly(make_loader, lambda batch: batch["idx"], stops=[10])


def litdata_resumes() -> None:
    import litdata

    folder = tempfile.mkdtemp()
    litdata.optimize(fn=int, inputs=list(range(40)), output_dir=folder, chunk_size=8, num_workers=1)

    def make_loader() -> Any:
        rows = litdata.StreamingDataset(folder, shuffle=True, seed=1)
        return litdata.StreamingDataLoader(rows, batch_size=4, num_workers=0)

    assert_resumes_exactly(make_loader, list)


class Fault(NamedTuple):
    """A fault, the peer that has it (empty: what is installed), and what the law says; empty if it holds."""

    run: Callable[[], None]
    requirements: tuple[str, ...]
    message: str


GRAIN = ("grain==0.2.18", "absl-py", "array-record", "cloudpickle", "etils", "portpicker", "protobuf")
MOSAIC = ("mosaicml-streaming==0.13.0", "Brotli", "python-snappy", "cramjam", "zstd", "xxhash", "catalogue")
LITDATA = ("litdata==0.2.76", "lightning-utilities", "obstore")
FAULTS = [
    Fault(noise_repeats_in_workers, (), "batch 0 of rank 0 in pass 0 and batch 1 of rank 0 in pass 0"),
    Fault(noise_is_equal_on_ranks, (), "batch 0 of rank 0 in pass 0 and batch 0 of rank 1 in pass 0"),
    Fault(without_set_epoch, (), "passes 0 and 1 both read"),
    Fault(samples_fill_the_ranks, (), "1 sample is repeated"),
    Fault(tokens_per_batch_on_each_rank, (), r"2 ranks read \[50, 5\]"),
    Fault(strand_of_the_global_state, (), r"read\(0\) must leave the global random states unchanged"),
    Fault(complement_in_place, (), r"must not modify its arguments, but it changed args\[0\]"),
    Fault(stateful_data_loader_shuffles_otherwise, (), "after the resume batch 3 must be"),
    Fault(stateful_data_loader_ends_an_epoch, ("torchdata==0.10.1",), "must be .*, got no batch. In all, 20 samples"),
    Fault(stateful_data_loader_ends_an_epoch, (), ""),
    Fault(stream_begins_later_passes_late, (), r"3 samples are lost: \[0, 1, 2\]"),
    Fault(stream_in_workers_resumes_twice, (), r"after the resume batch 0 must be .*, got \[0, 1\]"),
    Fault(skipped_batches_of_another_epoch, ("accelerate==1.12.0",), "6 samples are lost: .*; 6 samples are repeated"),
    Fault(skipped_batches_of_another_epoch, (), ""),
    Fault(skipped_batches_before_the_same_epoch, (), "after the resume batch 3 must be"),
    Fault(grain_shuffle, GRAIN, r"fn\(0\) == fn\(65536\) == 46990"),
    Fault(grain_window_shuffle, GRAIN, r"fn\(3\) == fn\(16\) == 0"),
    Fault(grain_iterator, GRAIN, ""),
    Fault(mosaic_ends_an_epoch, MOSAIC, "must be .*, got no batch. In all, 40 samples are lost"),
    Fault(litdata_resumes, LITDATA, ""),
]


def names() -> Iterator[str]:
    for fault in FAULTS:
        yield f"{fault.run.__name__}{''.join(f'-{peer}' for peer in fault.requirements[:1])}"


def said_by_the_law(run: Callable[[], None]) -> str:
    """Return the message of the law's AssertionError, or "holds"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run()
        except AssertionError as error:
            return str(error)
    return "holds"


if __name__ == "__main__":
    print(said_by_the_law(dict(zip(names(), (fault.run for fault in FAULTS), strict=True))[sys.argv[1]]))  # noqa: T201
