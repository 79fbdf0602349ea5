"""The tests of draws, cluster members and masks find known defects, and no others."""

import numpy as np
import pytest

from benchmarks.certificate.draws import clusters, masks, uniform, weighted
from benchmarks.certificate.p_values import alarms

FEW = {"num": 2**12, "num_seeds": 2**7}


def of_draws(results: dict[str, float]) -> set[str]:
    """Return the tests that fail, without their lengths."""
    return {test.partition(": ")[2].split(",")[0] for test in alarms(results)}


def test_draws_with_replacement_raise_no_alarm() -> None:
    for draws in (uniform.by_order, uniform.by_numpy):
        assert not alarms(uniform.battery(draws, **FEW))


def alternating(length: int, seed: int, num: int) -> np.ndarray:
    """Draw with a low bit that alternates, as a linear congruential generator's."""
    drawn = np.random.default_rng(seed).integers(length // 2, size=num)
    return 2 * drawn + (np.arange(num) + seed) % 2


def counted(length: int, seed: int, num: int) -> np.ndarray:
    return (np.random.default_rng(seed).integers(length) + np.arange(num)) % length


@pytest.mark.parametrize(
    ("draws", "found"),
    [
        (alternating, "draws 1 apart"),
        (counted, "draws 1 apart"),
        (lambda length, seed, num: np.random.default_rng(3).integers(length, size=num), "draws of the next seed"),
        (lambda length, seed, num: np.random.default_rng(seed).binomial(length - 1, 0.5, num), "each sample"),
    ],
    ids=["alternating", "counted", "the same for every seed", "not uniform"],
)
def test_known_defects_of_draws_are_found(draws, found: str) -> None:
    assert found in of_draws(uniform.battery(draws, **FEW))


def test_too_few_equal_draws_are_found() -> None:
    assert uniform.equal_draws(np.arange(2**14), 2**20) < 1e-10
    assert uniform.equal_draws(uniform.by_numpy(2**20, 1, 2**14), 2**20) > 1e-4


def test_weighted_draws_raise_no_alarm_unless_the_weights_are_others() -> None:
    assert not alarms(weighted.battery(weighted.by_order, **FEW))
    assert not alarms(weighted.battery(weighted.by_numpy, **FEW))
    found = weighted.battery(lambda weights, seed, num: weighted.by_numpy(weights**1.3, seed, num), **FEW)
    assert "each sample" in of_draws(found)


def test_weighted_draws_without_replacement_are_compared_with_the_exact_probabilities() -> None:
    assert not alarms(weighted.epoch_battery(weighted.epochs_by_order, num=500))
    evenly = np.random.default_rng(1).permuted(np.tile(np.arange(4), (1000, 1)), axis=1)
    assert alarms(weighted.epoch_battery(lambda seed, num: evenly))
    assert alarms(weighted.epoch_battery(lambda seed, num: np.zeros((1000, 4), dtype=np.int64)))


def test_members_of_clusters_raise_no_alarm_unless_they_are_drawn_at_random() -> None:
    for draws in (clusters.by_order, clusters.by_numpy):
        assert not alarms(clusters.battery(draws, num_rounds=1000))
        assert clusters.repeated(draws, num_rounds=50) == 0
    assert "members in turn" in of_draws(clusters.battery(clusters.at_random, num_rounds=1000))
    assert 0.3 < clusters.repeated(clusters.at_random, num_rounds=100) < 0.4


def same_every_round(size: int, num_clusters: int, num_epochs: int, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(size), (num_clusters, 1)), axis=1).T
    return np.tile(order, (-(-num_epochs // size), 1))[:num_epochs]


def test_an_order_of_members_that_stays_the_same_is_found() -> None:
    found = of_draws(clusters.battery(same_every_round, num_rounds=1000))
    assert {"first member of a round", "first members of the next round"} <= found
    assert "members in turn" not in found


def masks_with(**repeats: bool) -> masks.Masks:
    """Return NumPy's masks, but equal ones on every rank or in every epoch."""
    drawn = masks.by_numpy(42)
    if repeats.get("ranks"):
        drawn.chosen[:, 1] = drawn.chosen[:, 0]
    if repeats.get("epochs"):
        drawn.chosen[1] = drawn.chosen[0]
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("draws", [masks.by_pipeline, masks.by_numpy])
def test_masks_raise_no_alarm(draws) -> None:
    assert not alarms(masks.battery(draws))


@pytest.mark.parametrize(("fault", "test"), [("ranks", "chosen in two ranks"), ("epochs", "chosen in two epochs")])
def test_equal_masks_on_every_rank_or_in_every_epoch_are_found(fault: str, test: str) -> None:
    pair = {42: masks_with(**{fault: True}), 43: masks.by_numpy(43)}
    assert set(alarms(masks.battery(pair.__getitem__))) == {test}


def test_wrong_fractions_of_masks_are_found() -> None:
    pair = {seed: masks.by_numpy(seed) for seed in (42, 43)}
    pair[42].ids[pair[42].chosen == 1] = masks.MASK_ID
    assert "what chosen tokens become" in alarms(masks.battery(pair.__getitem__))
