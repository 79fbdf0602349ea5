"""A batch: which of its tokens are padding, real, and targets of the loss."""

from math import isqrt
from typing import Any, Final

import torch

from bionemo.core.checked import checked
from bionemo.core.extras import require
from bionemo.core.html.token_kinds import BatchParts, batch_parts, token_kinds
from bionemo.data.plot.axes import GREY, PALETTE, Axes, add_legend, axes_or_new

__all__ = ["plot_batch"]

_COLORS: Final = (f"{GREY}40", PALETTE[0], PALETTE[4], "#1a85c999")
"""Of padding, real tokens, targets, and real tokens of every second packed sample."""
_WORDS: Final = ("padding", "real token", "target", "real token, odd sample")
_OUTSIDE: Final = 4
"""After the end of a packed batch."""


@checked
def plot_batch(batch: Any, *, ax: Axes | None = None) -> Axes:
    """Plot which tokens of a batch are padding, which are real, and which of these are targets.

    Args:
        batch: a mapping or named tuple with tensors `ids` or `input_ids`, and if it has them `mask` or
            `attention_mask`, `labels` (-100 = no target) and `segment_ids`, as our collators make it; or a pair
            (ids, mask). They have the shape (rows, length), or (tokens,) for a packed batch.
        ax: axes to draw on; None for those of a new figure.

    Returns:
        The axes with an image: 0 for padding, 1 for a real token, 2 for a target. A packed batch is drawn in lines,
        one after the other, with 3 for the real tokens of every second sample.

    Raises:
        ValueError: if there are no ids, or the tensors differ in shape.
        TypeError: if the batch is something else.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ids = torch.tensor([[5, 6, 7], [8, 1, 1]])
        >>> labels = torch.tensor([[-100, 6, -100], [-100, -100, -100]])
        >>> ax = plot_batch({"ids": ids, "mask": ids > 1, "labels": labels}, ax=Figure().subplots())
        >>> ax.images[0].get_array().tolist()
        [[1, 2, 1], [1, 0, 0]]
    """
    parts = BatchParts(*(None if part is None else part.detach().cpu() for part in batch_parts(batch)))  # type: ignore[arg-type]
    kinds = token_kinds(parts)
    if parts.segment_ids is not None:
        kinds = kinds.where((kinds != 1) | (parts.segment_ids % 2 == 0), 3)
    counts = torch.bincount(kinds.reshape(-1), minlength=len(_WORDS)).tolist()
    is_packed = kinds.ndim == 1
    image = _in_lines(kinds) if is_packed else kinds
    if not image.numel():
        image = torch.full((1, 1), _OUTSIDE)  # an image has at least one pixel
    ax = axes_or_new(ax, width=8.0, height=3.0)
    colors = require("matplotlib.colors", extra="plot")
    patches = require("matplotlib.patches", extra="plot")
    colormap = colors.ListedColormap([*_COLORS, "none"])
    norm = colors.BoundaryNorm(range(len(_COLORS) + 2), colormap.N)
    ax.imshow(image.numpy(), cmap=colormap, norm=norm, aspect="auto", interpolation="nearest")
    _label(ax, is_packed=is_packed, width=image.shape[1])
    total = max(kinds.numel(), 1)
    handles = [
        patches.Patch(color=color, label=f"{word}: {count / total:.1%}")
        for color, word, count in zip(_COLORS, _WORDS, counts, strict=True)
        if count
    ]
    add_legend(ax, handles=handles)
    real = kinds.numel() - counts[0]
    ax.set_title(
        f"{real / total:.1%} real tokens" + (f", {counts[2] / max(real, 1):.1%} of them targets" if counts[2] else "")
    )
    return ax


def _in_lines(kinds: Any) -> Any:
    """Return the tokens of one axis in lines, the last of which may end early."""
    width = max(2 * isqrt(max(kinds.numel() - 1, 0)), 16)
    rest = -kinds.numel() % width
    return torch.nn.functional.pad(kinds, (0, rest), value=_OUTSIDE).reshape(-1, width)


def _label(ax: Axes, *, is_packed: bool, width: int) -> None:
    ax.yaxis.set_major_locator(require("matplotlib.ticker", extra="plot").MaxNLocator(integer=True))
    ax.set(xlabel="token of the line" if is_packed else "column")
    ax.set(ylabel=f"line of {width} tokens" if is_packed else "row")
