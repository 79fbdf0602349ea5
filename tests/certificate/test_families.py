"""The battery finds shuffles with known defects, and the families are what their names say."""

from functools import partial

import numpy as np
import pytest

from benchmarks.certificate.p_values import alarms, goodness, independence
from benchmarks.certificate.permutations import levanter
from benchmarks.certificate.permutations.battery import battery, folded, random_permutations
from benchmarks.certificate.permutations.counts import lost, missing_bytes, reached
from benchmarks.certificate.permutations.families import (
    added,
    by_randperm,
    equal,
    one_by_one,
    permutes,
    shuffles,
    up_to,
)
from bionemo.data import EpochOrder, index_at
from bionemo.data.permute import permute

SMALL = 3 * 2**13


def identity(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    return np.broadcast_to(indices, (len(seeds), len(indices)))


def rotations(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    return (indices + np.random.default_rng(1).integers(length, size=(len(seeds), 1))) % length


def even_first(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    """The lowest bit of every output is that of its index: random otherwise, as a generator's linear low bit."""
    halves = random_permutations(np.arange(length // 2), length // 2, seeds)
    others = random_permutations(np.arange(length // 2), length // 2, seeds + 1)
    return np.stack([2 * halves, 2 * others + 1], axis=2).reshape(len(seeds), length)[:, indices]


@pytest.mark.parametrize("length", [5, 32])
def test_the_control_and_ours_raise_no_alarm(length: int) -> None:
    for family in (random_permutations, permutes):
        assert not alarms(battery(family, [length], size=SMALL))


@pytest.mark.parametrize("family", [identity, rotations, even_first, levanter.linear, levanter.feistel])
def test_known_defects_are_found(family) -> None:
    assert alarms(battery(family, [32], size=SMALL))


@pytest.mark.parametrize(
    ("seeds_of", "group"), [(added, "epoch of the next seed"), (equal, "next epoch"), (folded, None)]
)
def test_how_epochs_are_seeded_is_judged_with_the_best_of_shuffles(seeds_of, group: str | None) -> None:
    found = alarms(battery(by_randperm, [32], size=SMALL, seeds_of=seeds_of))
    assert {name.partition(": ")[2].partition(",")[0] for name in found} == ({group} if group else set())


def test_a_family_without_epochs_is_not_tested_for_them() -> None:
    with_epochs = battery(permutes, [5], size=SMALL)
    without = battery(permutes, [5], size=SMALL, seeds_of=None)
    assert without == {name: p for name, p in with_epochs.items() if "epoch" not in name}
    assert len(without) < len(with_epochs)


def test_the_epochs_of_permute_are_those_of_an_epoch_order() -> None:
    seeds = np.arange(3)
    for epoch in range(3):
        expected = [
            index_at(EpochOrder(length=10, seed=seed), range(10 * epoch, 10 * epoch + 10)).idx for seed in seeds
        ]
        assert np.array_equal(permutes(np.arange(10), 10, folded(seeds, epoch)), expected)


def test_functions_of_one_index_and_many_seeds_at_once_agree() -> None:
    indices, seeds = np.array([0, 5, 99]), np.array([0, 7, 2**62])
    assert np.array_equal(permutes(indices, 100, seeds), one_by_one(indices, 100, seeds, function=permute))


@pytest.mark.parametrize("length", [2, 3, 7, 8, 9, 100, 1024, 1025])
@pytest.mark.parametrize("family", [levanter.linear, levanter.feistel])
def test_the_constructions_of_levanter_are_bijections(family, length: int) -> None:
    outputs = family(np.arange(length), length, np.arange(5))
    assert (np.sort(outputs, axis=1) == np.arange(length)).all()
    some = np.array([0, length - 1])
    assert np.array_equal(family(some, length, np.arange(5)), outputs[:, some])


def test_low_bits_of_the_feistel_network_are_linear() -> None:
    """The outputs of four indices whose bits add up to 0 have low bits that add up to 0, for every seed."""
    outputs = levanter.feistel(np.array([3, 3 ^ 64, 3 ^ 256, 3 ^ 64 ^ 256]), 1024, np.arange(100))
    assert (np.bitwise_xor.reduce(outputs, axis=1) & 1 == 0).all()


def test_lost_samples_are_counted() -> None:
    assert lost(permutes, 1000) == lost(permutes, 2**40) == 0
    assert lost(lambda indices, length, seeds: np.minimum(indices, length - 2)[None], 1000) == 1
    assert lost(lambda indices, length, seeds: (indices + 1)[None], 1000) == 1


def test_low_bytes_that_never_come_are_counted() -> None:
    assert missing_bytes(permutes, 2**40 + 15) == missing_bytes(levanter.feistel, 2**32) == 0
    assert missing_bytes(lambda indices, length, seeds: 2 * permutes(indices, length // 2, seeds), 2**40) == 128


def test_torch_uses_the_low_32_bits_of_a_seed() -> None:
    assert np.array_equal(*by_randperm(np.arange(100), 100, np.array([1, 2**32 + 1])))


def test_orders_are_counted() -> None:
    assert reached(permutes, 3, 200) == 6
    assert reached(identity, 3, 200) == 1


def test_pairs_of_outcomes_are_judged() -> None:
    rng, even = np.random.default_rng(1), np.full(4, 0.25)
    first, second = rng.integers(4, size=(2, 10_000))
    assert independence(first, second, even) > 1e-4
    assert independence(first, (first + (second < 1)) % 4, even) < 1e-10
    assert goodness(np.array([3, 0]), np.array([1.0, 0.0])) == 1.0
    assert goodness(np.array([3, 1]), np.array([1.0, 0.0])) == 0.0


def test_every_family_is_listed_once_and_ours_are_marked() -> None:
    found = shuffles()
    assert len({shuffle.name for shuffle in found}) == len(found)
    assert [shuffle.name for shuffle in found if shuffle.ours] == ["permute", "EpochOrder", "BlockShuffleOrder"]
    orders = [shuffle for shuffle in found if isinstance(shuffle.family, partial) and shuffle.ours]
    for shuffle in orders:
        outputs = shuffle.family(np.arange(100), 100, np.array([0, 5]))
        assert (np.sort(outputs, axis=1) == np.arange(100)).all()
        assert not np.array_equal(*outputs)
    assert max(up_to(100)) == 100
