"""Plots of mixtures: counted fractions, and exact ones."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.data import EpochOrder, LengthGroupedOrder, MixtureOrder, SampleIndex, SkipOrder, index_at
from bionemo.data.plot import plot_mixture
from bionemo.data.plot.mixtures import exact_fractions


def epochs(length: int, **options) -> EpochOrder:
    return EpochOrder(length=length, seed=length, **options)


def new():
    return Figure().subplots()


def two(**options) -> MixtureOrder:
    return MixtureOrder(orders=[epochs(10), epochs(20)], weights=(3, 1), **options)


def test_each_interval_has_the_counted_fractions() -> None:
    order = two(changes=[(2000, (1, 1))])
    ax = plot_mixture(order, num_positions=6000, ax=new())
    source = index_at(order, range(6000)).source.reshape(120, 50)
    for number, stairs in enumerate(ax.patches):
        values, edges, _ = stairs.get_data()
        assert edges.tolist() == list(range(0, 6001, 50))
        assert values == pytest.approx((source == number).mean(1))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "source 0: 0.75 → 0.5",
        "source 1: 0.25 → 0.5",
        "exact",
        "change of weights",
    ]


def test_exact_fractions_and_changes_are_drawn() -> None:
    ax = plot_mixture(two(changes=[(2000, (1, 1))]), num_positions=6000, ax=new())
    segments = [segment.tolist() for lines in ax.collections for segment in lines.get_segments()]
    assert segments[:2] == [[[0, 0.75], [2000, 0.75]], [[2000, 0.5], [6000, 0.5]]]
    assert [line.get_xdata()[0] for line in ax.lines] == [2000]


@pytest.mark.parametrize(
    ("order", "total"),
    [
        (two(), 6000),
        (two(num_samples=70), 70),
        (two(changes=[(2000, (1, 1))]), 3000),
        (two(changes=[(2000, (1, 1))], num_samples=2100), 2100),
        (two(changes=[(10**12, (1, 1))]), 15 * 10**11),
    ],
)
def test_by_default_all_changes_are_drawn(order: MixtureOrder, total: int) -> None:
    assert plot_mixture(order, ax=new()).get_xlim() == (0, total)


def test_of_a_long_run_some_positions_of_each_interval_are_counted() -> None:
    ax = plot_mixture(two(), num_positions=10**12, ax=new())
    assert ax.get_ylabel() == "fraction among 200 of an interval"
    assert ax.patches[0].get_data()[0] == pytest.approx(np.full(120, 0.75), abs=0.01)


@given(weights=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), change=st.integers(1, 400))
def test_exact_fractions_of_a_nested_mixture_are_those_of_its_samples(weights, change: int) -> None:
    inner = MixtureOrder(orders=[epochs(10), epochs(20)], weights=weights[:2], changes=[(change, weights[1:])])
    order = MixtureOrder(orders=[epochs(30), inner], weights=(1, 2))
    (start, before), (position, after) = exact_fractions(order)
    assert start == 0
    assert position == order.position_of_draw(1, change)
    assert before == pytest.approx((1 / 3, *(2 / 3 * weight / sum(weights[:2]) for weight in weights[:2])))
    source = index_at(order, range(position, position + 3000)).source
    assert np.bincount(source) / 3000 == pytest.approx(after, abs=0.01)


def test_a_source_that_ends_is_a_change() -> None:
    orders = [epochs(10, num_samples=5), epochs(20)]
    order = MixtureOrder(orders=orders, weights=(1, 1), stopping_strategy="all_exhausted_without_replacement")
    assert exact_fractions(order) == [(0, (0.5, 0.5)), (10, (0.0, 1.0))]


def test_fractions_of_orders_over_a_mixture_are_its_fractions() -> None:
    order = two(changes=[(2000, (1, 1))])
    grouped = LengthGroupedOrder(order=order, lengths=([3] * 10, [4] * 20), window_size=512, batch_size=2, seed=1)
    assert exact_fractions(grouped) == exact_fractions(order)
    skipping = SkipOrder(order=order, positions=[(0, 500)])
    assert exact_fractions(skipping) == [(0, (0.75, 0.25)), (1500, (0.5, 0.5))]
    assert exact_fractions(epochs(3)) == [(0, (1.0,))]
    assert plot_mixture(grouped, ax=new()).get_xlim() == (0, 3000)


@attrs.frozen
class Mine:
    """An order of a user."""

    num_samples: int | None = None
    num_sources: int = 2

    def index_at(self, position):
        return SampleIndex(position % 2, 0, position // 2)


def test_an_order_of_unknown_weights_is_counted() -> None:
    ax = plot_mixture(Mine(), ax=new())
    assert exact_fractions(Mine()) == []
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["source 0", "source 1"]
    assert (ax.patches[0].get_data()[0] == 0.5).all()
    mixed = MixtureOrder(orders=[Mine(), epochs(3)], weights=(1, 1))
    assert exact_fractions(mixed) == []


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="num_positions must be in 1..70, got num_positions=71"):
        plot_mixture(two(num_samples=70), num_positions=71, ax=new())
    with pytest.raises(ValueError, match="num_positions must be in 1..1, got num_positions=0"):
        plot_mixture(two(num_samples=0), ax=new())
    many = MixtureOrder(orders=[epochs(length) for length in range(1, 30)], weights=[1] * 29)
    with pytest.raises(ValueError, match="order must have at most 28 sources, got num_sources=29"):
        plot_mixture(many, ax=new())
