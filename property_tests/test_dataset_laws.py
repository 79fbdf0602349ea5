"""Laws of reading, and of data sets over orders."""

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from bionemo.data import (
    EpochIndex,
    EpochOrder,
    MultiEpochDatasetResampler,
    PRNGResampleDataset,
    ResampleOrder,
    WeightedOrder,
    concat,
    filter_idx,
    first_divergence,
    index_at,
    take,
    window,
)
from bionemo.data.reading.read import fetch
from bionemo.data.testing.strategies import seeds


class Pairs:
    """A data set whose samples are their indices."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: EpochIndex) -> EpochIndex:
        return index


class Doubled(MultiEpochDatasetResampler):
    """A subclass that overrides `[...]`."""

    def __getitem__(self, index: int) -> tuple[int, int]:
        return super().__getitem__(index) * 2


class Many(list):
    """A data set that reads many samples at once."""

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [self[index] for index in indices]


@given(length=st.integers(1, 40), data=st.data())
def test_fetch_returns_the_sample_at_each_index(length: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, length - 1), max_size=20))
    values = [10 * index for index in range(length)]
    for dataset in (
        values,
        Many(values),
        np.array(values),
        torch.tensor(values),
        torch.tensor(values).to(torch.uint16),
    ):
        assert list(map(int, fetch(dataset, indices))) == [values[index] for index in indices]
        assert list(map(int, fetch(dataset, np.array(indices, dtype=np.int64)))) == [values[index] for index in indices]


@given(data=st.data(), labels=st.lists(st.integers(-3, 12), min_size=1, max_size=12))
def test_a_series_is_read_by_position_whatever_its_labels(data: st.DataObject, labels: list[int]) -> None:
    values = [10 * index for index in range(len(labels))]
    series = pd.Series(values, index=labels)
    indices = data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=20))
    assert fetch(series, indices) == [values[index] for index in indices]
    assert [dict(row) for row in fetch(series.to_frame("x"), indices)] == [{"x": values[index]} for index in indices]
    assert WeightedOrder(weights=series + 1, seed=3) == WeightedOrder(weights=[value + 1 for value in values], seed=3)
    assert list(PRNGResampleDataset(series)) == list(PRNGResampleDataset(values))


@given(length=st.integers(1, 30), seed=seeds(), num_samples=st.integers(1, 90), batch_size=st.integers(1, 7))
def test_a_data_loader_reads_the_samples_of_a_subclass(
    length: int, seed: int, num_samples: int, batch_size: int
) -> None:
    dataset = Doubled(Pairs(length), num_samples=num_samples, seed=seed)
    loaded = DataLoader(dataset, batch_size=batch_size, collate_fn=list)
    expected = [dataset[index] for index in range(num_samples)]
    assert [sample for batch in loaded for sample in batch] == list(dataset) == expected


@given(length=st.integers(1, 30), seed=seeds(), num_samples=st.integers(1, 90), shuffle=st.booleans())
def test_a_data_set_of_epochs_follows_its_order(length: int, seed: int, num_samples: int, shuffle: bool) -> None:
    dataset = MultiEpochDatasetResampler(Pairs(length), num_samples=num_samples, shuffle=shuffle, seed=seed)
    order = EpochOrder(length=length, seed=seed, num_samples=num_samples, shuffle=shuffle)
    expected = [index_at(order, position)[1:] for position in range(num_samples)]
    assert list(dataset) == dataset.__getitems__(list(range(num_samples))) == expected
    assert (dataset.num_samples, dataset.num_epochs) == (num_samples, -(-num_samples // length))


@given(length=st.integers(1, 30), seed=seeds(), num_samples=st.integers(1, 90))
def test_a_data_set_of_draws_follows_its_order(length: int, seed: int, num_samples: int) -> None:
    dataset = PRNGResampleDataset(range(length), seed, num_samples)
    order = ResampleOrder(length=length, seed=seed)
    expected = [index_at(order, position).idx for position in range(num_samples)]
    assert list(dataset) == dataset.__getitems__(list(range(num_samples))) == expected


@given(
    length=st.integers(1, 9),
    seeds=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    ends=st.tuples(*[st.integers(0, 40)] * 2),
)
def test_first_divergence_returns_the_first_position_that_differs(
    length: int, seeds: tuple[int, int], ends: tuple[int, int]
) -> None:
    one, two = (EpochOrder(length=length, seed=seed, num_samples=end) for seed, end in zip(seeds, ends, strict=True))
    both = range(min(ends))
    differing = [position for position in both if index_at(one, position) != index_at(two, position)]
    expected = differing[0] if differing else (min(ends) if ends[0] != ends[1] else None)
    assert first_divergence(one, two) == first_divergence(two, one) == expected


@given(rows=st.lists(st.integers(), min_size=1, max_size=20), data=st.data())
def test_parts_of_data_sets_hold_the_samples_of_slices_and_lists(rows: list[int], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([list, tuple, lambda rows: np.array(rows, dtype=object)]))
    dataset, length = kind(rows), len(rows)
    number = data.draw(st.integers(0, length))
    assert list(take(dataset, number)) == rows[:number]
    indices = data.draw(st.lists(st.integers(0, length - 1)))
    assert list(filter_idx(dataset, np.array(indices, dtype=np.int64))) == [rows[index] for index in indices]
    mask = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    assert list(filter_idx(dataset, mask)) == [row for row, keep in zip(rows, mask, strict=True) if keep]
    joined = concat(dataset, take(dataset, number), dataset)
    assert list(joined) == rows + rows[:number] + rows
    size, stride = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    expected = [rows[start : start + size] for start in range(0, length - size + 1, stride)]
    assert list(map(list, window(dataset, size, stride=stride))) == expected
    for mapped in (joined, filter_idx(dataset, mask), window(dataset, size)):
        if len(mapped):
            positions = data.draw(st.lists(st.integers(0, len(mapped) - 1)))
            together = [np.asarray(sample).tolist() for sample in mapped.__getitems__(positions)]
            assert together == [np.asarray(mapped[position]).tolist() for position in positions]
