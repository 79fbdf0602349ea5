"""Weighted draws: `WeightedOrder` and `WeightedEpochOrder` beside exact probabilities, a control, and torch."""

from collections.abc import Callable, Iterator
from itertools import permutations
from math import prod
from typing import Final

import numpy as np
import torch

from benchmarks.certificate.draws.uniform import Sampler
from benchmarks.certificate.p_values import Array, Results, goodness, independence
from bionemo.data import WeightedEpochOrder, WeightedOrder, index_at

WEIGHTS: Final = {
    "six with zeros": np.array([0.1, 5, 0, 1, 2, 0]),
    "1 to 59": np.arange(1.0, 60),
    "one of a thousand times the weight": np.append(np.full(50, 1e-3), 1.0),
    "1,000 log-normal": np.random.default_rng(1).lognormal(0, 1, 1000),
}
SHORT: Final = np.array([1.0, 2.0, 3.0, 4.0])
"""Weights of which all orders of draws without replacement are counted."""

Draws = Callable[[Array, int, int], Array]
"""`draws(weights, seed, num)`."""


def by_order(weights: Array, seed: int, num: int) -> Array:
    """Return draws of a `WeightedOrder`."""
    return index_at(WeightedOrder(weights=weights, seed=seed), np.arange(num)).idx


def by_numpy(weights: Array, seed: int, num: int) -> Array:
    """Return draws of NumPy's default generator."""
    return np.random.default_rng(seed).choice(len(weights), num, p=weights / weights.sum())


def by_torch(weights: Array, seed: int, num: int) -> Array:
    """Return draws of torch's `WeightedRandomSampler`."""
    generator = torch.Generator().manual_seed(seed)
    sampler = torch.utils.data.WeightedRandomSampler(weights.tolist(), num, generator=generator)
    return np.fromiter(sampler, dtype=np.int64, count=num)


def samplers() -> Iterator[Sampler]:
    """Yield all ways to draw."""
    yield Sampler(name="WeightedOrder", draws=by_order, ours=True, about="`WeightedOrder`, by `index_at`")
    yield Sampler(name="NumPy", draws=by_numpy, about="the control: `Generator.choice`")
    yield Sampler(name="torch", draws=by_torch, about="`WeightedRandomSampler`")


def battery(draws: Draws, *, num: int = 2**17, num_seeds: int = 2**12, seed: int = 42) -> Results:
    """Return the p-values of draws with replacement: name -> p."""
    results: Results = {}
    for name, weights in WEIGHTS.items():
        fractions = weights / weights.sum()
        found, following = draws(weights, seed, num), draws(weights, seed + 1, num)
        firsts = np.array([draws(weights, some, 2) for some in range(seed, seed + num_seeds)])
        results[f"{name}: each sample"] = goodness(np.bincount(found, minlength=len(weights)), fractions)
        group, of_groups = grouped(fractions)
        for part, which in enumerate(("first", "second")):
            counts = np.bincount(group[firsts[:, part]], minlength=len(of_groups))
            results[f"{name}: {which} draw of seeds"] = goodness(counts, of_groups)
        one, two = group[found], group[following]
        results[f"{name}: draws 1 apart"] = independence(one[::2], one[1::2], of_groups)
        results[f"{name}: draws of the next seed"] = independence(one, two, of_groups)
        ends = group[firsts[:, 0]]
        results[f"{name}: first draws of neighbouring seeds"] = independence(ends[::2], ends[1::2], of_groups)
    return results


def grouped(fractions: Array, num: int = 4) -> tuple[Array, Array]:
    """Return one of a few groups for each sample, and the probability of each group; none is improbable."""
    group = np.zeros(len(fractions), dtype=np.int64)
    group[np.argsort(-fractions)] = np.arange(len(fractions)) % num
    return group, np.bincount(group, weights=fractions, minlength=num)


def epochs_by_order(seed: int, num: int) -> Array:
    """Return epochs of a `WeightedEpochOrder`, one per row."""
    order = WeightedEpochOrder(weights=SHORT, seed=seed)
    return index_at(order, np.arange(num * len(SHORT))).idx.reshape(num, len(SHORT))


def epochs_by_numpy(seed: int, num: int) -> Array:
    """Return draws of `Generator.choice` without replacement, one epoch per row."""
    rng, fractions = np.random.default_rng(seed), SHORT / SHORT.sum()
    return np.array([rng.choice(len(SHORT), len(SHORT), replace=False, p=fractions) for _ in range(num)])


def epochs_by_torch(seed: int, num: int) -> Array:
    """Return draws of `WeightedRandomSampler` without replacement, one epoch per row."""
    generator, weights = torch.Generator().manual_seed(seed), SHORT.tolist()
    sampler = torch.utils.data.WeightedRandomSampler(weights, len(weights), replacement=False, generator=generator)
    return np.array([list(sampler) for _ in range(num)])


def epoch_samplers() -> Iterator[Sampler]:
    """Yield all ways to draw without replacement."""
    yield Sampler(
        name="WeightedEpochOrder", draws=epochs_by_order, ours=True, about="`WeightedEpochOrder`, by `index_at`"
    )
    yield Sampler(name="NumPy", draws=epochs_by_numpy, about="the control: `Generator.choice`")
    yield Sampler(name="torch", draws=epochs_by_torch, about="`WeightedRandomSampler`")


def epoch_battery(draws: Callable[[int, int], Array], *, num: int = 20_000, seed: int = 42) -> Results:
    """Return the p-values of draws without replacement: whether each order is as frequent as its probability."""
    epochs = draws(seed, num)
    orders = list(permutations(range(len(SHORT))))
    codes = epochs @ len(SHORT) ** np.arange(len(SHORT))
    expected = [int(np.dot(order, len(SHORT) ** np.arange(len(SHORT)))) for order in orders]
    counts = np.array([(codes == code).sum() for code in expected])
    remaining = [[SHORT[list(order[turn:])].sum() for turn in range(len(order))] for order in orders]
    probabilities = [prod(SHORT[list(order)] / left) for order, left in zip(orders, remaining, strict=True)]
    first = epochs[:, 0]
    return {
        "all orders of four": goodness(counts, np.array(probabilities)) if counts.sum() == num else 0.0,
        "first draws of neighbouring epochs": independence(first[::2], first[1::2], SHORT / SHORT.sum()),
    }
