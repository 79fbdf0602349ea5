"""Plots of steps: the boxes have the planned numbers of tokens."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.data import (
    EpochBatchOrder,
    EpochOrder,
    LengthGroupedOrder,
    PackedOrder,
    PlannedSkipOrder,
    TokenBudgetOrder,
    index_at,
    padding_fraction,
)
from bionemo.data.plot import plot_packing, plot_padding

LENGTHS = np.random.default_rng(1).integers(3, 30, 60)
BASE = EpochOrder(length=60, seed=1, num_samples=120)


def new():
    return Figure().subplots()


def boxes_of(collection) -> np.ndarray:
    """Return left, top and width of each box."""
    corners = np.array([path.vertices for path in collection.get_paths()]).reshape(-1, 5, 2)
    return np.stack([corners[:, 0, 0], corners[:, 0, 1], corners[:, 1, 0] - corners[:, 0, 0]], axis=1)


def planned(kind, **options):
    fields = {"max_tokens": 64, "bins_per_step": 2, "window_size": 30, "seed": 1}
    return kind(order=BASE, lengths=LENGTHS, **{**fields, **options})


@given(batch_size=st.integers(1, 9), num_steps=st.integers(1, 9), grouped=st.booleans())
def test_rows_and_padding_are_those_of_the_steps(batch_size: int, num_steps: int, grouped: bool) -> None:
    order = BASE
    if grouped:
        order = LengthGroupedOrder(order=BASE, lengths=LENGTHS, window_size=20, batch_size=batch_size, seed=1)
    ax = plot_padding(order, LENGTHS, batch_size=batch_size, num_steps=num_steps, ax=new())
    padding, real = (boxes_of(collection) for collection in ax.collections)
    lengths = LENGTHS[index_at(order, range(batch_size * num_steps)).idx]
    assert real[:, 2].tolist() == lengths.tolist()
    assert padding[:, 0].tolist() == lengths.tolist()
    widths = lengths.reshape(num_steps, batch_size).max(1).repeat(batch_size)
    assert (padding[:, 2] + lengths).tolist() == widths.tolist()
    row = np.arange(batch_size * num_steps)
    assert real[:, 1].tolist() == (row + row // batch_size).tolist()  # a gap between steps
    fraction = padding_fraction(order, LENGTHS, batch_size=batch_size, num_batches=num_steps)
    assert ax.get_title() == f"{1 - fraction:.1%} real tokens"


def test_a_short_last_step_is_drawn() -> None:
    order = EpochOrder(length=60, seed=1, num_samples=5)
    ax = plot_padding(order, LENGTHS, batch_size=4, ax=new())
    assert len(boxes_of(ax.collections[1])) == 5
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1"]
    empty = plot_padding(EpochOrder(length=60, seed=1, num_samples=0), LENGTHS, batch_size=4, ax=new())
    assert empty.get_title() == "0.0% real tokens"


@pytest.mark.parametrize("kind", [PackedOrder, TokenBudgetOrder])
@pytest.mark.parametrize("divisible_by", [1, 4])
def test_bins_hold_their_samples_end_to_end(kind: type, divisible_by: int) -> None:
    order = planned(kind, divisible_by=divisible_by)
    ax = plot_packing(order, num_steps=3, ax=new())
    background, *colors = (boxes_of(collection) for collection in ax.collections)
    assert (background[:, 2] == 64).all()
    assert len(background) == 6
    boxes = np.concatenate(colors)
    start, top, total = 0, 0, 0
    for _ in range(3):
        bounds = order.step_bounds(start).tolist()
        for first, stop in pairwise(bounds):
            tokens = LENGTHS[index_at(order, np.arange(first, stop)).idx]
            space = -(-tokens // divisible_by) * divisible_by
            space = np.full_like(space, space.max()) if kind is TokenBudgetOrder else space
            mine = boxes[boxes[:, 1] == top]
            mine = mine[mine[:, 0].argsort()]
            assert mine[:, 2].tolist() == tokens.tolist()
            assert mine[:, 0].tolist() == (np.cumsum(space) - space).tolist()
            assert space.sum() <= 64
            top, total = top + 1, total + tokens.sum()
        start, top = bounds[-1], top + 1
    assert ax.get_title() == f"{total / (6 * 64):.1%} real tokens"


def test_the_bins_of_a_skipping_order_and_of_steps_of_samples_are_drawn() -> None:
    skipping = PlannedSkipOrder(order=planned(TokenBudgetOrder), positions=[1, 4])
    boxes = np.concatenate([boxes_of(part) for part in plot_packing(skipping, num_steps=1, ax=new()).collections[1:]])
    assert sorted(boxes[:, 2]) == sorted(LENGTHS[index_at(skipping, range(len(boxes))).idx])
    steps = EpochBatchOrder(order=BASE, batch_size=8)
    assert plot_packing(steps, num_steps=2, ax=new()).get_title() == "100.0% real tokens"


def test_an_order_that_ends_has_fewer_steps() -> None:
    ax = plot_packing(planned(PackedOrder), num_steps=1000, ax=new())
    assert sum(len(boxes_of(part)) for part in ax.collections[1:]) == 120


@pytest.mark.usefixtures("no_type_checks")
def test_errors_name_the_argument() -> None:
    with pytest.raises(TypeError, match=r"order must make the steps itself, .* got order=EpochOrder"):
        plot_packing(BASE, ax=new())
    with pytest.raises(ValueError, match="num_steps must be in 1..65536, got num_steps=0"):
        plot_packing(planned(PackedOrder), num_steps=0, ax=new())
    with pytest.raises(ValueError, match="num_steps must be in 1..8192, got num_steps=8193"):
        plot_padding(BASE, LENGTHS, batch_size=8, num_steps=8193, ax=new())
    with pytest.raises(ValueError, match="lengths must be one per sample of each source, got"):
        plot_padding(BASE, LENGTHS[:-1], batch_size=8, ax=new())
    endless = EpochBatchOrder(order=EpochOrder(length=10**6, seed=1), batch_size=5000)
    with pytest.raises(ValueError, match="num_steps must be of at most 65536 samples together, got 70000 in 14 steps"):
        plot_packing(endless, num_steps=20, ax=new())
