"""Members of clusters: every cluster once per epoch, its members in turn, in an order drawn afresh each time round."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from benchmarks.certificate.draws.uniform import Sampler
from benchmarks.certificate.p_values import Array, Results, goodness, independence
from bionemo.data import ClusterOrder, index_at

SIZES: Final = (2, 3, 5, 16, 17)
ROUNDS: Final = 20_000
"""How often all members of a cluster are read."""

Draws = Callable[[int, int, int, int], Array]
"""`draws(size, num_clusters, num_epochs, seed)`: the member read of each cluster in each epoch, [epochs, clusters]."""


def by_order(size: int, num_clusters: int, num_epochs: int, seed: int) -> Array:
    """Return the members that a `ClusterOrder` reads."""
    order = ClusterOrder(clusters=np.repeat(np.arange(num_clusters), size), seed=seed)
    idx = index_at(order, np.arange(num_epochs * num_clusters)).idx.reshape(num_epochs, num_clusters)
    return np.sort(idx, axis=1) % size  # by cluster: an epoch visits each of them once


def by_numpy(size: int, num_clusters: int, num_epochs: int, seed: int) -> Array:
    """Return members in orders that NumPy shuffles."""
    rng = np.random.default_rng(seed)
    rounds = rng.permuted(np.tile(np.arange(size), (-(-num_epochs // size), num_clusters, 1)), axis=2)
    return rounds.transpose(0, 2, 1).reshape(-1, num_clusters)[:num_epochs]


def at_random(size: int, num_clusters: int, num_epochs: int, seed: int) -> Array:
    """Return members drawn at random at each visit, as ESM-2's paper describes it."""
    return np.random.default_rng(seed).integers(size, size=(num_epochs, num_clusters))


def samplers() -> Iterator[Sampler]:
    """Yield all ways to read members."""
    yield Sampler(name="ClusterOrder", draws=by_order, ours=True, about="`ClusterOrder`, by `index_at`")
    yield Sampler(name="NumPy", draws=by_numpy, about="the control: `Generator.permuted` for each cluster and round")
    yield Sampler(name="at random", draws=at_random, about="a member at random at each visit, as in ESM-2's paper")


def battery(draws: Draws, *, num_rounds: int = ROUNDS, seed: int = 42) -> Results:
    """Return the p-values of members: name -> p."""
    results: Results = {}
    for size in SIZES:
        read = draws(size, 1, size * num_rounds, seed).reshape(num_rounds, size)
        even, distinct = np.full(size, 1 / size), 1 - np.eye(size)
        results[f"{size}: members in turn"] = 1.0 if (np.sort(read, axis=1) == np.arange(size)).all() else 0.0
        for name, turn in {"first": 0, "last": -1}.items():
            results[f"{size}: {name} member of a round"] = goodness(np.bincount(read[:, turn], minlength=size), even)
        pairs = np.bincount(size * read[:, 0] + read[:, 1], minlength=size**2)
        results[f"{size}: first two members of a round"] = goodness(pairs, distinct.ravel() / distinct.sum())
        for name, turn in {"last member, then the first": -1, "first members": 0}.items():
            following = independence(read[:-1:2, turn], read[1::2, 0], even)
            results[f"{size}: {name} of the next round"] = following
        members = draws(size, num_rounds, 1, seed)[0]
        results[f"{size}: neighbouring clusters"] = independence(members[::2], members[1::2], even)
        seeds = [draws(size, num_rounds, 1, some)[0] for some in (seed, seed + 1)]
        results[f"{size}: neighbouring seeds"] = independence(*seeds, even)
    return results


def repeated(draws: Draws, *, size: int = 16, num_rounds: int = 1000, seed: int = 42) -> float:
    """Return the fraction of reads that read a member again before all of its cluster were read."""
    read = draws(size, 1, size * num_rounds, seed).reshape(num_rounds, size)
    return 1 - float(np.mean([len(np.unique(members)) for members in read])) / size
