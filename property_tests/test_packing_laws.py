"""Laws of packing: each sample in one bin, no bin too full; tokens, targets and losses as in padded blocks."""

from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from bionemo.core.padding import pad_token_ids, unpad_token_ids
from bionemo.data import (
    EpochOrder,
    PackedOrder,
    RaggedField,
    ScalarField,
    TokenBudgetOrder,
    attention_block_mask,
    collate_fields,
    collate_packed,
    index_at,
    mask_packed_tokens,
    mask_tokens,
    next_packed_labels,
    next_token_labels,
    shard_for_context_parallel,
    unpack,
    unshard_context_parallel,
)
from bionemo.data.orders.by_length.bins import _best_fit, cut_into_bins, pack_into_bins
from bionemo.data.testing import strategies
from bionemo.data.testing.strategies import nested_orders, single_orders

pytestmark = pytest.mark.usefixtures("no_type_checks")  # they take most of the time

TOKEN_ROWS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=9)
OPTIONS = {"mask_id": 1, "replacement_ids": range(5, 99), "special_ids": [3]}


@st.composite
def bins_to_pack(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    max_tokens = draw(st.integers(1, 60))
    lengths = draw(st.lists(st.integers(1, max_tokens), min_size=1, max_size=200))
    return np.array(lengths), max_tokens, draw(st.integers(1, 9))


@given(bins_to_pack())
def test_no_bin_is_too_full_and_best_fit_decreasing_takes_no_fewer(given_bins) -> None:
    lengths, max_tokens, multiple = given_bins
    bins = pack_into_bins(lengths, max_tokens=max_tokens, multiple=multiple)
    assert bins.shape == lengths.shape
    assert bins.min() >= 0
    assert np.bincount(bins, lengths).max() <= max_tokens
    assert (bins.max() // multiple) <= _best_fit(lengths, max_tokens).max() // multiple


@given(bins_to_pack())
def test_no_padded_bin_is_too_full(given_bins) -> None:
    lengths, max_tokens, multiple = given_bins
    bins = cut_into_bins(lengths, max_tokens=max_tokens, multiple=multiple)
    for number in range(bins.max() + 1):
        members = lengths[bins == number]
        assert len(members) * members.max() <= max_tokens


@given(base=single_orders.short_orders(), data=st.data())
def test_a_plan_is_the_same_whatever_was_asked_before(base, data) -> None:
    if base.epoch_length is None:  # its steps are counted by a thousand windows, which takes long
        base = attrs.evolve(base, num_samples=min(base.num_samples or 60, 60))
    order = data.draw(nested_orders.bin_orders(base))
    stop = min(60 if base.num_samples is None else base.num_samples, 60)
    asked = data.draw(st.lists(st.integers(0, max(stop - 1, 0)), max_size=5)) if stop else []
    steps = {position: order.step_of(position) for position in asked}
    for position in asked:
        fresh = attrs.evolve(order)
        assert index_at(fresh, position) == index_at(order, position)
        assert fresh.step_bounds(position).tolist() == order.step_bounds(position).tolist()
        assert fresh.step_of(position) == steps[position]
        assert order.step_start(steps[position]) <= position < order.step_bounds(position)[-1]


@given(
    length=st.integers(1, 60),
    seed=strategies.seeds(),
    kind=st.sampled_from([PackedOrder, TokenBudgetOrder]),
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 4), st.integers(1, 70)),
    epoch=st.integers(0, 3),
)
def test_each_sample_of_an_epoch_is_in_exactly_one_bin_and_no_bin_is_too_full(length, seed, kind, sizes, epoch) -> None:
    max_tokens, bins_per_step, window_size = sizes
    lengths = np.random.default_rng(seed).integers(1, max_tokens + 1, length)
    order = kind(
        order=EpochOrder(length=length, seed=seed),
        lengths=lengths,
        max_tokens=max_tokens,
        bins_per_step=bins_per_step,
        window_size=window_size,
        seed=seed,
    )
    found, position = [], epoch * length
    while position < (epoch + 1) * length:
        bounds = order.step_bounds(position).tolist()
        assert len(bounds) == bins_per_step + 1
        for first, stop in pairwise(bounds):
            tokens = lengths[index_at(order, range(first, stop)).idx]
            padded = len(tokens) * tokens.max(initial=0)
            assert (tokens.sum() if kind is PackedOrder else padded) <= max_tokens
        found += index_at(order, range(bounds[0], bounds[-1])).idx.tolist()
        position = bounds[-1]
    assert position == (epoch + 1) * length
    assert sorted(found) == list(range(length))


@given(rows=TOKEN_ROWS, divisible_by=st.integers(1, 4), extra=st.none() | st.integers(0, 5), seed=strategies.seeds())
def test_unpacking_gives_back_what_was_packed(rows, divisible_by, extra, seed) -> None:
    numbers = np.random.default_rng(seed)
    samples = [
        {"ids": row, "charge": numbers.random(len(row)), "xyz": numbers.random((len(row), 3)), "ph": float(number)}
        for number, row in enumerate(rows)
    ]
    fields = {"ids": RaggedField(torch.int16, padding_value=7), "charge": RaggedField(torch.float64)}
    fields |= {"xyz": RaggedField(torch.float64, shape=(3,)), "ph": ScalarField(torch.float32)}
    total = sum(-(-len(row) // divisible_by) * divisible_by for row in rows)
    length = None if extra is None else total + extra
    batch = collate_packed(samples, fields=fields, divisible_by=divisible_by, length=length)
    assert [row.tolist() for row in unpack(batch)] == rows
    for name in ("charge", "xyz"):
        assert [row.tolist() for row in unpack(batch, name)] == [sample[name].tolist() for sample in samples]
    assert batch["ph"].tolist() == [sample["ph"] for sample in samples]
    assert len(batch["ids"]) == (total if extra is None else length)
    assert (batch["ids"][~batch["mask"]] == 7).all()
    assert batch["cu_seqlens"].tolist() == np.cumsum([0, *map(len, rows)]).tolist()
    assert [row.tolist() for row in unpack(batch, "positions")] == [list(range(len(row))) for row in rows]
    assert [{*row.tolist()} for row in unpack(batch, "segment_ids")] == [{number} for number in range(len(rows))]


@given(
    rows=TOKEN_ROWS,
    seed=strategies.seeds(),
    divisible_by=st.integers(1, 4),
    side=st.sampled_from(["left", "right"]),
    mask_prob=st.floats(0, 1),
    min_one=st.booleans(),
    is_longer=st.booleans(),
)
@example(
    rows=[[5] * size for size in range(1, 25)],
    seed=42,
    divisible_by=1,
    side="left",
    mask_prob=0.5,
    min_one=True,
    is_longer=False,
)
def test_targets_are_those_of_a_padded_block(rows, seed, divisible_by, side, mask_prob, min_one, is_longer) -> None:
    seeds = torch.randint(2**62, (len(rows),), generator=torch.Generator().manual_seed(seed % 2**32))
    ids, mask = pad_token_ids(rows, padding_side=side)
    length = sum(map(len, rows)) + 4 * len(rows) if is_longer and rows else None
    packed = collate_packed(rows, divisible_by=divisible_by, length=length)
    packed["positions"] += 7  # as for a model whose positions begin elsewhere: masks don't depend on them
    options = OPTIONS | {"mask_prob": mask_prob, "min_one": min_one}
    padded, masked = mask_tokens(ids, mask, seeds=seeds, **options), mask_packed_tokens(packed, seeds=seeds, **options)
    for name, block in (("ids", padded.ids), ("labels", padded.labels)):
        for one, other in zip(unpack(masked, name), unpad_token_ids(block, mask), strict=True):
            assert torch.equal(one, other)
    assert (masked["labels"][~packed["mask"]] == -100).all()
    labels = {**packed, "labels": next_packed_labels(packed)}
    for one, other in zip(unpack(labels, "labels"), unpad_token_ids(next_token_labels(ids, mask), mask), strict=True):
        assert torch.equal(one, other)
    assert (labels["labels"][~packed["mask"]] == -100).all()


def attend(table: torch.Tensor, ids: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Return one layer of attention over embedded tokens and positions."""
    x = (table[ids] + table[positions])[None]
    return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=allowed[None])[0] @ table.T


@given(rows=TOKEN_ROWS, causal=st.booleans(), extra=st.none() | st.integers(0, 5), divisible_by=st.integers(1, 4))
def test_loss_and_gradients_are_those_of_each_sample_alone(rows, causal, extra, divisible_by) -> None:
    total = sum(-(-len(row) // divisible_by) * divisible_by for row in rows)
    packed = collate_packed(rows, divisible_by=divisible_by, length=None if extra is None else total + extra)
    gradients, losses = [], []
    for batches in ([packed], [collate_packed([row]) for row in rows]):
        table = torch.randn(100, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            logits = attend(table, batch["ids"], batch["positions"], attention_block_mask(batch, causal=causal))
            loss = loss + nn.functional.cross_entropy(
                logits[batch["mask"]], batch["ids"][batch["mask"]], reduction="sum"
            )
        loss.backward()
        losses.append(loss.detach())
        gradients.append(table.grad)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)


@given(rows=TOKEN_ROWS, world_size=st.integers(1, 4), extra=st.none() | st.integers(0, 2), is_padded=st.booleans())
def test_the_parts_of_context_parallel_ranks_give_the_batch_back(rows, world_size, extra, is_padded) -> None:
    multiple = 2 * world_size
    if is_padded:
        samples = [{"ids": row} for row in rows]
        batch = collate_fields(samples, fields={"ids": RaggedField(torch.int64)}, pad_size_divisible_by=multiple)
    else:
        total = sum(-(-len(row) // multiple) * multiple for row in rows)
        batch = collate_packed(rows, divisible_by=multiple, length=None if extra is None else total + extra * multiple)
    parts = [shard_for_context_parallel(batch, rank, world_size) for rank in range(world_size)]
    sizes = {part["ids"].shape[-1] for part in parts}
    assert sizes == {batch["ids"].shape[-1] // world_size}
    whole = unshard_context_parallel(parts)
    assert {*whole} == {*unshard_context_parallel(parts, names=["ids"])}
    assert whole.keys() == batch.keys()
    assert all(torch.equal(torch.as_tensor(whole[name]), torch.as_tensor(batch[name])) for name in batch)
    if not is_padded:  # early and late tokens of a sample are in one part: with causal attention the work is equal
        work = [int(part["positions"][part["segment_ids"] >= 0].sum()) for part in parts]
        assert max(work) == min(work)
