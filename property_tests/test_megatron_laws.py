"""Laws of micro-batches, of attention split over ranks, of reports, and of reads."""

import pickle
from functools import partial
from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.adapters.megatron import (
    PortableDotProductAttention,
    iter_micro_batches,
    mean_reports,
    split_into_micro_batches,
)
from bionemo.core.model.loss import LossSum, mean_loss
from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import EpochOrder, Order, Pipeline, Source, batch_at, num_batches, sample_at
from bionemo.data.pipes import loader
from bionemo.data.testing import check_pure_reads
from bionemo.data.testing.content import content_digests
from bionemo.data.testing.strategies import positions_in, seeds
from bionemo.data.testing.strategies.single_orders import short_orders

NUMBERS = st.integers(1, 6)


def with_noise(row: int, *, generator: torch.Generator) -> tuple[int, float]:
    return row, float(torch.rand((), generator=generator))


@st.composite
def pipelines(draw: st.DrawFn, num_micro_batches: int, world_size: int) -> Pipeline:
    length = draw(st.integers(1, 30))
    return Pipeline(
        order=EpochOrder(length=length, seed=draw(seeds()), num_samples=draw(st.integers(1, 60))),
        sources=Source(range(length), transform=with_noise),
        batch_size=num_micro_batches * (world_size + draw(NUMBERS) - 1),
        seed=draw(seeds()),
        drop_last=True,
    )


@given(st.data(), NUMBERS, NUMBERS)
def test_micro_batches_of_all_ranks_are_the_whole_batches(data: st.DataObject, number: int, world_size: int) -> None:
    """A batch is split into micro-batches first, and these over the ranks; micro-batches are counted over all steps."""
    pipeline = data.draw(pipelines(number, world_size))
    split = split_into_micro_batches(pipeline, number, world_size=world_size)
    ranks = [list(iter_micro_batches(loader(split, rank, world_size))) for rank in range(world_size)]
    assert len({len(found) for found in ranks}) == 1
    for step in range(num_batches(pipeline)):
        parts = [found[step * number : (step + 1) * number] for found in ranks]
        samples = [sample for micro in zip(*parts, strict=True) for part in micro for sample in part.batch]
        assert samples == batch_at(pipeline, step)
        assert all(micro.step == step * number + index for part in parts for index, micro in enumerate(part))


@given(st.data(), NUMBERS, NUMBERS, NUMBERS)
def test_positions_are_those_of_megatrons_sampler(data: st.DataObject, number: int, world_size: int, size: int) -> None:
    """After `c` consumed samples, rank `r` reads the positions `c + r * size + (0..size-1)` of a micro-batch."""
    start = data.draw(st.integers(0, 5)) * number * size * world_size
    pipeline = Pipeline(
        order=EpochOrder(length=1000, seed=1, shuffle=False),
        sources=range(1000),
        batch_size=number * size * world_size,
        seed=2,
    )
    for rank in range(world_size):
        found = iter_micro_batches(
            loader(split_into_micro_batches(pipeline, number), rank, world_size, start=start, batches_per_epoch=number)
        )
        consumed = start
        for micro in found:
            first = consumed + rank * size
            assert micro.batch == [position % 1000 for position in range(first, first + size)]
            consumed += size * world_size


@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(1, 5)),
    world_size=st.sampled_from([1, 2, 4]),
    dropout=st.sampled_from([0.0, 0.1, 0.6]),
    kind=st.sampled_from(["causal", "padding"]),
    seed=seeds(),
)
def test_attention_and_its_dropout_do_not_depend_on_how_heads_are_split(
    sizes: tuple[int, ...], world_size: int, dropout: float, kind: str, seed: int
) -> None:
    length, batch, groups_each, queries_each, width = sizes
    groups = groups_each * world_size
    heads = groups * queries_each
    generator = make_generator(seed)
    query, key, value = (torch.randn(length, batch, n, width, generator=generator) for n in (heads, groups, groups))
    hidden = torch.rand(batch, 1, 1, length, generator=generator) < 0.3

    def attend(rank: int, size: int) -> torch.Tensor:
        config = SimpleNamespace(
            context_parallel_size=1,
            window_size=None,
            softmax_type="vanilla",
            kv_channels=width,
            attention_dropout=dropout,
        )
        collection = SimpleNamespace(tp=SimpleNamespace(rank=lambda: rank))
        attention = PortableDotProductAttention(config, 1, SimpleNamespace(name=kind), "self", pg_collection=collection)
        own = [part.chunk(size, dim=2)[rank] for part in (query, key, value)]
        with random_torch_context(make_generator(seed, "step")):
            return attention(*own, hidden)

    parts = [attend(rank, world_size) for rank in range(world_size)]
    torch.testing.assert_close(torch.cat(parts, dim=-1), attend(0, 1))


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), min_size=1, max_size=8))
def test_means_of_reports_are_means_of_losses(parts: list[tuple[float, int]]) -> None:
    losses = [LossSum(torch.tensor(total, dtype=torch.float64), torch.tensor(number)) for total, number in parts]
    reports = [{"loss": torch.stack([loss.loss_sum, loss.num_tokens])} for loss in losses]
    torch.testing.assert_close(mean_reports(reports)["loss"], mean_loss(losses))


LEAVES = st.sampled_from([0, 1, "", "0", b"", b"0", None])  # few, so that values are often nearly equal
VALUES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.lists(parts, max_size=2), st.lists(parts, max_size=2).map(tuple), st.dictionaries(LEAVES, parts, max_size=2)
    ),
    max_leaves=3,
)


@given(VALUES, VALUES)
def test_values_are_equal_exactly_if_their_contents_are(one: object, other: object) -> None:
    assert content_digests(one) == content_digests(pickle.loads(pickle.dumps(one)))
    assert (content_digests(one) == content_digests(other)) == (one == other)


@given(st.data(), short_orders().filter(lambda order: order.num_samples != 0), seeds())
def test_samples_of_any_order_are_read_purely(data: st.DataObject, order: Order, seed: int) -> None:
    sources = tuple(Source(range(length), transform=with_noise) for length in order.source_lengths)
    pipeline = Pipeline(order=order, sources=sources, batch_size=4, seed=seed)
    if positions := data.draw(positions_in(order)):
        check_pure_reads(partial(sample_at, pipeline), positions)
