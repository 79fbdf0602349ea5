"""Strategies for what a run is made of: pipelines, topologies, and histories of stops and restarts."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from bionemo.core.checks import AnyInt, as_int
from bionemo.data.orders.by_cluster.balanced import BalancedOrder
from bionemo.data.orders.by_cluster.clusters import ClusterOrder
from bionemo.data.orders.by_weight.mixture import MixtureOrder
from bionemo.data.orders.by_weight.proportional import ProportionalOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.order import Order
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.reading.dataset import Source
from bionemo.data.testing.strategies.nested_orders import bin_orders, epoch_batch_orders, skip_orders
from bionemo.data.testing.strategies.values import seeds

__all__ = ["MAX_RANKS", "DrawnSample", "Job", "Topology", "histories", "pipelines", "topologies"]

MAX_RANKS: Final = 7
"""Largest number of ranks: every step of a pipeline with bins has at least as many."""


class Topology(NamedTuple):
    """A rank, and how many there are."""

    rank: int
    world_size: int


class Job(NamedTuple):
    """One part of a run: between its start or a resume, and a stop."""

    world_size: int
    batch_size: int
    num_steps: int
    num_workers: int


class DrawnSample(NamedTuple):
    """A sample as the pipelines of `pipelines()` read it."""

    id: int
    """`100 * source + idx`."""
    draw: int
    """Drawn by the sample's transform."""
    seed: int = 0
    """The row's seed, which the batch transform gets."""


def _numbered(sample: int, *, generator: torch.Generator) -> DrawnSample:
    return DrawnSample(sample, int(torch.randint(2**31, (), generator=generator)))


def _seeded(batch: list[DrawnSample], *, seeds: Tensor) -> list[DrawnSample]:
    return [row._replace(seed=seed) for row, seed in zip(batch, seeds.tolist(), strict=True)]


@st.composite
def _orders_of(draw: Callable[..., Any], length: int, num_samples: int, seed: int) -> Order:
    """Draw an order of a data set of some length."""
    given: dict[str, Any] = {"seed": st.just(seed), "num_samples": st.just(num_samples)}
    labels = st.lists(st.integers(0, 3), min_size=length, max_size=length)
    kinds = (
        st.builds(EpochOrder, length=st.just(length), shuffle=st.booleans(), **given),
        st.builds(ClusterOrder, clusters=labels, **given),
        st.builds(BalancedOrder, groups=labels, **given),
        st.builds(ProportionalOrder, weights=labels.filter(any), **given),
    )
    order: Order = draw(st.one_of(kinds))
    return order


@st.composite
def pipelines(draw: Callable[..., Any]) -> Pipeline[list[DrawnSample]]:
    """Return a strategy for pipelines of up to several epochs over one data set or a mixture of two.

    Steps are batches of a fixed size, batches within epochs, or bins. A batch is a list of `DrawnSample`s, so that ids
    and random draws can be compared.

    Example:
        >>> pipelines().validate()
    """
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=2))
    seed = draw(st.integers(0, 2**62))
    shuffle, num_samples = draw(st.booleans()), draw(st.integers(1, 3 * sum(lengths)))
    parts = [EpochOrder(length=length, seed=seed + source, shuffle=shuffle) for source, length in enumerate(lengths)]
    order = draw(_orders_of(lengths[0], num_samples, seed))
    if len(parts) > 1:
        weights = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        order = MixtureOrder(orders=parts, weights=weights, num_samples=num_samples)
    batch_size = draw(st.one_of(st.none(), st.integers(1, 12)))
    if batch_size is None and isinstance(order, EpochOrder) and draw(st.booleans()):
        order = draw(epoch_batch_orders(order).filter(len))
    elif batch_size is None:
        order = draw(bin_orders(order, bins_per_step=MAX_RANKS))
    if draw(st.booleans()):
        order = draw(skip_orders(order).filter(len))
    return Pipeline(
        order=order,
        sources=tuple(
            Source(range(100 * source, 100 * source + length), transform=_numbered)
            for source, length in enumerate(lengths)
        ),
        batch_size=batch_size,
        seed=draw(seeds()),
        collate=list,
        batch_transform=_seeded,
        drop_last=draw(st.booleans()),
    )


def topologies(*, max_ranks: AnyInt = MAX_RANKS) -> st.SearchStrategy[Topology]:
    """Return a strategy for a rank of some number of ranks.

    Example:
        >>> topologies().validate()
    """
    sizes = st.integers(1, as_int(max_ranks))
    return sizes.flatmap(lambda size: st.builds(Topology, rank=st.integers(0, size - 1), world_size=st.just(size)))


def histories(
    *, max_ranks: AnyInt = MAX_RANKS, max_workers: AnyInt = 0, max_jobs: AnyInt = 6
) -> st.SearchStrategy[list[Job]]:
    """Return a strategy for the jobs of a run, each with its number of ranks, batch size, steps and workers.

    Args:
        max_ranks: largest number of ranks.
        max_workers: largest number of worker processes per rank.
        max_jobs: largest number of jobs.

    Example:
        >>> histories().validate()
    """
    job = st.builds(
        Job,
        world_size=st.integers(1, as_int(max_ranks)),
        batch_size=st.integers(1, 12),
        num_steps=st.integers(0, 6),
        num_workers=st.integers(0, as_int(max_workers)),
    )
    return st.lists(job, max_size=as_int(max_jobs))
