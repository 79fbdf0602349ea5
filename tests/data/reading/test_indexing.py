"""Data sets of all kinds are read by position, or refused."""

import collections
import os
import types
from collections.abc import Mapping

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import ConcatDataset, StackDataset, Subset, TensorDataset

from bionemo.data import (
    EpochIndex,
    EpochOrder,
    IdentityMultiEpochDatasetWrapper,
    LengthGroupedOrder,
    MixtureOrder,
    MultiEpochDatasetResampler,
    Pipeline,
    PRNGResampleDataset,
    SampleIndex,
    Source,
    WeightedOrder,
    batch_at,
    index_at,
    integer_weights,
    padding_fraction,
    sample_at,
)
from bionemo.data.pipeline.transform import position_seeds
from bionemo.data.pipes.nodes import read, sample_indices
from bionemo.data.reading.indexing import by_position, check_by_position, gives_many, is_labelled
from bionemo.data.reading.read import fetch, read_sample

LETTERS = list("abcdefghij")
INDICES = [7, 0, 7, 9, 3]
LABELS = {
    "reversed": range(9, -1, -1),
    "shuffled": [3, 1, 4, 0, 5, 9, 2, 6, 8, 7],
    "filtered": range(100, 110),
    "twice": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    "floats": np.arange(10.0)[::-1],
    "strings": [str(number) for number in range(9, -1, -1)],
    "dates": pd.date_range("2024-01-01", periods=10)[::-1],
    "pairs": pd.MultiIndex.from_product([[1, 0], range(4, -1, -1)]),
}


def make(dataset, **fields) -> Pipeline:
    order = EpochOrder(length=len(dataset), seed=42, num_samples=23)
    return Pipeline(**{"order": order, "sources": dataset, "batch_size": 8, "seed": 7} | fields)


def every_way(dataset, row=lambda sample: sample) -> list[list]:
    """Return samples 0 to 9 of a data set, in order, as each public function reads them."""
    pipeline = make(dataset, sources=Source(dataset))
    order = pipeline.order
    at = [order.index_at(position).idx for position in range(10)]
    wrapped = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper(dataset), shuffle=False)
    draws = PRNGResampleDataset(dataset, num_samples=200)
    drawn_at = index_at(draws.order, range(200)).idx.tolist()
    nodes = read(sample_indices(EpochOrder(length=10, seed=1, num_samples=10, shuffle=False)), Source(dataset))
    ways = [
        fetch(dataset, range(10)),
        fetch(dataset, np.arange(10)),
        [read_sample(Source(dataset), SampleIndex(0, 0, idx)) for idx in range(10)],
        [sample_at(pipeline, at.index(idx)) for idx in range(10)],
        [([*batch_at(pipeline, 0), *batch_at(pipeline, 1)])[at.index(idx)] for idx in range(10)],
        [positioned.sample for positioned in nodes],
        [wrapped[index] for index in range(10)],
        wrapped.__getitems__(list(range(10))),
        [draws[drawn_at.index(idx)] for idx in range(10)],
        [draws.__getitems__(list(range(200)))[drawn_at.index(idx)] for idx in range(10)],
    ]
    return [[row(sample) for sample in way] for way in ways]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_series_is_read_by_position(labels) -> None:
    assert every_way(pd.Series(LETTERS, index=labels)) == [LETTERS] * 10


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_row_of_a_data_frame_is_a_series(labels) -> None:
    frame = pd.DataFrame({"letter": LETTERS, "number": range(10)}, index=labels)
    expected = [{"letter": letter, "number": number} for number, letter in enumerate(LETTERS)]
    assert every_way(frame, row=dict) == [expected] * 10
    assert fetch(frame, []) == []


class OwnSeries(pd.Series):
    @property
    def _constructor(self):
        return OwnSeries


class Encoded(pd.Series):
    """A Series that overrides `[...]`."""

    def __getitem__(self, index):
        return f"<{self.iloc[index]}>"


def test_a_subclass_of_a_series_is_read_by_position_or_by_its_own_getitem() -> None:
    labels = range(9, -1, -1)
    assert every_way(OwnSeries(LETTERS, index=labels)) == [LETTERS] * 10
    assert every_way(Encoded(LETTERS, index=labels)) == [[f"<{letter}>" for letter in LETTERS]] * 10


@pytest.mark.parametrize(
    "dataset",
    [
        pd.Index(LETTERS),
        pd.Categorical(LETTERS),
        pd.array(LETTERS, dtype="string"),
        tuple(LETTERS),
        "".join(LETTERS),
        collections.deque(LETTERS),
        np.array(LETTERS),
        np.ma.array(LETTERS),
        datasets.Dataset.from_dict({"x": LETTERS})["x"],
        Subset(LETTERS, range(10)),
        ConcatDataset([LETTERS[:4], LETTERS[4:]]),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_data_sets_indexed_by_position_are_read_unchanged(dataset) -> None:
    assert every_way(dataset, row=str) == [LETTERS] * 10
    assert by_position(dataset) is dataset
    assert not is_labelled(type(dataset))


@pytest.mark.parametrize("array", [pa.array(LETTERS), pa.chunked_array([LETTERS[:3], LETTERS[3:]])])
def test_arrow_arrays_are_read_unchanged(array) -> None:
    assert every_way(array, row=lambda scalar: scalar.as_py()) == [LETTERS] * 10


class Store(Mapping):
    """A mapping with int keys."""

    def __getitem__(self, key):
        return key

    def __iter__(self):
        return iter(range(10))

    def __len__(self) -> int:
        return 10


TABLE = pa.table({"letter": LETTERS})
BY_KEY = "must be indexed by position, got {} {}, which is indexed by key. Pass list(dataset.values())."
KEYED = [
    (dict(enumerate(LETTERS)), BY_KEY.format("a", "dict")),
    (collections.OrderedDict(a=1), BY_KEY.format("an", "OrderedDict")),
    (collections.defaultdict(list, a=1), BY_KEY.format("a", "defaultdict")),
    (collections.Counter("abc"), BY_KEY.format("a", "Counter")),
    (collections.UserDict(a=1), BY_KEY.format("an", "UserDict")),
    (collections.ChainMap({"a": 1}), BY_KEY.format("a", "ChainMap")),
    (types.MappingProxyType({0: 1}), BY_KEY.format("a", "mappingproxy")),
    (os.environ, BY_KEY.format("an", "_Environ").replace("an _", "a _")),
    (Store(), BY_KEY.format("a", "Store")),
    (torch.nn.ModuleDict({"a": torch.nn.Identity()}), BY_KEY.format("a", "ModuleDict")),
    (torch.nn.ParameterDict({"a": torch.ones(2)}), BY_KEY.format("a", "ParameterDict")),
    (TABLE, "got a Table, which is indexed by column. Pass dataset.to_pylist()."),
    (TABLE.to_batches()[0], "got a RecordBatch, which is indexed by column. Pass dataset.to_pylist()."),
    (
        datasets.DatasetDict(train=datasets.Dataset.from_dict({"x": [1]})),
        'got a DatasetDict, which is indexed by split. Pass one of its splits, e.g. dataset["train"].',
    ),
    (pd.DataFrame({"a": LETTERS}).groupby("a"), "got a DataFrameGroupBy, which is indexed by column. Pass [group for"),
    ({1, 2}, "indexed by position and have a length, got a set, which has no __getitem__. Pass a list of its samples."),
    ({"a": 1}.values(), "got a dict_values, which has no __getitem__"),
    (iter("abc"), "got a str_ascii_iterator, which has no __getitem__"),
    (Subset(pd.Series(LETTERS), [1]), "got a Subset of a Series, which torch reads by label. Pass the data set itself"),
    (ConcatDataset([LETTERS, pd.Series(LETTERS)]), "got a ConcatDataset of a Series, which torch reads by label"),
    (StackDataset(a=LETTERS, b=pd.Series(LETTERS)), "got a StackDataset of a Series, which torch reads by label"),
    (ConcatDataset([{0: "a"}]), "got a dict, which is indexed by key"),
]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(("dataset", "message"), KEYED, ids=[type(dataset).__name__ for dataset, _ in KEYED])
@pytest.mark.parametrize(
    "take",
    [
        check_by_position,
        Source,
        IdentityMultiEpochDatasetWrapper,
        PRNGResampleDataset,
        MultiEpochDatasetResampler,
        make,
    ],
)
def test_data_sets_indexed_by_something_else_are_refused_when_they_are_passed(dataset, message: str, take) -> None:
    if take is make:
        order = EpochOrder(length=10, seed=1)
        take = lambda dataset: Pipeline(order=order, sources=dataset, batch_size=2, seed=3)  # noqa: E731
    with pytest.raises(TypeError) as caught:
        take(dataset)
    assert message in str(caught.value)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_without_a_length_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got a nested tensor, which has none. Pass list\(dataset.unbind\(\)\)"):
        Source(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))


def test_an_epoch_index_is_not_taken_for_a_row_and_a_column() -> None:
    for dataset in (pd.DataFrame(np.eye(3)), pd.Series(LETTERS), np.eye(3), torch.eye(3)):
        name = type(dataset).__name__
        with pytest.raises(TypeError, match=f"indexed by EpochIndex, got an? {name}, which takes it for a row"):
            MultiEpochDatasetResampler(dataset)
        with pytest.raises(ValueError, match=f'index must be "idx" for an array or tensor, .* for {name}'):
            Source(dataset, index="epoch")
        wrapped = IdentityMultiEpochDatasetWrapper(dataset)
        assert np.array_equal(wrapped[EpochIndex(5, 1)], by_position(dataset)[1])


ROWS = [{"x": number, "tokens": list(range(number))} for number in range(10)]


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "pandas", "arrow"])
def test_a_hugging_face_data_set_is_read_unchanged_in_every_format(kind: str | None) -> None:
    dataset = datasets.Dataset.from_list(ROWS).select(range(9, -1, -1)).with_format(kind)
    found = fetch(dataset, INDICES)
    for index, sample in zip(INDICES, found, strict=True):
        expected = dataset[index]
        assert type(sample) is type(expected)
        assert str(sample) == str(expected)
    assert [str(sample) for sample in batch_at(make(dataset), 0)] == [
        str(sample_at(make(dataset), position)) for position in range(8)
    ]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_a_sparse_tensor_is_read_row_by_row(layout: str) -> None:
    dense = torch.arange(30.0).reshape(10, 3)
    sparse = getattr(dense, layout)()
    assert [row.to_dense().tolist() for row in fetch(sparse, INDICES)] == dense[INDICES].tolist()


def test_a_jagged_tensor_is_read_row_by_row() -> None:
    rows = [torch.arange(length) for length in range(1, 11)]
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    assert [row.tolist() for row in fetch(jagged, INDICES)] == [rows[index].tolist() for index in INDICES]


class Doubled(Subset):
    def __init__(self, dataset, indices) -> None:
        self.dataset, self.indices = dataset, indices  # torch 2.13 would refuse it, others read past its method

    def __getitem__(self, index):
        return super().__getitem__(index) * 2


class Many(list):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Overridden(Many):
    def __getitem__(self, index):
        return super().__getitem__(index) * 2


class Alone:
    """A mixin that overrides `[...]` alone."""

    def __getitem__(self, index):
        return super().__getitem__(index) * 2


class Mixed(Alone, Many):
    pass


class Forwarding:
    """A data set that forwards unknown attributes to an inner one."""

    def __init__(self, inner) -> None:
        self.inner = inner

    def __getattr__(self, name: str):
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index] * 2


class Again(Overridden):
    """Overrides both methods."""

    def __getitems__(self, indices):
        return [self[index] for index in indices]


class TensorDoubled(torch.Tensor):
    def __getitem__(self, index):
        return super().__getitem__(index) * 2


class ArrayDoubled(np.ndarray):
    def __getitem__(self, index):
        return int(super().__getitem__(index)) * 2


class HuggingFaceDoubled(datasets.Dataset):
    def __getitem__(self, index):
        return super().__getitem__(index)["x"] * 2


TENS = [10 * number for number in range(10)]
DOUBLED = {
    "subset": Doubled(TENS, range(10)),
    "subclass": Overridden(TENS),
    "mixin": Mixed(TENS),
    "both": Again(TENS),
    "forwarding": Forwarding(Many(TENS)),
    "subset of a subclass": Subset(Overridden(TENS), range(10)),
    "subset of a forwarding one": Subset(Forwarding(Many(TENS)), range(10)),
    "subset of a subset": Subset(Doubled(Many(TENS), range(10)), list(range(10))),
    "tensor": torch.tensor(TENS).as_subclass(TensorDoubled),
    "array": np.array(TENS).view(ArrayDoubled),
    "datasets": HuggingFaceDoubled(datasets.Dataset.from_dict({"x": TENS}).data),
}


@pytest.mark.parametrize("dataset", DOUBLED.values(), ids=DOUBLED)
def test_the_getitem_of_a_more_derived_class_decides_what_a_sample_is(dataset) -> None:
    assert every_way(dataset, row=int) == [[20 * number for number in range(10)]] * 10


def test_the_parts_of_a_stack_are_read_in_the_same_way() -> None:
    expected = [(20 * index, LETTERS[index]) for index in INDICES]
    assert fetch(StackDataset(Overridden(TENS), LETTERS), INDICES) == expected
    named = StackDataset(ten=Forwarding(Many(TENS)), letter=LETTERS)
    assert fetch(named, INDICES) == [{"ten": ten, "letter": letter} for ten, letter in expected]


def test_the_type_decides_whether_many_are_read_at_once() -> None:
    assert gives_many(Many)
    assert gives_many(Subset)
    assert gives_many(Again)
    assert gives_many(datasets.Dataset)
    for kind in (list, Doubled, Overridden, Mixed, Forwarding, TensorDataset, HuggingFaceDoubled):
        assert not gives_many(kind)
    assert not gives_many(type("OptedOut", (Many,), {"__getitems__": None}))
    inner = Many(TENS)
    inner.__getitems__ = lambda indices: ["of the instance"] * len(indices)
    assert fetch(inner, INDICES) == [TENS[index] for index in INDICES]


NUMBERS = [5, 1, 7, 3, 9, 2, 8, 4, 6, 10]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_series_of_numbers_is_read_by_position(labels) -> None:
    series = pd.Series(NUMBERS, index=labels)
    base = EpochOrder(length=10, seed=1, num_samples=20)
    assert WeightedOrder(weights=series, seed=1) == WeightedOrder(weights=NUMBERS, seed=1)
    assert WeightedOrder(weights=series.astype("Float64"), seed=1) == WeightedOrder(weights=NUMBERS, seed=1)
    options = {"order": base, "window_size": 5, "batch_size": 2, "seed": 3}
    assert LengthGroupedOrder(lengths=series, **options) == LengthGroupedOrder(lengths=NUMBERS, **options)
    assert LengthGroupedOrder(lengths=(series,), **options) == LengthGroupedOrder(lengths=NUMBERS, **options)
    assert padding_fraction(base, series, batch_size=2) == padding_fraction(base, NUMBERS, batch_size=2)
    assert integer_weights(series) == integer_weights(NUMBERS)
    orders = tuple(EpochOrder(length=9, seed=seed) for seed in range(10))
    changes = [(5, NUMBERS[::-1])]
    mixture = MixtureOrder(orders=orders, weights=series, changes=[(5, series[::-1])])
    assert mixture == MixtureOrder(orders=orders, weights=NUMBERS, changes=changes)
    assert index_at(base, series).idx.tolist() == index_at(base, NUMBERS).idx.tolist()
    assert torch.equal(position_seeds(1, "row", series), position_seeds(1, "row", NUMBERS))
    assert fetch(list(range(20)), series) == NUMBERS
