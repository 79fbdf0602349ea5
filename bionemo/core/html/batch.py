"""Batches as HTML, for notebooks: the shapes of their tensors, and which tokens are padding, real, and targets."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import is_concrete
from bionemo.core.html.pieces import card, cells, color_of, table, text
from bionemo.core.html.token_kinds import PADDING, REAL, TARGET, BatchParts, batch_parts, named_values, token_kinds

__all__ = ["batch_html"]

_ROWS: Final = 8
_COLUMNS: Final = 96
"""Size of the corner of a batch that is drawn."""
_COLORS: Final = {PADDING: "hsl(0 0% 50% / 0.25)", REAL: color_of(0, opacity=0.8), TARGET: color_of(4, opacity=0.9)}
_WORDS: Final = {PADDING: "padding", REAL: "real token", TARGET: "target"}
_CELL: Final = 6
"""Pixels per token."""
_OUTSIDE: Final = 255


@checked
def batch_html(batch: Any, /, *, title: str | None = None) -> str:
    """Return a batch as HTML: the dtype and shape of each tensor, and a picture of its first tokens.

    No token is printed. Jupyter shows it for the named tuples of `bionemo.data.batches`; call it for a mapping.

    Args:
        batch: a mapping or named tuple of tensors, or a pair (ids, mask).
        title: by default the name of its type.

    Raises:
        TypeError: if the batch is something else.

    Example:
        >>> ids = torch.tensor([[5, 6, 7], [8, 1, 1]])
        >>> "int64 (2, 3)" in batch_html({"ids": ids, "mask": ids > 1})
        True
    """
    values = named_values(batch)
    rows = [(str(name), text(_described(value))) for name, value in values.items()]
    pictures = [picture for part in _blocks(values) for picture in _picture(part)]
    return card(type(batch).__name__ if title is None else title, table(rows), *pictures)


def _described(value: Any) -> str:
    """Return what a value is: dtype, shape and device of a tensor, the type and length of what has one."""
    if isinstance(value, Tensor | np.ndarray):
        device = "" if str(value.device) == "cpu" else f" on {value.device}"
        shape = "of several shapes" if getattr(value, "is_nested", False) else tuple(value.shape)
        return f"{str(value.dtype).removeprefix('torch.')} {shape}{device}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _blocks(values: dict[str, Any]) -> Iterator[BatchParts]:
    targets = {name.removeprefix("target_"): value for name, value in values.items() if name.startswith("target_")}
    for part in (values, targets):
        try:
            found = batch_parts(part)
        except (TypeError, ValueError):  # no block of tokens: there is nothing to draw
            continue
        yield found


def _picture(parts: BatchParts) -> Iterator[str]:
    """Yield a picture of the first tokens, and a legend."""
    if parts.ids.device.type == "meta" or not is_concrete(parts.ids.detach()[:0].cpu()):
        return  # there are no values
    kinds = token_kinds(BatchParts(*(None if part is None else part.detach().cpu() for part in parts)))  # type: ignore[arg-type]
    counts = torch.bincount(kinds.reshape(-1), minlength=3).tolist()
    total = max(sum(counts), 1)
    packed = kinds.ndim == 1
    if packed:  # one axis is drawn in lines
        kinds = kinds[: _ROWS * _COLUMNS]
        rest = -len(kinds) % _COLUMNS
        kinds = torch.nn.functional.pad(kinds, (0, rest), value=_OUTSIDE).reshape(-1, _COLUMNS)
    corner = kinds[:_ROWS, :_COLUMNS]
    height, width = (_CELL * size for size in corner.shape)
    paths = "".join(f'<path d="{_path(corner, kind)}" fill="{color}"></path>' for kind, color in _COLORS.items())
    yield f'<div><svg width="{width}" height="{height}" style="max-width:100%">{paths}</svg></div>'
    legend = [
        (f"{_WORDS[kind]} {counts[kind] / total:.1%}", color, _WORDS[kind])
        for kind, color in _COLORS.items()
        if counts[kind]
    ]
    yield f"<div>{cells(legend)}{_cut(parts.ids, packed=packed)}</div>"


def _cut(ids: Tensor, *, packed: bool) -> str:
    limits = (_ROWS * _COLUMNS,) if packed else (_ROWS, _COLUMNS)
    words = ("tokens",) if packed else ("rows", "columns")
    cut = [
        f"first {limit:,} of {size:,} {word}"
        for limit, size, word in zip(limits, ids.shape, words, strict=True)
        if size > limit
    ]
    return text(f" {', '.join(cut)}") if cut else ""


def _path(kinds: Tensor, kind: int) -> str:
    """Return the outline of all runs of a kind, as the commands of an SVG path."""
    parts = []
    for row, line in enumerate((kinds == kind).int()):
        edges = torch.nn.functional.pad(line, (1, 1)).diff()
        for start, stop in zip((edges > 0).nonzero(), (edges < 0).nonzero(), strict=True):
            left, width = _CELL * int(start), _CELL * int(stop - start)
            parts.append(f"M{left} {_CELL * row}h{width}v{_CELL - 1}h-{width}z")
    return "".join(parts)
