"""Tests of orders that make their own steps: packed bins, and bins with a token budget."""

import pickle
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest

from bionemo.core.frozen_array import FrozenArray
from bionemo.data import (
    BlockShuffleOrder,
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    ResampleOrder,
    SampleIndex,
    TokenBudgetOrder,
    fingerprint,
    from_json,
    index_at,
    position_of,
    to_json,
)

LENGTHS = np.random.default_rng(0).integers(1, 100, 500)
BASE = EpochOrder(length=500, seed=7)
FIELDS = {"order": BASE, "lengths": LENGTHS, "max_tokens": 256, "bins_per_step": 4, "window_size": 200, "seed": 3}
KINDS = pytest.mark.parametrize("kind", [PackedOrder, TokenBudgetOrder])


def steps(order, stop: int) -> list[list[int]]:
    found, position = [], 0
    while position < stop:
        found.append(order.step_bounds(position).tolist())
        position = found[-1][-1]
    return found


@pytest.mark.parametrize(
    ("kind", "bounds", "idx"),
    [
        (PackedOrder, [0, 5, 10, 14, 19], [389, 391, 414, 421, 312, 124, 131, 255, 418, 470]),
        (TokenBudgetOrder, [0, 2, 6, 8, 10], [0, 262, 487, 272, 149, 326, 389, 189, 291, 207]),
    ],
)
def test_pinned_values(kind, bounds: list[int], idx: list[int]) -> None:
    order = kind(**FIELDS)
    assert (order.step_bounds(0).tolist(), index_at(order, range(10)).idx.tolist()) == (bounds, idx)


@KINDS
def test_steps_are_counted_over_epochs_in_any_order_of_questions(kind) -> None:
    order = kind(**FIELDS)
    starts = [bounds[0] for bounds in steps(order, 1500)]
    fresh = kind(**FIELDS)
    assert [fresh.step_start(number) for number in reversed(range(len(starts)))] == starts[::-1]
    assert [kind(**FIELDS).step_of(position) for position in (1499, 0, 700)] == [
        sum(start <= position for start in starts) - 1 for position in (1499, 0, 700)
    ]
    epochs = [{*starts} & {*range(epoch * 500, (epoch + 1) * 500)} for epoch in range(3)]
    assert all(epoch * 500 in starts for epoch in range(3))
    assert {start - 500 for start in epochs[1]} != epochs[0]  # each epoch is packed anew


@KINDS
@pytest.mark.parametrize("num_samples", [1, 3, 499, 501, 1234])
def test_a_finite_order_ends_with_a_step(kind, num_samples: int) -> None:
    order = kind(**FIELDS | {"order": attrs.evolve(BASE, num_samples=num_samples)})
    found = steps(order, num_samples)
    assert found[-1][-1] == num_samples
    assert order.step_of(num_samples) == len(found)
    assert {len(bounds) for bounds in found} == {5}
    with pytest.raises(IndexError, match=rf"step must be in 0..{len(found) - 1}, got step={len(found)}"):
        order.step_start(len(found))
    with pytest.raises(IndexError, match=r"step must be in 0\.\..*, got step=-1"):
        order.step_start(-1)


@pytest.mark.parametrize(
    "base",
    [
        BASE,
        BlockShuffleOrder(length=500, block_size=7, blocks_per_window=5, seed=1),
        ResampleOrder(length=500, seed=1),
        MixtureOrder(orders=[EpochOrder(length=250, seed=1), EpochOrder(length=250, seed=2)], weights=[1, 2]),
    ],
)
@KINDS
def test_any_order_can_be_the_base(kind, base) -> None:
    lengths = LENGTHS if base.num_sources == 1 else (LENGTHS[:250], LENGTHS[250:])
    order = kind(**FIELDS | {"order": base, "lengths": lengths})
    stop = steps(order, 2000)[-1][-1]
    found, expected = index_at(order, range(stop)), index_at(base, range(stop))
    tokens = [lengths[idx] for idx in found.idx] if base.num_sources == 1 else None
    if tokens is not None:
        assert order.tokens_of(found).tolist() == tokens
    assert {*zip(*map(list, found), strict=True)} == {*zip(*map(list, expected), strict=True)}
    if hasattr(base, "position_of"):
        assert position_of(order, found).tolist() == list(range(stop))


def test_bins_are_nearly_full_and_equal() -> None:
    lengths = np.random.default_rng(1).integers(20, 400, 20_000)
    order = PackedOrder(
        order=EpochOrder(length=20_000, seed=1, num_samples=20_000),
        lengths=lengths,
        max_tokens=4096,
        bins_per_step=8,
        window_size=20_000,
        seed=2,
    )
    tokens = []
    for bounds in steps(order, 20_000):
        index = index_at(order, range(bounds[0], bounds[-1]))
        tokens.append(np.add.reduceat(lengths[index.idx], np.array(bounds[:-1]) - bounds[0]))
    assert np.sum(tokens) / (len(tokens) * 8 * 4096) > 0.99
    assert (np.max(tokens, 1) / np.mean(tokens, 1)).max() < 1.01


def test_samples_take_a_multiple_of_tokens_and_longer_ones_the_budget() -> None:
    order = PackedOrder(**FIELDS | {"max_tokens": 64, "divisible_by": 16, "truncate": True})
    for bounds in steps(order, 500):
        for first, stop in pairwise(bounds):
            planned = order.tokens_of(index_at(order, range(first, stop)))
            assert planned.max(initial=0) <= 64
            assert (-(-planned // 16) * 16).sum() <= 64


@KINDS
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_tokens": 99}, None),
        (
            {"max_tokens": 98},
            r"at most max_tokens=98, got 99 tokens in sample \d+. Raise max_tokens, or crop the samples to it and set",
        ),
        ({"lengths": [*LENGTHS[:-1], 0]}, "at least 1, got 0 tokens in sample 499. Leave empty samples out"),
        ({"lengths": [*LENGTHS[:-1], -1]}, "lengths must be in 0.*got lengths=-1"),
        ({"lengths": LENGTHS[:-1]}, r"one per sample of each source, got \(499,\) for \(500,\)"),
        ({"max_tokens": 0}, "max_tokens must be in 1"),
        ({"bins_per_step": 0}, "bins_per_step must be in 1"),
        ({"divisible_by": 3}, "max_tokens must be a multiple of divisible_by=3, got max_tokens=256"),
        ({"window_size": 2**25, "order": ResampleOrder(length=500, seed=1)}, "window_size must be at most"),
    ],
)
def test_bad_fields_are_named(kind, changed: dict, message: str | None) -> None:
    if message is None:
        assert kind(**FIELDS | changed).max_tokens == changed["max_tokens"]
        return
    with pytest.raises(ValueError, match=message):
        kind(**FIELDS | changed)


def test_windows_of_an_epoch_are_equally_large() -> None:
    order = PackedOrder(**FIELDS | {"window_size": 180})
    starts = sorted({int(order.window_start(position)) for position in range(1000)})
    assert starts == [0, 167, 334, 500, 667, 834]
    assert order.window_start(np.arange(1000)).tolist() == [order.window_start(position) for position in range(1000)]
    assert [order.window_end(start) for start in starts] == [*starts[1:], 1000]


def test_an_extended_run_keeps_its_complete_windows() -> None:
    short = PackedOrder(**FIELDS | {"order": attrs.evolve(BASE, num_samples=700)})
    long = PackedOrder(**FIELDS)
    window = int(long.window_start(699))
    assert steps(short, window) == steps(long, window)
    assert SampleIndex(*(part.tolist() for part in index_at(short, range(window)))) == SampleIndex(
        *(part.tolist() for part in index_at(long, range(window)))
    )


@KINDS
def test_each_window_has_its_own_shuffle_of_bins(kind) -> None:
    base = EpochOrder(length=500, seed=7, shuffle=False)
    order = kind(**FIELDS | {"order": base, "lengths": [10] * 500, "max_tokens": 10, "window_size": 100})
    windows = [(index_at(order, range(start, start + 100)).idx - start).tolist() for start in range(0, 500, 100)]
    assert all(sorted(window) == list(range(100)) for window in windows)
    assert len({*map(tuple, windows)}) == 5


@pytest.mark.parametrize("dtype", ["u2", "i4", "i8", ">i4"])
@KINDS
def test_lengths_in_a_memory_map_are_not_copied(kind, tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "lengths.npy", LENGTHS.astype(dtype))
    order = kind(**FIELDS | {"lengths": np.load(tmp_path / "lengths.npy", mmap_mode="r")})
    assert isinstance(order.lengths[0].array, np.memmap) == (dtype != ">i4")
    in_memory = kind(**FIELDS)
    assert steps(order, 1500) == steps(in_memory, 1500)
    assert (index_at(order, range(1500)).idx == index_at(in_memory, range(1500)).idx).all()
    assert (fingerprint(order) == fingerprint(in_memory)) == (dtype in {"i8", ">i4"})
    assert pickle.loads(pickle.dumps(order)) == order
    again = from_json(to_json(order), arrays={part.digest: part.array for part in order.lengths})
    assert again == order
    assert type(again.lengths[0].array) is type(order.lengths[0].array)


def test_the_longest_sample_of_a_map_is_named_and_equal_to_its_copy(tmp_path: Path) -> None:
    np.save(tmp_path / "lengths.npy", LENGTHS)
    mapped = np.load(tmp_path / "lengths.npy", mmap_mode="r")
    assert FrozenArray(mapped) == FrozenArray(LENGTHS)
    with pytest.raises(ValueError, match=f"at most max_tokens=50, got {LENGTHS.max()} tokens in sample"):
        PackedOrder(**FIELDS | {"lengths": mapped, "max_tokens": 50})


def test_the_first_steps_of_an_order_without_end_plan_only_their_windows() -> None:
    lengths = [5, 4, 3, 2] * 25
    base = MixtureOrder(orders=[EpochOrder(length=50, seed=1), EpochOrder(length=50, seed=2)], weights=(3, 1))
    order = PackedOrder(
        order=base, lengths=(lengths[:50], lengths[50:]), max_tokens=8, bins_per_step=1, window_size=64, seed=3
    )
    starts = [order.step_start(step) for step in range(40)]
    assert order.known_spans == {}, "1,024 windows would be planned"
    assert [order.step_of(start) for start in starts] == list(range(40))
    whole = attrs.evolve(order)
    first, steps = whole.steps_of_span(0)
    assert len(first) == len(steps) - 1 == 1024
    assert [whole.step_start(step) for step in range(40)] == starts
