"""Plots of the quality of shuffles: good ones are at 1, each kind of bad one is visible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.data import EpochOrder, MixtureOrder
from bionemo.data.plot import plot_shuffle_quality
from bionemo.data.plot.quality import different_steps

LENGTH = 2**12


def windowed(index: int) -> int:
    return index // 64 * 64 + (index * 37 + 11) % 64


def lcg(length: int) -> list[int]:
    state, found = 1, []
    for _ in range(LENGTH):
        state = (state * 6364136223846793005 + 1442695040888963407) % length
        found.append(state)
    return found


def drawn(maps, length: int = LENGTH):
    left, right = plot_shuffle_quality(maps, length=length, ax=Figure().subplots(1, 2))
    densities = [stairs.get_data()[0] for stairs in left.patches]
    fractions = [line.get_ydata() for line in right.lines[1:]]
    return densities, fractions, [text.get_text() for text in right.get_legend().get_texts()[1:]]


@pytest.mark.parametrize("seed", [0, 1, 42, 2**62])
@pytest.mark.parametrize("length", [LENGTH, LENGTH + 1, 3 * LENGTH])
def test_our_shuffles_are_as_random_permutations(seed: int, length: int) -> None:
    (density,), (fraction,), labels = drawn({"ours": EpochOrder(length=length, seed=seed)}, length)
    assert np.abs(density - 1).max() < 0.5  # 41 bars of 100 samples or more: 5 standard deviations
    assert np.abs(fraction - 1).max() < 0.06
    assert labels == ["ours: none repeated"]


def test_a_function_is_drawn_as_the_order_that_it_is() -> None:
    order = EpochOrder(length=LENGTH, seed=1)
    (density, other), fractions, _ = drawn({"order": order, "function": lambda index: order.index_at(index).idx})
    assert np.array_equal(density, other)
    assert np.array_equal(*fractions)


def test_a_window_has_a_peak_at_its_own_place_and_few_steps() -> None:
    (density,), (fraction,), _ = drawn({"window": windowed})
    assert density[20] > 20
    assert density[:19].max() == 0.02  # the floor of the logarithmic axis
    assert fraction.max() < 0.1


@pytest.mark.parametrize("length", [LENGTH, 2**40])
def test_the_regular_low_bits_of_a_linear_generator_are_visible(length: int) -> None:
    lags, fractions = different_steps(np.array(lcg(length)), length=length)
    assert lags.tolist() == [2**power for power in range(11)]
    assert fractions[0] < 0.5
    assert fractions[-1] < 0.05


@pytest.mark.parametrize("step", [1, 3, 1235])
def test_a_linear_map_has_one_step(step: int) -> None:
    _, (fraction,), _ = drawn({"linear": lambda index: (step * index + 5) % LENGTH})
    assert fraction.max() < 0.01


def test_repeats_are_counted_in_red() -> None:
    maps = {"ours": EpochOrder(length=LENGTH, seed=1), "one": lambda index: max(index, 1)}
    _, right = plot_shuffle_quality(maps, length=LENGTH, ax=Figure().subplots(1, 2))
    _, ours, one = right.get_legend().get_texts()
    assert one.get_text() == "one: 1 repeated, 1 missing"
    assert one.get_color() == "#d6541c"
    assert ours.get_color() != one.get_color()


def test_of_a_huge_length_the_first_elements_are_looked_up() -> None:
    left, right = plot_shuffle_quality(
        {"ours": EpochOrder(length=10**12, seed=1)}, length=10**12, ax=Figure().subplots(1, 2)
    )
    assert left.get_title() == "where samples go, first 131,072 of 1,000,000,000,000"
    assert np.abs(left.patches[0].get_data()[0] - 1).max() < 0.15
    assert np.abs(right.lines[1].get_ydata() - 1).max() < 0.02


@given(length=st.integers(4, 40), data=st.data())
def test_any_map_is_drawn(length: int, data) -> None:
    values = data.draw(st.lists(st.integers(0, length - 1), min_size=length, max_size=length))
    densities, fractions, labels = drawn({"map": values.__getitem__}, length)
    bars = densities[0]
    assert bars[bars > 0.02].sum() == pytest.approx(len(bars))  # the bars without the floor add up to 1
    assert (fractions[0] >= 0).all()
    repeated = length - len(set(values))
    assert labels == [f"map: {repeated} repeated, {repeated} missing" if repeated else "map: none repeated"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"maps": {}}, ValueError, "maps must hold an order or a function by label, got none"),
        ({"maps": {"a": 3}}, TypeError, "maps must hold orders and functions, got 3 as 'a'"),
        (
            {"maps": {"a": lambda index: index + 1}},
            ValueError,
            "maps must return indices below length=9, got idx=9 of 'a'",
        ),
        ({"maps": {"a": lambda index: index / 2}}, TypeError, "the result of 'a' must be an integer, got"),
        ({"maps": {"a": EpochOrder(length=9, seed=1, num_samples=8)}}, ValueError, "num_samples=8 of 'a'"),
        (
            {"maps": {"a": MixtureOrder(orders=[EpochOrder(length=9, seed=s) for s in (1, 2)], weights=(1, 1))}},
            ValueError,
            "maps must hold orders of one source with length=9 samples, got source_lengths=.9, 9.",
        ),
        (
            {"maps": {"a": EpochOrder(length=10, seed=1)}},
            ValueError,
            "maps must hold orders of one source with length=9 samples",
        ),
        ({"length": 3}, ValueError, "length must be in 4.."),
        ({"ax": Figure().subplots()}, TypeError, "ax must be two axes, as figure.subplots.1, 2. returns, or None"),
        ({"ax": [3, 4]}, TypeError, "ax must be a matplotlib Axes or None, got ax=3"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_errors_name_the_argument(fields, error, message) -> None:
    with pytest.raises(error, match=message):
        plot_shuffle_quality(**{"maps": {"a": int}, "length": 9, "ax": Figure().subplots(1, 2), **fields})
