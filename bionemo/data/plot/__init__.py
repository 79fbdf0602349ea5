"""Pictures of orders, mixtures, steps and batches, on matplotlib axes. They need `pip install 'bionemo-core[plot]'`.

Each function takes records, draws on the axes that it is given or on those of a new figure, and returns them.
"""

from bionemo.data.plot.batches import plot_batch
from bionemo.data.plot.coverage import plot_coverage
from bionemo.data.plot.mixtures import plot_mixture
from bionemo.data.plot.orders import plot_epochs, plot_order
from bionemo.data.plot.quality import plot_shuffle_quality
from bionemo.data.plot.steps import plot_packing, plot_padding

__all__ = [
    "plot_batch",
    "plot_coverage",
    "plot_epochs",
    "plot_mixture",
    "plot_order",
    "plot_packing",
    "plot_padding",
    "plot_shuffle_quality",
]
