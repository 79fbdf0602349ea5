"""What all plots share: no global state, no matplotlib before it is needed, colors for any background."""

import subprocess
import sys
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bionemo.data import EpochOrder, MixtureOrder, PackedOrder, plot
from bionemo.data.plot import axes

ORDER = EpochOrder(length=20, seed=1, num_samples=80)
MIXTURE = MixtureOrder(orders=[ORDER, EpochOrder(length=9, seed=2)], weights=(1, 2), changes=[(9, (1, 1))])
PACKED = PackedOrder(order=ORDER, lengths=[5] * 20, max_tokens=16, bins_per_step=2, window_size=9, seed=1)
BATCH = {"ids": torch.ones(2, 3), "mask": torch.ones(2, 3) > 0}
PLOTS = {
    "order": partial(plot.plot_order, MIXTURE),
    "epochs": partial(plot.plot_epochs, ORDER),
    "mixture": partial(plot.plot_mixture, MIXTURE, num_positions=20),
    "padding": partial(plot.plot_padding, ORDER, [5] * 20, batch_size=4),
    "packing": partial(plot.plot_packing, PACKED),
    "batch": partial(plot.plot_batch, BATCH),
    "coverage": partial(plot.plot_coverage, [{"step": 0, "rank": 0, "ids": [1, 1]}]),
    "quality": partial(plot.plot_shuffle_quality, {"ours": ORDER}, length=20),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_every_plot_is_tested() -> None:
    assert {part.func.__name__ for part in PLOTS.values()} == {*plot.__all__}


@pytest.mark.parametrize("name", PLOTS)
def test_on_given_axes_pyplot_is_not_touched(name: str) -> None:
    mine = plt.figure()
    settings = dict(mpl.rcParams)
    ax = Figure().subplots(1, 2) if name == "quality" else Figure().subplots()
    found = PLOTS[name](ax=ax)
    assert list(np.ravel(found)) == list(np.ravel(ax))
    assert plt.get_fignums() == [mine.number]
    assert plt.gcf() is mine
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("name", PLOTS)
def test_without_axes_a_new_figure_is_made_and_not_shown(name: str, monkeypatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    settings = dict(mpl.rcParams)
    first = np.ravel(PLOTS[name]())[0]
    second = np.ravel(PLOTS[name]())[0]
    assert first.figure is not second.figure
    assert first.figure.get_layout_engine() is not None
    assert len(plt.get_fignums()) == 2
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("name", PLOTS)
def test_words_have_the_colors_of_the_style(name: str) -> None:
    with plt.style.context("dark_background"):
        for ax in np.ravel(PLOTS[name]()):
            legend = ax.get_legend()
            words = [ax.xaxis.label, ax.yaxis.label, ax.title, *(legend.get_texts() if legend else [])]
            assert {word.get_color() for word in words if "repeated" not in word.get_text()} == {"white"}
            ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "color", [*axes.PALETTE, axes.GREY, *(tuple(axes.blend()(part / 9)[:3]) for part in range(10))]
)
@pytest.mark.parametrize("background", [0.0, 1.0])
def test_colors_stand_out_on_black_and_on_white(color, background: float) -> None:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    brighter, darker = sorted([luminance, background], reverse=True)
    assert (brighter + 0.05) / (darker + 0.05) > 2.4  # the contrast of the accessibility guidelines


def test_importing_the_plots_loads_no_matplotlib() -> None:
    script = "import sys, bionemo.data.plot; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "matplotlib" not in run.stdout.split()


def test_without_matplotlib_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ModuleNotFoundError, match=r"must be installed: pip install 'bionemo-core\[plot\]'"):
        plot.plot_order(ORDER)
