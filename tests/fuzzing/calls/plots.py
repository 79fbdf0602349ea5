"""Valid calls of the pictures."""

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from bionemo import data
from bionemo.data import plot
from tests.fuzzing.calls.parts import IDS, LENGTHS, SHORT, Call, call, epochs


def plot_calls() -> Iterator[Call]:
    def axes() -> dict[str, Any]:
        return {"ax": Figure().subplots()}

    mixture = data.MixtureOrder(orders=(SHORT, epochs()), weights=[1, 2])
    packed = data.PackedOrder(order=SHORT, lengths=LENGTHS, max_tokens=16, bins_per_step=2, window_size=4, seed=3)
    yield call(plot.plot_order, axes, order=mixture, num_positions=9)
    yield call(plot.plot_epochs, axes, order=SHORT, epochs=(0, 2))
    yield call(plot.plot_mixture, axes, order=mixture, num_positions=9)
    yield call(plot.plot_padding, axes, order=SHORT, lengths=LENGTHS, batch_size=4, num_steps=2)
    yield call(plot.plot_packing, axes, order=packed, num_steps=2)
    yield call(plot.plot_batch, axes, batch={"ids": IDS, "mask": IDS > 0})
    yield call(plot.plot_coverage, axes, history=[{"step": 0, "rank": 0, "ids": [3, 1]}])
    two = {"maps": {"ours": SHORT, "none": int}, "length": 12}
    yield call(plot.plot_shuffle_quality, lambda: {"ax": Figure().subplots(1, 2)}, **two)
    yield call(data.order_html, order=SHORT)
    yield call(data.batch_html, batch={"ids": IDS, "mask": IDS > 0}, title="batch")
