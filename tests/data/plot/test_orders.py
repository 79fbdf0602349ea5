"""Plots of orders: the points are what `index_at` returns."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.data import (
    BlockShuffleOrder,
    ClusterOrder,
    EpochBatchOrder,
    EpochOrder,
    MixtureOrder,
    PackedOrder,
    ResampleOrder,
    SampleIndex,
    index_at,
)
from bionemo.data.plot import plot_epochs, plot_order
from bionemo.data.plot.axes import MOST_POINTS, spread_positions

LENGTHS = np.arange(5, 25)


def new():
    return Figure().subplots()


def points_of(ax) -> np.ndarray:
    return np.concatenate([np.empty((0, 2)), *(np.asarray(points.get_offsets()) for points in ax.collections)])


@given(length=st.integers(1, 60), seed=st.integers(0, 2**40), num=st.integers(1, 200), is_block=st.booleans())
def test_the_points_are_the_samples_colored_by_epoch(length: int, seed: int, num: int, is_block: bool) -> None:
    order = EpochOrder(length=length, seed=seed)
    if is_block:
        order = BlockShuffleOrder(length=length, block_size=3, blocks_per_window=2, seed=seed)
    ax = plot_order(order, num_positions=num, ax=new())
    index = index_at(order, range(num))
    drawn = points_of(ax)
    assert drawn[drawn[:, 0].argsort()].tolist() == [[position, idx] for position, idx in enumerate(index.idx)]
    epochs = len(np.unique(index.epoch))
    assert len(ax.collections) == (epochs if epochs <= 7 else 1)
    if 1 < epochs <= 7:
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"epoch {e}" for e in range(epochs)]


def test_many_epochs_have_a_color_bar() -> None:
    ax = plot_order(EpochOrder(length=3, seed=1), num_positions=60, ax=new())
    assert ax.collections[0].get_array().tolist() == [position // 3 for position in range(60)]
    assert [other.get_ylabel() for other in ax.figure.axes] == ["idx", "epoch"]


@pytest.mark.parametrize(
    ("order", "count"),
    [
        (EpochOrder(length=30, seed=1), 60),
        (EpochOrder(length=30, seed=1, num_samples=40), 40),
        (EpochOrder(length=30, seed=1, num_samples=0), 0),
        (ResampleOrder(length=30, seed=1), 60),
        (EpochOrder(length=10**12, seed=1), MOST_POINTS),
        (MixtureOrder(orders=[EpochOrder(length=n, seed=n) for n in (20, 30)], weights=(1, 1)), 100),
    ],
)
def test_by_default_two_epochs_are_drawn(order, count: int) -> None:
    assert len(points_of(plot_order(order, ax=new()))) == count


def test_a_huge_order_is_sampled_over_its_whole_length_and_the_label_says_so() -> None:
    order = EpochOrder(length=10**12, seed=1)
    ax = plot_order(order, ax=new())
    assert ax.get_xlabel() == "position (one of every 100,000,000)"
    positions, idx = points_of(ax).T.astype(np.int64)
    assert np.array_equal(index_at(order, positions).idx, idx)
    assert (np.diff(np.sort(positions) // 10**8) == 1).all()


def test_spread_positions_hide_no_period() -> None:
    orders = [EpochOrder(length=10**6, seed=seed) for seed in range(2)]
    mixture = MixtureOrder(orders=orders, weights=(1, 1))  # repeats after 2 positions, the stride is even
    positions, _ = spread_positions(mixture, 2 * 10**6, default=1)
    fraction = index_at(mixture, positions).source.mean()
    assert abs(fraction - 0.5) < 0.02


def test_of_an_order_that_plans_windows_the_first_positions_are_drawn() -> None:
    base = EpochOrder(length=20, seed=1)
    order = PackedOrder(order=base, lengths=LENGTHS, max_tokens=32, bins_per_step=2, window_size=9, seed=1)
    positions, label = spread_positions(order, 10**12, default=1)
    assert positions.tolist() == list(range(MOST_POINTS))
    assert label == "position (the first 20,000 of 1,000,000,000,000)"


def test_sources_are_drawn_in_labelled_bands() -> None:
    order = MixtureOrder(orders=[EpochOrder(length=n, seed=n) for n in (11, 101)], weights=(1, 1))
    ax = plot_order(order, num_positions=10, ax=new())
    index = index_at(order, range(10))
    drawn = points_of(ax)
    height = drawn[drawn[:, 0].argsort(), 1]
    assert height == pytest.approx(index.source + 0.92 * index.idx / np.array([10, 100])[index.source])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["source 0\n0 to 10", "source 1\n0 to 100"]


@attrs.frozen
class Mine:
    """An order of a user, of unknown lengths."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position):
        return SampleIndex(position % 2, position // 10, position % 7)


def test_an_order_of_a_user_is_drawn() -> None:
    ax = plot_order(Mine(), num_positions=40, ax=new())
    assert len(points_of(ax)) == 40
    assert ax.get_yticklabels()[1].get_text() == "source 1\n0 to 6"


@given(length=st.integers(1, 80), epochs=st.tuples(st.integers(0, 9), st.integers(0, 9)), seed=st.integers(0, 2**40))
def test_epochs_are_compared_sample_by_sample(length: int, epochs: tuple[int, int], seed: int) -> None:
    order = EpochOrder(length=length, seed=seed)
    one, other = points_of(plot_epochs(order, epochs=epochs, ax=new())).T.astype(int)
    assert sorted(one) == sorted(other) == list(range(length))
    first, second = (
        index_at(order, part + epoch * length).idx for part, epoch in zip((one, other), epochs, strict=True)
    )
    assert np.array_equal(first, second)


def test_long_epochs_are_sampled_by_the_inverse() -> None:
    order = EpochOrder(length=10**12, seed=1)
    one, other = points_of(plot_epochs(order, epochs=(2, 5), ax=new())).T.astype(np.int64)
    assert len(one) == MOST_POINTS
    assert np.array_equal(index_at(order, one + 2 * 10**12).idx, index_at(order, other + 5 * 10**12).idx)


def test_only_samples_of_both_epochs_are_drawn() -> None:
    order = EpochOrder(length=20, seed=1, num_samples=30)
    assert len(points_of(plot_epochs(order, ax=new()))) == 10
    dropping = EpochBatchOrder(order=EpochOrder(length=20, seed=1), batch_size=8, rest="drop")
    one, other = points_of(plot_epochs(dropping, ax=new())).T.astype(int)
    assert np.array_equal(index_at(dropping, one).idx, index_at(dropping, other + 16).idx)
    assert len(one) < 16


@pytest.mark.parametrize(
    ("function", "fields", "error", "message"),
    [
        (plot_order, {"num_positions": 0}, ValueError, "num_positions must be in 1..40, got num_positions=0"),
        (plot_order, {"num_positions": 41}, ValueError, "num_positions must be in 1..40, got num_positions=41"),
        (plot_order, {"num_positions": "3"}, TypeError, "num_positions must be an integer or None, got"),
        (plot_order, {"ax": 3}, TypeError, "ax must be a matplotlib Axes or None, got ax=3 of type int"),
        (
            plot_epochs,
            {"epochs": (0, 2)},
            ValueError,
            r"epochs must be below 2, the end of the order, got epochs=\(0, 2\)",
        ),
        (plot_epochs, {"epochs": (0, -1)}, ValueError, "epochs must be in 0.."),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_errors_name_the_argument(function, fields, error, message) -> None:
    with pytest.raises(error, match=message):
        function(EpochOrder(length=20, seed=1, num_samples=40), **{"ax": new(), **fields})


@pytest.mark.usefixtures("no_type_checks")
def test_an_order_without_such_epochs_is_refused() -> None:
    with pytest.raises(
        ValueError, match="order must have epochs of equal length, got epoch_length=None of a ResampleOrder"
    ):
        plot_epochs(ResampleOrder(length=5, seed=1), ax=new())
    with pytest.raises(ValueError, match="epochs must be two epochs, got epochs="):
        plot_epochs(EpochOrder(length=5, seed=1), epochs=(0, 1, 2), ax=new())
    clusters = ClusterOrder(clusters=np.arange(2**18 + 1), seed=1)
    with pytest.raises(ValueError, match="order must have whole epochs of at most 262144 samples"):
        plot_epochs(clusters, ax=new())
    with pytest.raises(TypeError, match="order must be an Order"):
        plot_order(range(3), ax=new())
