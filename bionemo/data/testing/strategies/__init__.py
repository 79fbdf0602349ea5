"""Hypothesis strategies for what training reads: orders, pipelines, topologies, and rows of tokens."""

from bionemo.core.extras import require

require("hypothesis", extra="testing")

from bionemo.data.testing.strategies.nested_orders import (  # noqa: E402 - the line above names the extra
    invertible_orders,
    mixtures,
    orders,
    positions_in,
)
from bionemo.data.testing.strategies.runs import (  # noqa: E402
    DrawnSample,
    Job,
    Topology,
    histories,
    pipelines,
    topologies,
)
from bionemo.data.testing.strategies.values import (  # noqa: E402
    datasets,
    epoch_indices,
    generators,
    lengths,
    seeds,
    token_rows,
)

__all__ = [
    "DrawnSample",
    "Job",
    "Topology",
    "datasets",
    "epoch_indices",
    "generators",
    "histories",
    "invertible_orders",
    "lengths",
    "mixtures",
    "orders",
    "pipelines",
    "positions_in",
    "seeds",
    "token_rows",
    "topologies",
]
