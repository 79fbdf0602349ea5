"""Code written for bionemo-core 2.x: subclasses, seeds, attributes and error types that it relies on."""

import dataclasses
import pickle

import attrs
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bionemo.core.data.multi_epoch_dataset import (
    EpochIndex,
    IdentityMultiEpochDatasetWrapper,
    MultiEpochDatasetResampler,
    MultiEpochDatasetWrapper,
)
from bionemo.core.data.permute import permute
from bionemo.core.data.resamplers import PRNGResampleDataset
from bionemo.core.random import fold_in, seed_from_entropy
from bionemo.core.utils.batching_utils import pad_token_ids
from bionemo.data import KenslerOrder, index_at
from bionemo.data.permute import permute as successor


class WithInit(MultiEpochDatasetWrapper[int, int]):
    def __init__(self, dataset, factor):
        self.dataset = dataset
        self.factor = factor
        self.calls = 0

    def apply_transform(self, sample, index):
        self.calls += 1
        return sample * self.factor


class WithSuper(MultiEpochDatasetWrapper[int, int]):
    def __init__(self, dataset, factor):
        super().__init__(dataset)
        self.factor = factor

    def apply_transform(self, sample, index):
        return sample * self.factor


@dataclasses.dataclass
class OfDataclass(MultiEpochDatasetWrapper[int, int]):
    factor: int = 1

    def apply_transform(self, sample, index):
        return sample * self.factor


@attrs.frozen
class OfAttrs(MultiEpochDatasetWrapper[int, int]):
    factor: int = 1

    def apply_transform(self, sample, index):
        return sample * self.factor


class Nested(IdentityMultiEpochDatasetWrapper[int]):
    pass


KINDS = [WithInit, WithSuper, OfDataclass, OfAttrs]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapper_is_subclassed_as_in_2x(kind) -> None:
    rows = [1, 2, 3, 4]
    dataset = MultiEpochDatasetResampler(kind(rows, 10), num_epochs=2, shuffle=False)
    assert list(dataset) == dataset.__getitems__(list(range(8))) == [10, 20, 30, 40] * 2
    assert list(pickle.loads(pickle.dumps(dataset))) == list(dataset)
    assert [row for batch in DataLoader(dataset, batch_size=3) for row in batch.tolist()] == list(dataset)
    assert kind(rows, 10)[EpochIndex(5, 1)] == 20
    assert len(kind(rows, 10)) == 4
    assert kind(rows, 10) == kind(rows, 10)
    assert kind(rows, 10) != kind(rows, 11)
    assert kind(rows, 10) != kind([0], 10)


def test_keywords_and_changes_of_a_dataclass_work() -> None:
    wrapper = OfDataclass(dataset=[1, 2], factor=3)
    assert dataclasses.replace(wrapper, factor=4)[EpochIndex(0, 1)] == 8
    assert [field.name for field in dataclasses.fields(wrapper)] == ["dataset", "factor"]
    assert attrs.evolve(OfAttrs([1, 2], 3), factor=4)[EpochIndex(0, 1)] == 8
    assert Nested([1, 2])[EpochIndex(0, 1)] == 2
    rows = [1, 2]
    assert hash(WithInit(rows, 3)) == hash(WithInit(rows, 3)) != hash(WithInit([1, 2], 3))


def test_one_type_parameter_is_that_of_the_samples_before() -> None:
    assert MultiEpochDatasetWrapper[int].__args__[0] is MultiEpochDatasetWrapper[int, str].__args__[0] is int


class OwnResampler(MultiEpochDatasetResampler):
    def __init__(self, dataset):
        super().__init__(dataset, num_epochs=2)
        self.seen = []

    def __getitem__(self, index):
        self.seen.append(index)
        return super().__getitem__(index)


class OwnDraws(PRNGResampleDataset):
    def __init__(self, dataset):
        super().__init__(dataset, seed=3, num_samples=5)
        self.name = "mine"


def test_a_resampler_is_subclassed_with_attributes_of_its_own_and_keeps_its_fields() -> None:
    rows = IdentityMultiEpochDatasetWrapper("abc")
    dataset = OwnResampler(rows)
    assert list(dataset) == list(MultiEpochDatasetResampler(rows, num_epochs=2))
    assert dataset.seen == list(range(6))
    assert list(OwnDraws("abc")) == list(PRNGResampleDataset("abc", seed=3, num_samples=5))
    for record, name in ((dataset, "seed"), (OwnDraws("abc"), "dataset")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(record, name, 1)


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1, 2**63, 2**70, 10**100, np.uint64(2**64 - 1)])
def test_seeds_of_any_size_are_taken(seed: int) -> None:
    rows = IdentityMultiEpochDatasetWrapper(range(100))
    made = MultiEpochDatasetResampler(rows, seed=seed)
    assert made.seed == seed
    assert list(made) == list(MultiEpochDatasetResampler(rows, seed=seed))
    assert list(made) == list(MultiEpochDatasetResampler(rows, seed=seed_from_entropy(seed)))
    assert list(made) != list(MultiEpochDatasetResampler(rows, seed=seed + 1 if seed < 2**64 - 1 else int(seed) + 1))
    drawn = PRNGResampleDataset(range(100), seed=seed)
    assert list(drawn) == list(PRNGResampleDataset(range(100), seed=seed_from_entropy(seed)))
    assert permute(3, 100, seed) == successor(3, 100, seed_from_entropy(seed))


def test_no_seed_draws_one_that_repeats_the_run() -> None:
    rows = IdentityMultiEpochDatasetWrapper(range(1000))
    for make in (
        lambda seed: MultiEpochDatasetResampler(rows, seed=seed),
        lambda seed: PRNGResampleDataset(range(1000), seed=seed),
    ):
        first, second = make(None), make(None)
        assert list(first) != list(second)
        assert list(make(first.seed)) == list(first)
    assert 0 <= seed_from_entropy(None) < 2**63


def test_a_larger_seed_is_folded_as_numpys_seed_sequence_does() -> None:
    for entropy in (2**63, 2**70, 10**100):
        state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        assert seed_from_entropy(entropy) == int(state[0]) // 2


def test_the_attributes_of_2x_are_readable() -> None:
    rows = IdentityMultiEpochDatasetWrapper("abcde")
    dataset = MultiEpochDatasetResampler(rows, num_samples=12, seed=9)
    assert (dataset.dataset, dataset.seed, dataset.shuffle, dataset.num_epochs, dataset.num_samples) == (
        *(rows, 9, True),
        *(3, 12),
    )
    assert dataset.epoch_seeds.tolist() == [fold_in(9, "epoch", epoch) for epoch in range(3)]
    assert dataset.epoch_seeds.dtype == np.int64


def test_the_order_of_2x_is_read_by_its_name() -> None:
    rows = IdentityMultiEpochDatasetWrapper(range(10))
    dataset = MultiEpochDatasetResampler(rows, num_epochs=2, permutation="kensler")
    assert list(dataset) == [8, 9, 7, 5, 4, 6, 2, 0, 3, 1, 5, 3, 1, 6, 4, 9, 7, 0, 8, 2]
    assert repr(dataset).endswith("shuffle=True, seed=42, permutation='kensler')")
    assert dataset.order == KenslerOrder(length=10, seed=42, num_samples=20)
    assert dataset.epoch_seeds.tolist() == [191664963, 1662057957]
    huge = MultiEpochDatasetResampler(rows, seed=2**70, permutation="kensler")
    assert huge.epoch_seeds.tolist() == [1364144169], "the seed itself, not folded"
    plain = MultiEpochDatasetResampler(rows, shuffle=False, permutation="kensler")
    assert list(plain) == list(range(10))
    assert (
        list(MultiEpochDatasetResampler(rows))
        == index_at(MultiEpochDatasetResampler(rows).order, range(10)).idx.tolist()
    )


def test_an_index_out_of_range_names_the_data_set() -> None:
    with pytest.raises(IndexError, match=r"^Index 6 out of bounds for dataset of length 6: position must be in 0\.\.5"):
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), num_epochs=2)[6]


@pytest.mark.usefixtures("no_type_checks")
def test_an_unknown_permutation_is_refused() -> None:
    with pytest.raises(ValueError, match="permutation must be 'feistel' or 'kensler', got permutation='pcg'"):
        MultiEpochDatasetResampler(IdentityMultiEpochDatasetWrapper("abc"), permutation="pcg")


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("index", [5, -1, 10**30, np.int64(5)])
def test_an_index_out_of_range_is_an_error_of_both_types(index: int) -> None:
    for error in (IndexError, ValueError):
        with pytest.raises(error, match=rf"index to permute must be in the range.*got index={index} and length=5"):
            permute(index, 5, 42)
    with pytest.raises(ValueError, match="must be greater than 1 .*got length=1"):
        permute(0, 1, 42)
    with pytest.raises(ValueError, match="seed must be greater than or equal to 0, got seed=-1"):
        permute(0, 5, -1)
    assert sorted(permute(i, 5, 42) for i in range(5)) == list(range(5))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("make", [MultiEpochDatasetResampler, PRNGResampleDataset])
def test_wrong_seeds_are_refused(make) -> None:
    rows = IdentityMultiEpochDatasetWrapper("abc")
    with pytest.raises(ValueError, match="seed must be at least 0, got seed=-1"):
        make(rows if make is MultiEpochDatasetResampler else "abc", seed=-1)
    for seed in ("a", 1.5, [1, 2], True):
        with pytest.raises(TypeError, match="seed must be an integer, got seed="):
            make(rows if make is MultiEpochDatasetResampler else "abc", seed=seed)


def test_options_of_tensor_to_are_taken_when_rows_are_padded() -> None:
    expected = pad_token_ids([[1, 2, 3], [4]], dtype=torch.int32)
    for options in ({"non_blocking": True}, {"copy": True}, {"device": "cpu", "non_blocking": True, "copy": False}):
        ids, mask = pad_token_ids([[1, 2, 3], [4]], dtype=torch.int32, **options)
        assert torch.equal(ids, expected[0])
        assert torch.equal(mask, expected[1])
        assert mask.dtype == torch.bool, "also with a dtype"
