"""Draws with replacement, all samples equally probable: `ResampleOrder`, a control, and peers."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import numpy as np
import torch
from scipy import stats

from benchmarks import peers
from benchmarks.certificate.installed import call
from benchmarks.certificate.p_values import Array, Results, high, independence, low, uniformity
from bionemo.data import ResampleOrder, index_at

LENGTHS: Final = (2, 10, 1000, 2**20 + 7, 2**40 + 15)
LAGS: Final = (1, 2, 64)
PARTS: Final = 8
"""Parts of the range, or residues, of which pairs of draws are counted."""

Draws = Callable[[int, int, int], Array]
"""`draws(length, seed, num)`: the first draws of a seed."""


@attrs.frozen(kw_only=True)
class Sampler:
    """A way to draw."""

    name: str
    draws: Any
    ours: bool = False
    about: str = ""
    peer: Callable[[], peers.Peer] | None = None
    """What it calls, if it is another library's, which may not be there."""


def by_order(length: int, seed: int, num: int) -> Array:
    """Return draws of a `ResampleOrder`."""
    return index_at(ResampleOrder(length=length, seed=seed), np.arange(num)).idx


def by_numpy(length: int, seed: int, num: int) -> Array:
    """Return draws of NumPy's default generator."""
    return np.random.default_rng(seed).integers(length, size=num)


def by_torch(length: int, seed: int, num: int) -> Array:
    """Return draws of `RandomSampler`, whose data set is only asked for its length."""
    generator = torch.Generator().manual_seed(seed)
    sampler = torch.utils.data.RandomSampler(range(length), replacement=True, num_samples=num, generator=generator)
    return np.fromiter(sampler, dtype=np.int64, count=num)


def by_earlier_version(length: int, seed: int, num: int) -> Array:
    """Return draws of 2.4.5's `PRNGResampleDataset`."""
    drawn = call(range(length), seed, num, make=peers.bionemo_resampler)
    return np.fromiter((drawn[index] for index in range(num)), dtype=np.int64, count=num)


def samplers() -> Iterator[Sampler]:
    """Yield all ways to draw."""
    yield Sampler(name="ResampleOrder", draws=by_order, ours=True, about="`ResampleOrder`, by `index_at`")
    yield Sampler(name="NumPy", draws=by_numpy, about="the control: `Generator.integers`")
    yield Sampler(name="torch", draws=by_torch, about="`RandomSampler` with replacement")
    yield Sampler(
        name="2.4.5",
        draws=by_earlier_version,
        about="bionemo-core 2.4.5: `PRNGResampleDataset`",
        peer=peers.bionemo_resampler,
    )


def battery(draws: Draws, *, num: int = 2**16, num_seeds: int = 2**12, seed: int = 42) -> Results:
    """Return the p-values of uniform draws: name -> p.

    Args:
        draws: the sampler.
        num: draws of one seed.
        num_seeds: seeds of which the first draws are looked at.
        seed: the first seed.
    """
    results: Results = {}
    for length in LENGTHS:
        found, following = draws(length, seed, num), draws(length, seed + 1, num)
        firsts = np.array([draws(length, some, 2) for some in range(seed, seed + num_seeds)])
        results |= {f"{length}: each sample, {kind}": p for kind, p in uniformity(found, length, 256).items()}
        for part, name in enumerate(("first", "second")):
            by_kind = uniformity(firsts[:, part], length)
            results |= {f"{length}: {name} draw of seeds, {kind}": p for kind, p in by_kind.items()}
        for cut in (high, low)[: 1 + (length > PARTS)]:
            (one, probabilities), (two, _) = (cut(some, length, min(PARTS, length)) for some in (found, following))
            for lag in LAGS:
                # Disjoint pairs, so that they are independent.
                left = np.arange(num - lag)
                left = left[left % (2 * lag) < lag]
                p = independence(one[left], one[left + lag], probabilities)
                results[f"{length}: draws {lag} apart, {cut.__name__}"] = p
            results[f"{length}: draws of the next seed, {cut.__name__}"] = independence(one, two, probabilities)
            ends = [cut(firsts[part::2, 0], length, min(PARTS, length))[0] for part in (0, 1)]
            results[f"{length}: first draws of neighbouring seeds, {cut.__name__}"] = independence(*ends, probabilities)
        results |= {f"{length}: equal draws": equal_draws(found, length)} if length > num else {}
    return results


def equal_draws(found: Array, length: int) -> float:
    """Test how many pairs of draws are equal: their number has about a Poisson distribution (birthday test)."""
    sizes = np.unique(found, return_counts=True)[1]
    equal = int((sizes * (sizes - 1)).sum()) // 2
    null = stats.poisson(len(found) * (len(found) - 1) / 2 / length)
    return min(1.0, 2 * float(min(null.cdf(equal), null.sf(equal - 1))))
