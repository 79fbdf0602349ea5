"""Tests of data sets made of parts of others."""

import pickle

import numpy as np
import pytest
import torch

from bionemo.data import EpochOrder, Pipeline, Source, batch_at, concat, filter_idx, take, window


class Counting:
    """A data set that counts its reads."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> int:
        self.reads += 1
        return index * 2


class Named(list):
    """A data set with a fingerprint."""

    fingerprint = "named"


def test_nothing_is_read_before_a_sample_is_asked_for() -> None:
    dataset = Counting()
    mapped = take(concat(window(filter_idx(dataset, [5, 10**8, 7]), 2), dataset), 10**8)
    assert (len(mapped), dataset.reads) == (10**8, 0)
    assert (mapped[0], mapped[1], dataset.reads) == ([10, 2 * 10**8], 0, 3)


def test_maps_nest_and_survive_a_pickle() -> None:
    mapped = concat(take(filter_idx(range(100), range(0, 100, 7)), 5), [-1, -2])
    assert list(mapped) == list(pickle.loads(pickle.dumps(mapped))) == [0, 7, 14, 21, 28, -1, -2]
    assert mapped.__getitems__([6, 0, 6]) == [-2, 0, -2]


def test_tensors_and_arrays_are_read_at_once() -> None:
    rows = torch.arange(20).reshape(10, 2)
    assert torch.equal(filter_idx(rows, torch.tensor([3, 1])).__getitems__([1, 0]), rows[[1, 3]])
    assert torch.equal(window(rows[:, 0], 3, stride=2)[1], torch.tensor([4, 6, 8]))
    assert window(np.arange(10, dtype=np.uint8), 4)[1].dtype == np.uint8


def test_a_pipeline_reads_them() -> None:
    sources = concat("abc", take("xyz", 2))
    pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources=sources, batch_size=5, seed=1, collate="".join)
    assert sorted(batch_at(pipeline, 3)) == list("abcxy")


def test_a_fingerprint_is_that_of_the_data_and_the_selection() -> None:
    rows = Named("abcdef")
    maps = [take(rows, 2), take(rows, 3), filter_idx(rows, [0, 1]), filter_idx(rows, [1, 0]), window(rows, 2)]
    maps += [window(rows, 2, stride=1), concat(rows), concat(rows, rows), take(filter_idx(rows, [0, 1]), 2)]
    assert len({Source(mapped).fingerprint for mapped in maps} - {None}) == len(maps)
    assert Source(take(rows, 2)).fingerprint == Source(take(Named("abcdef"), 2)).fingerprint
    assert Source(concat(rows, "abc")).fingerprint is Source(take("abc", 2)).fingerprint is None


def test_reprs_are_short() -> None:
    assert repr(take(range(10**6), 10**5)) == "100000 samples of range of 1000000"
    assert repr(window(range(10**6), 100)) == "10000 windows of 100 of range of 1000000"
    assert repr(concat(range(5), "ab")) == "7 samples of 2 data sets, the first one range of 5"


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: take("abc", 4), ValueError, r"num_samples must be in 0\.\.3, got num_samples=4"),
        (lambda: take({"a": 1}, 1), TypeError, "dataset"),
        (lambda: filter_idx("abc", [0, 3]), IndexError, r"keep must be in 0\.\.2"),
        (lambda: filter_idx("abc", [True]), ValueError, r"keep must have one bool per sample, got shape \(1,\) for 3"),
        (lambda: filter_idx("abc", [[0]]), ValueError, r"keep must have one axis, got shape \(1, 1\)"),
        (lambda: filter_idx("abc", [0.5]), TypeError, "keep"),
        (concat, ValueError, "datasets must be at least one"),
        (lambda: window("abc", 0), ValueError, "size must be in 1"),
        (lambda: window("abc", 1, stride=0), ValueError, "stride must be in 1"),
        (lambda: take("abc", 2)[2], IndexError, r"index must be in 0\.\.1, got index=2"),
        (lambda: take("abc", 2)[-1], IndexError, r"index must be in 0\.\.1, got index=-1"),
        (lambda: concat("abc").__getitems__([0, 3]), IndexError, r"index must be in 0\.\.2"),
        (lambda: len(window("abc", 5)) or window("abc", 5)[0], IndexError, "index must be"),
    ],
)
def test_wrong_arguments_are_refused(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
