"""Loaders as HTML, for notebooks: how far they have read, on which rank, and of which pipeline."""

from collections.abc import Iterator
from typing import Any

from bionemo.core.checks import as_int
from bionemo.core.html.pieces import bar, card, color_of, details, table, text
from bionemo.data.pipeline.html import pipeline_rows

__all__ = ["loader_html"]


def loader_html(loader: Any, /) -> str:
    """Return a loader as HTML; Jupyter shows it. Nothing is read, and no worker process is started.

    Args:
        loader: a `PipelineLoader`.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline
        >>> from bionemo.data.pipes import loader
        >>> order = EpochOrder(length=5, seed=7, num_samples=5)
        >>> batches = loader(Pipeline(order=order, sources="abcde", batch_size=2, seed=42))
        >>> _ = next(iter(batches))
        >>> "2 of 5" in loader_html(batches)
        True
    """
    pipeline = details("pipeline", table(pipeline_rows(loader.pipeline)))
    return card(type(loader).__name__, table(_rows(loader)), pipeline)


def _rows(loader: Any) -> Iterator[tuple[str, str]]:
    consumed, end = as_int(loader.consumed_samples), loader.pipeline.order.num_samples
    if end is None:
        length = getattr(loader.pipeline.order, "epoch_length", None)
        where = f", epoch {consumed // as_int(length):,}" if length else ""
        yield "consumed_samples", text(f"{consumed:,}, no end{where}")
    else:
        fraction = consumed / as_int(end)
        progress = bar([(fraction, color_of(0), f"{fraction:.2%}")])
        yield "consumed_samples", f"{progress} {text(f'{consumed:,} of {as_int(end):,}')}"
    last = loader.last_positions
    yield "last batch", text(f"positions {last.start:,} to {last.stop - 1:,}" if last else "none")
    yield "rank", text(f"{loader.rank} of {loader.world_size}")
    if loader.batches_per_epoch is not None:
        yield "batches_per_epoch", text(f"{loader.batches_per_epoch:,}")
    for name in ("restart", "num_workers", "num_threads", "read_ahead", "pin_memory", "device"):
        yield name, text(getattr(loader, name))
