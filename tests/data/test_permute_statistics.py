"""Statistics of the permutation: it passes the battery, as random permutations do; two weaker ones fail."""

import math

import numpy as np
import pytest
import torch

from benchmarks.certificate.p_values import FALSE_ALARM, alarms
from benchmarks.certificate.permutations.battery import battery, random_permutations
from benchmarks.certificate.permutations.exact import distances, orders
from bionemo.core.random.hashing import fold_in
from bionemo.data.permute import Plan, geometry, make_keys, num_rounds, permute, permute_kernel


def make_plan(length: int, seeds: np.ndarray) -> Plan:
    return Plan(geometry(length), make_keys(num_rounds(length), seeds))


def ours(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    return permute_kernel(indices, make_plan(length, seeds[:, None]))


def of_four_rounds(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    plan = make_plan(length, seeds[:, None])
    return permute_kernel(indices, plan._replace(keys=plan.keys[:2]))


def linear_congruential(indices: np.ndarray, length: int, seeds: np.ndarray) -> np.ndarray:
    """Return (a * index + c) % length, where a has no factor in common with the length."""
    a, c = (fold_in(torch.from_numpy(seeds), part).numpy()[:, None] % length for part in ("a", "c"))
    while (shared := np.gcd(a, length) != 1).any():
        a[shared] = (a[shared] + 1) % length
    return ((a.astype(object) * indices + c) % length).astype(np.int64)


def test_one_plan_may_hold_the_keys_of_many_seeds() -> None:
    indices = np.arange(10)
    expected = [[permute(index, 10, seed) for index in range(10)] for seed in range(3)]
    assert ours(indices, 10, np.arange(3)).tolist() == expected


def test_both_orders_of_two_elements_are_equally_frequent() -> None:
    assert orders(ours, 2, mean=10_000)["orders"] > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize("family", [ours, random_permutations])
def test_our_and_random_permutations_pass_the_battery(family) -> None:
    assert not alarms(battery(family))


@pytest.mark.parametrize("length", [3, 5, 6, 8, 9, 16, 33, 64, 257, 1024, 2**16 + 1, 2**20 + 7, 2**40 + 15])
def test_a_network_of_four_rounds_fails_the_battery(length: int) -> None:
    assert min(battery(of_four_rounds, [length]).values()) < 1e-12


@pytest.mark.parametrize("length", [5, 8, 17, 64, 1000, 1024, 2**16 + 1, 2**62])
def test_a_linear_congruential_permutation_fails_the_battery(length: int) -> None:
    assert min(battery(linear_congruential, [length], size=2**18).values()) < 1e-12


# Larger samples for the tests that a network with too few rounds fails first: eleven tests. --------------------------


@pytest.mark.slow
@pytest.mark.parametrize("length", [7, 8])
def test_all_orders_of_a_short_range_are_equally_frequent(length: int) -> None:
    assert orders(ours, length, mean=50)["orders"] > FALSE_ALARM / 11


@pytest.mark.slow
@pytest.mark.parametrize("length", [16, 33, 63, 64, 129, 513, 1023, 1024, 1025])
def test_all_distances_between_neighbours_are_equally_frequent(length: int) -> None:
    num, counts = math.ceil(10**8 / (length - 1)), np.zeros(length)
    for seeds in np.array_split(np.arange(num), 100):
        apart = np.diff(ours(np.arange(length), length, seeds)) % length
        counts += np.bincount(apart.ravel(), minlength=length)
    assert distances(counts[1:], length, 1, num) > FALSE_ALARM / 11
