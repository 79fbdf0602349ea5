"""Tests of data sets over orders: epochs, transforms that depend on the epoch, and draws with replacement."""

import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from bionemo.core.random import make_generator
from bionemo.data import (
    EpochIndex,
    EpochOrder,
    IdentityMultiEpochDatasetWrapper,
    MultiEpochDataset,
    MultiEpochDatasetResampler,
    MultiEpochDatasetWrapper,
    PRNGResampleDataset,
    SizedDataset,
    index_at,
    to_json,
)
from bionemo.data.reading.read import fetch

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch warns on machines with one core


class Letters:
    """A data set with `__getitems__` that records its calls."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls: list[list] = []

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, index):
        return self.text[index]

    def __getitems__(self, indices):
        self.calls.append(indices)
        return [self.text[index] for index in indices]


class Jittered(MultiEpochDatasetWrapper[float]):
    """A transform that draws from a generator seeded by the epoch and the index."""

    def apply_transform(self, sample, index):
        return sample + float(torch.rand((), generator=make_generator(7, index.epoch, index.idx)))


def both(text: Any = "abcde", **fields) -> list:
    """Return a data set of each class over the same letters."""
    return [
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper(text), **fields),
        PRNGResampleDataset(text, **fields),
    ]


def test_known_values_do_not_change() -> None:
    epochs = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abcde"), num_epochs=3)
    assert "".join(epochs) == "ebcdabdeacbadce"


def test_each_epoch_has_every_sample_once_in_the_order_of_an_epoch_order() -> None:
    dataset = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abcde"), num_epochs=3, seed=9)
    samples = list(dataset)
    assert [sorted(samples[start : start + 5]) for start in (0, 5, 10)] == [list("abcde")] * 3
    assert samples == ["abcde"[index_at(EpochOrder(length=5, seed=9), position).idx] for position in range(15)]
    assert "".join(MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), shuffle=False)) == "abc"


@pytest.mark.parametrize(
    ("fields", "num_epochs", "num_samples"),
    [({}, 1, 5), ({"num_epochs": 3}, 3, 15), ({"num_samples": 12}, 3, 12), ({"num_samples": 15}, 3, 15)],
)
def test_num_epochs_and_num_samples_are_both_available_as_attributes(
    fields: dict, num_epochs: int, num_samples: int
) -> None:
    dataset = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abcde"), **fields)
    assert (dataset.num_epochs, dataset.num_samples, len(dataset)) == (num_epochs, num_samples, num_samples)
    assert len(PRNGResampleDataset("abcde")) == 5


def test_a_transform_receives_the_epoch() -> None:
    dataset = MultiEpochDatasetResampler(Jittered([0.0, 10.0, 20.0]), num_epochs=2, shuffle=False)
    samples = list(dataset)
    assert [int(sample) // 10 for sample in samples] == [0, 1, 2] * 2
    assert len(set(samples)) == 6
    assert dataset[4] == samples[4]
    with pytest.raises(TypeError, match="abstract"):
        MultiEpochDatasetWrapper("abc")


@pytest.mark.parametrize("dataset", both(num_samples=12))
def test_iteration_ends_and_out_of_range_indices_are_refused(dataset) -> None:
    assert len(list(dataset)) == 12
    for index in (12, -1, 10**30, np.int64(12)):
        with pytest.raises(IndexError, match=rf"position must be in 0\.\.11, got position={index}"):
            dataset[index]
    with pytest.raises(IndexError, match="got position=12"):
        dataset.__getitems__([0, 12])
    assert dataset[np.int64(3)] == dataset[3]


def test_an_index_error_of_the_inner_data_set_does_not_end_iteration() -> None:
    class Broken(Letters):
        def __getitem__(self, index):
            raise IndexError("no such record")

    for dataset in both(Broken("abc")):
        with pytest.raises(IndexError, match="no such record"):
            list(dataset)


def test_many_samples_are_read_by_one_call_if_the_data_set_has_getitems() -> None:
    letters = Letters("abcde")
    plain = both("abcde", num_samples=50)
    fetching = [
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper(letters), num_samples=50),
        PRNGResampleDataset(letters, num_samples=50),
    ]
    for one, other in zip(plain, fetching, strict=True):
        expected = [one[index] for index in range(50)]
        assert one.__getitems__(list(range(50))) == other.__getitems__(list(range(50))) == expected
    assert [len(call) for call in letters.calls] == [50, 50]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("dataset", both(num_samples=23))
def test_a_data_loader_reads_the_same_samples_with_any_number_of_workers(dataset, num_workers: int) -> None:
    batches = DataLoader(
        dataset, batch_size=4, num_workers=num_workers, multiprocessing_context="fork" if num_workers else None
    )
    assert [letter for batch in batches for letter in batch] == list(dataset)


def test_threads_read_the_same_samples_in_any_order() -> None:
    for dataset in both("abcdefghij", num_samples=200):
        expected = list(dataset)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(dataset.__getitem__, reversed(range(200)))) == expected[::-1]


def test_the_data_sets_are_frozen_records_and_torch_data_sets() -> None:
    for dataset in both("abcde", seed=3):
        assert isinstance(dataset, Dataset)
        assert isinstance(dataset, SizedDataset)
        copy = pickle.loads(pickle.dumps(dataset))
        assert list(copy) == list(dataset)
        assert attrs.evolve(dataset) == dataset
        assert hash(attrs.evolve(dataset)) == hash(dataset)
        assert attrs.evolve(dataset, seed=4) != dataset
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            dataset.seed = 4
    assert isinstance(IdentityMultiEpochDatasetWrapper("abc"), MultiEpochDataset)
    assert repr(PRNGResampleDataset("abc")) == "PRNGResampleDataset(dataset=str of 3, seed=42, num_samples=3)"


@pytest.mark.parametrize("rows", [list(range(10**6)), ["x" * 10**6] * 100, torch.arange(10**6), np.zeros((10**5, 50))])
def test_the_repr_of_every_data_set_is_one_short_line(rows) -> None:
    wrapper = IdentityMultiEpochDatasetWrapper(rows)
    for dataset in (wrapper, PRNGResampleDataset(rows), MultiEpochDatasetResampler(wrapper)):
        assert len(repr(dataset)) < 140
        assert "\n" not in repr(dataset)
        assert f" of {len(rows)}" in repr(dataset)
    assert repr(WithField(wrapper, factor=3)).startswith("WithField(dataset=IdentityMultiEpochDatasetWrapper of")
    assert repr(Transformed(rows)) == f"Transformed(dataset={type(rows).__name__} of {len(rows)})"


def test_a_bool_of_numpy_is_a_bool() -> None:
    dataset, order = IdentityMultiEpochDatasetWrapper("abcde"), EpochOrder(length=5, seed=1)
    for shuffle in (np.bool_(True), np.array([False, True])[0]):
        assert attrs.evolve(order, shuffle=shuffle).shuffle is bool(shuffle)
        assert attrs.evolve(order, shuffle=shuffle) == attrs.evolve(order, shuffle=bool(shuffle))
        assert to_json(attrs.evolve(order, shuffle=shuffle)) == to_json(attrs.evolve(order, shuffle=bool(shuffle)))
        assert MultiEpochDatasetResampler(dataset, shuffle=shuffle).shuffle is bool(shuffle)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("shuffle", [1, 0, np.int64(1), "yes", None, np.array([True]), torch.tensor(True)])
def test_what_is_no_bool_is_refused(shuffle: object) -> None:
    with pytest.raises(TypeError, match="shuffle must be True or False, got shuffle="):
        EpochOrder(length=5, seed=1, shuffle=shuffle)
    with pytest.raises(TypeError, match="shuffle must be True or False, got shuffle="):
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), shuffle=shuffle)


@pytest.mark.parametrize("number", [0, np.int64(0), -1])
def test_a_data_set_without_samples_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=rf"num_samples must be in 1\.\..*got num_samples={number}"):
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), num_samples=number)
    with pytest.raises(ValueError, match=rf"num_samples must be in 1\.\..*got num_samples={number}"):
        PRNGResampleDataset("abc", num_samples=number)


def test_the_arguments_have_the_names_and_the_order_of_2x() -> None:
    rows = IdentityMultiEpochDatasetWrapper("abcde")
    *of_2x, permutation = inspect.signature(MultiEpochDatasetResampler).parameters.values()
    assert [parameter.name for parameter in of_2x] == ["dataset", "num_epochs", "num_samples", "shuffle", "seed"]
    assert permutation.kind == inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(PRNGResampleDataset).parameters) == ["dataset", "seed", "num_samples"]
    assert list(inspect.signature(MultiEpochDatasetWrapper).parameters) == ["dataset"]
    assert MultiEpochDatasetResampler(rows, 2, None, False, 7) == MultiEpochDatasetResampler(
        dataset=rows, num_epochs=2, shuffle=False, seed=7
    )
    assert PRNGResampleDataset("abcde", 7, 3).num_samples == 3


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"num_epochs": 2, "num_samples": 3},
            ValueError,
            "^Only one of num_epochs and num_samples should be provided.$",
        ),
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got num_epochs=0"),
        ({"num_samples": -1}, ValueError, "got num_samples=-1"),
        ({"num_epochs": 2**62}, ValueError, "num_samples must be in .*got num_samples=13835058055282163712"),
        ({"seed": -1}, ValueError, "got seed=-1"),
        ({"num_epochs": 1.5}, TypeError, "num_epochs must be an integer, got num_epochs=1.5"),
        ({"dataset": IdentityMultiEpochDatasetWrapper("")}, ValueError, "at least one sample, got len\\(dataset\\)=0"),
    ],
)
def test_invalid_fields_are_named(fields: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MultiEpochDatasetResampler(**{"dataset": IdentityMultiEpochDatasetWrapper("abc")} | fields)


def test_an_epoch_index_is_a_pair() -> None:
    assert EpochIndex(epoch=1, idx=2) == (1, 2)


def test_attrs_evolve_recomputes_the_number_of_samples() -> None:
    dataset = MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), num_epochs=2)
    longer = attrs.evolve(dataset, dataset=IdentityMultiEpochDatasetWrapper("abcde"), seed=3)
    assert (longer.num_epochs, longer.num_samples) == (2, 10)
    assert attrs.evolve(PRNGResampleDataset("abc"), dataset="abcde").num_samples == 5


def test_records_are_equal_only_if_they_hold_the_same_data_set_object() -> None:
    for make in (PRNGResampleDataset, MultiEpochDatasetResampler, IdentityMultiEpochDatasetWrapper):
        one, other = [[1, 2]], [[1, 2]]
        assert make(one[0]) == make(one[0]) != make(other[0])


class HundredfoldMixin:
    """A mixin that overrides only `__getitem__`."""

    def __getitem__(self, index):
        return super().__getitem__(index) * 100


class Resampled(MultiEpochDatasetResampler):
    def __getitem__(self, index):
        return super().__getitem__(index) * 100


class Mixed(HundredfoldMixin, MultiEpochDatasetResampler):
    pass


@attrs.frozen
class WithField(MultiEpochDatasetResampler):
    factor: int = 100

    def __getitem__(self, index):
        return super().__getitem__(index) * self.factor


class Further(Resampled):
    """Overrides `__getitems__` by calling that of its base, which overrides `__getitem__`."""

    def __getitems__(self, indices):
        return super().__getitems__(indices)


class ManyAtOnce(MultiEpochDatasetResampler):
    """Overrides both methods; `__getitems__` calls that of the base."""

    def __getitem__(self, index):
        return super().__getitem__(index) * 100

    def __getitems__(self, indices):
        return [sample * 100 for sample in super().__getitems__(indices)]


class Drawn(PRNGResampleDataset):
    def __getitem__(self, index):
        return super().__getitem__(index) * 100


class Wrapped(IdentityMultiEpochDatasetWrapper):
    def __getitem__(self, index):
        return super().__getitem__(index) * 100


class Transformed(IdentityMultiEpochDatasetWrapper):
    def apply_transform(self, sample, index):
        return sample * 100


def overriding() -> dict[str, Dataset]:
    """Return data sets of subclasses whose samples are those of their base, times a hundred."""
    numbers = list(range(10))
    identity = IdentityMultiEpochDatasetWrapper(numbers)
    kinds = (Resampled, Mixed, WithField, Further, ManyAtOnce)
    return {kind.__name__: kind(identity, num_epochs=2) for kind in kinds} | {
        "Drawn": Drawn(numbers, num_samples=20),
        "Wrapped": MultiEpochDatasetResampler(Wrapped(numbers), num_epochs=2),
        "Transformed": MultiEpochDatasetResampler(Transformed(numbers), num_epochs=2),
        "Subset": Subset(Resampled(identity, num_epochs=2), range(20)),
    }


@pytest.mark.parametrize("name", overriding())
@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_way_of_reading_uses_the_overrides_of_a_subclass(name: str, num_workers: int) -> None:
    dataset = overriding()[name]
    plain = Drawn.__mro__[1] if name == "Drawn" else MultiEpochDatasetResampler
    inner = list(range(10)) if name == "Drawn" else IdentityMultiEpochDatasetWrapper(list(range(10)))
    expected = [100 * sample for sample in plain(inner, num_samples=20)]
    batches = DataLoader(
        dataset, batch_size=4, num_workers=num_workers, multiprocessing_context="fork" if num_workers else None
    )
    assert [int(sample) for batch in batches for sample in batch] == expected
    assert [dataset[index] for index in range(20)] == dataset.__getitems__(list(range(20))) == expected
    assert fetch(dataset, np.arange(20)) == expected
    assert name == "Subset" or list(dataset) == expected
