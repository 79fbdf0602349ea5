"""The laws of data sets find what breaks them in workers and under Megatron."""

from typing import Any

import numpy as np
import pytest
import torch

from bionemo.data import MultiEpochDatasetResampler
from bionemo.data.testing import assert_megatron_compatible, assert_worker_safe
from bionemo.data.testing.strategies.values import BatchedRows
from tests.data.testing import loaders_of_others as others


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (others.Noisy(), r"read\(0\) must depend only on the index, but its part \[1\] differs when it is read again"),
        (others.ByWorker(), r"dataset\[0\] must be the same .*, but it differs in one of 1 workers started by fork"),
        (others.Opened(), "dataset must pickle, to be sent to a spawned worker, got TypeError: cannot pickle"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_data_sets_that_differ_in_workers_are_found(dataset: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_worker_safe(dataset)


def test_a_hash_is_found_by_spawned_workers_alone() -> None:
    assert_worker_safe(others.ByHash(), [3], num_workers=[1])
    with pytest.raises(AssertionError, match=r"dataset\[3\] must .* differs in one of 1 workers started by spawn"):
        assert_worker_safe(others.ByHash(), [3], contexts=["spawn"], num_workers=[1])


class FailingInWorkers(others.ByWorker):
    def __getitem__(self, idx: int) -> int:
        if super().__getitem__(idx) >= 1000:
            raise OSError("no connection")
        return idx


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch warns on machines with one core
def test_sound_data_sets_pass() -> None:
    rows = torch.arange(40).reshape(20, 2)
    for dataset in (others.SoundlyNoisy(), rows, BatchedRows(range(20)), [7]):
        assert_worker_safe(dataset, num_workers=[1])
    with pytest.raises(AssertionError, match=r"readable in a worker process \(fork\), got OSError: "):
        assert_worker_safe(FailingInWorkers())
    with pytest.raises(TypeError, match=r"contexts must be a sequence of ways .*, got contexts=.fork."):
        assert_worker_safe(rows, contexts="fork")
    with pytest.raises(TypeError, match=r"dataset must be read by dataset\[idx\], got an object of type generator"):
        assert_worker_safe(value for value in rows)
    state = torch.get_rng_state()
    assert_worker_safe(rows, [3])
    assert torch.equal(torch.get_rng_state(), state)


class Numbered(list):
    """A data set whose samples hold the index as they are given it."""

    def __getitem__(self, idx: int) -> dict[str, Any]:
        return {"idx": idx, **super().__getitem__(idx)}


def test_data_sets_for_megatron() -> None:
    rows = [{"tokens": torch.arange(4) + idx} for idx in range(20)]
    assert_megatron_compatible(rows)
    assert_megatron_compatible(Numbered(rows))
    assert_megatron_compatible(MultiEpochDatasetResampler([*map(tuple, rows)], num_samples=30, seed=1) and rows)
    with pytest.raises(AssertionError, match=r"Megatron needs the length of a dataset: len\(dataset\) must be"):
        assert_megatron_compatible([])
    with pytest.raises(
        AssertionError,
        match="Megatron needs the length of a dataset: dataset must have a length, .*, got an object of type generator",
    ):
        assert_megatron_compatible(value for value in rows)
    with pytest.raises(
        AssertionError, match=r"dataset\[0\] must be a mapping from names to data, got one of type Tensor"
    ):
        assert_megatron_compatible(torch.arange(5))
    with pytest.raises(AssertionError, match=r"collate must make a batch of 2 samples, got RuntimeError: "):
        assert_megatron_compatible([{"tokens": torch.arange(3)}, {"tokens": torch.arange(4)}])

    class Plain(list):
        def __getitem__(self, idx: int) -> Any:
            return {"tokens": np.arange(3) + (isinstance(idx, np.integer))}

    with pytest.raises(AssertionError, match=r"dataset\[np.int64\(0\)\] must equal dataset\[0\], but its part"):
        assert_megatron_compatible(Plain([1, 2]))
