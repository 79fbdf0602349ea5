"""Pipelines as HTML, for notebooks: what they read, in which order, and in how many steps."""

from collections.abc import Iterator
from typing import Any, Final

from bionemo.core.checks import as_int
from bionemo.core.html.pieces import card, color_of, table, text
from bionemo.data.orders.html import first_samples_html, order_details
from bionemo.data.pipeline.fixed_steps import num_fixed_steps
from bionemo.data.reading.functions import shown_name

__all__ = ["pipeline_html", "pipeline_rows"]

_MOST_SOURCES: Final = 8


def pipeline_html(pipeline: Any, /) -> str:
    """Return a pipeline as HTML; Jupyter shows it. No sample is read, and nothing is planned that takes long.

    Args:
        pipeline: a `Pipeline`.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> "batch_size" in pipeline_html(pipeline)
        True
    """
    return card(type(pipeline).__name__, table(pipeline_rows(pipeline)))


def pipeline_rows(pipeline: Any, /) -> Iterator[tuple[str, str]]:
    """Yield names, and HTML of values, for a table of a pipeline.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> dict(pipeline_rows(pipeline))["steps"]
        'no end'
    """
    yield "order", order_details(pipeline.order)
    several = len(pipeline.sources) > 1
    lines = [
        f"<div>{_swatch(number) if several else ''}{text(source)}</div>"
        for number, source in enumerate(pipeline.sources[:_MOST_SOURCES])
    ]
    more = len(pipeline.sources) - len(lines)
    yield "sources" if several else "source", "".join(lines) + (f"<div>... {more:,} more</div>" if more else "")
    yield "batch_size", text("as the order plans" if pipeline.batch_size is None else f"{pipeline.batch_size:,}")
    yield "steps", text(_steps(pipeline))
    yield "seed", text(pipeline.seed)
    for name in ("collate", "batch_transform"):
        function = getattr(pipeline, name)
        yield name, text("None" if function is None else shown_name(function))
    yield "drop_last", text(pipeline.drop_last)
    yield "seed_global_states", text(pipeline.seed_global_states)
    yield "first samples", first_samples_html(pipeline.order)


def _swatch(source: int) -> str:
    style = "display:inline-block;min-width:1.3em;margin-right:4px;border-radius:2px;text-align:center"
    return f'<span style="{style};background:{color_of(source)}">{source}</span>'


def _steps(pipeline: Any) -> str:
    """Return the number of steps as text; that of a planned order takes long to count, so it is not."""
    end = pipeline.order.num_samples
    if end is None:
        return "no end"
    if pipeline.batch_size is None:
        return "counted by num_batches(pipeline)"
    return f"{num_fixed_steps(as_int(end), batch_size=pipeline.batch_size, drop_last=pipeline.drop_last):,}"
