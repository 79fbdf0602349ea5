"""Orders as HTML, for notebooks: fields, epochs, sources, weights and the first samples."""

from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from typing import Any, Final

import attrs

from bionemo.core.checks import as_int
from bionemo.core.fields import short_repr
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.html.pieces import bar, card, cells, color_of, details, shade_of, table, text
from bionemo.core.record import given_fields
from bionemo.data.orders.order import Order, check_is_order, index_at

__all__ = ["first_samples_html", "lookup_cost", "order_details", "order_html", "short_text"]

_MOST_CELLS: Final = 32
_MOST_LETTERS: Final = 120
"""Cells and digits of the strip of first samples."""
_LONGEST_LINE: Final = 90
_MOST_ROWS: Final = 8
"""Number of sources, weights and nested orders that are listed."""
_LARGE_ARRAY: Final = 2**16
"""Arrays of more elements are shown without their digest, which reads them all."""
_MOST_COST: Final = 2**20
"""Elements that a lookup may go over: a fraction of a second."""
_WINDOW_COST: Final = 16
"""Elements that take as long as one position of a window that is planned."""


def order_html(order: Any, /) -> str:
    """Return an order as HTML; Jupyter shows it for the orders of this library.

    It shows what the order has: its fields if it is an attrs record, `num_samples`, `epoch_length`, `source_lengths`,
    the orders that it holds, and the weights of a mixture. Nothing is read or planned that takes long.

    Args:
        order: any order, also one of your own.

    Raises:
        TypeError: if it is not an order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> "seed" in order_html(EpochOrder(length=10, seed=7))
        True
    """
    check_is_order(order, name="order")
    return card(type(order).__name__, _order_table(order, order_details))


def _order_table(order: Any, show_order: Callable[[Any], str]) -> str:
    return table([*_field_rows(order, show_order), *_epoch_rows(order), *_source_rows(order), *_weight_rows(order)])


def order_details(order: Order, /) -> str:
    """Return an order as a line of text that opens to a table: for what holds the order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> order_details(EpochOrder(length=10, seed=7))[:80]
        '<details><summary style="cursor:pointer">EpochOrder(length=10, seed=7, num_sampl'
    """
    line = short_text(order)
    line = line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."
    return details(line, _order_table(order, lambda inner: text(short_text(inner))))


def _field_rows(order: Any, show_order: Callable[[Any], str]) -> Iterator[tuple[str, str]]:
    fields = given_fields(order) if attrs.has(type(order)) else {"num_samples": order.num_samples}
    for name, value in fields.items():
        if hasattr(value, "index_at"):
            yield name, show_order(value)
        elif name == "orders" and isinstance(value, tuple):
            lines = [f"<div>{show_order(inner)}</div>" for inner in value[:_MOST_ROWS]]
            yield name, "".join([*lines, _more(len(value))])
        else:
            yield name, text(short_text(value))


def _more(count: int) -> str:
    return f"<div>... {count - _MOST_ROWS:,} more</div>" if count > _MOST_ROWS else ""


def _epoch_rows(order: Any) -> Iterator[tuple[str, str]]:
    length, end = getattr(order, "epoch_length", None), order.num_samples
    size = "no end" if end is None else f"{as_int(end):,}"
    if length:
        number = "" if end is None else f" = {as_int(end) / as_int(length):,.4g} epochs"
        yield "in all", text(f"{size}{number}, {as_int(length):,} per epoch")
    else:
        yield "in all", text(size)


def _source_rows(order: Any) -> Iterator[tuple[str, str]]:
    count = as_int(order.num_sources)
    lengths = getattr(order, "source_lengths", (None,) * min(count, _MOST_ROWS))
    if count > 1:
        names = [
            _colored(f"{source}: {'unknown length' if length is None else f'{as_int(length):,} samples'}", source)
            for source, length in enumerate(lengths[:_MOST_ROWS])
        ]
        yield f"{count:,} sources", "".join(names) + _more(count)
    yield "first samples", first_samples_html(order)


def _colored(words: str, source: int) -> str:
    return cells([(words, color_of(source), f"source {source}")])


def _weight_rows(order: Any) -> Iterator[tuple[str, str]]:
    stretches, orders = getattr(order, "stretches", ()), getattr(order, "orders", ())
    firsts = list(accumulate((as_int(inner.num_sources) for inner in orders), initial=0))
    for start, weights in stretches[:_MOST_ROWS]:
        total = sum(weights)
        names = [
            f"source {first}" if stop == first + 1 else f"sources {first} to {stop - 1}"
            for first, stop in pairwise(firsts)
        ]
        parts = [
            (weight / total, color_of(first), f"{name}: {weight}/{total} = {weight / total:.2%}")
            for weight, first, name in zip(weights[:_MOST_CELLS], firsts, names, strict=False)
        ]
        listed = ", ".join(f"{weight / total:.3g}" for weight in weights[:_MOST_ROWS])
        dots = ", ..." if len(weights) > _MOST_ROWS else ""
        yield f"from position {start:,}", f"{bar(parts)} {text(listed + dots)}"
    if len(stretches) > _MOST_ROWS:
        yield "", _more(len(stretches))


def first_samples_html(order: Order, /) -> str:
    """Return the first samples of an order as a strip of cells, colored by `idx`, or by source if there are several.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> first_samples_html(EpochOrder(length=10, seed=7)).count("<span")
        32
    """
    if lookup_cost(order) > _MOST_COST:
        return text("not shown: looking them up goes over many elements first")
    end = order.num_samples
    count = _MOST_CELLS if end is None else min(as_int(end), _MOST_CELLS)
    if count <= 0:
        return text("none")
    try:
        found = list(zip(*(part.tolist() for part in index_at(order, range(count))), strict=True))
    except Exception as error:  # noqa: BLE001 - an order of a user may raise anything: it is shown
        return text(f"index_at raises {type(error).__name__}: {error}")
    top = max((idx for _, _, idx in found), default=0)
    lengths = getattr(order, "source_lengths", None) or (None,)
    last = max((as_int(lengths[0]) or top + 1) - 1, 1)
    several = order.num_sources > 1
    parts, letters = [], 0
    for position, (source, epoch, idx) in enumerate(found):
        letters += len(str(idx))
        if letters > _MOST_LETTERS and position:
            break
        shade = color_of(source) if several else shade_of(idx / last)
        parts.append((str(idx), shade, f"position {position}: source {source}, epoch {epoch}, idx {idx}"))
    return cells(parts) + text("" if end == len(parts) else " ...")


def lookup_cost(value: object, /) -> int:
    """Return about how many elements the first lookup in an order, or in the orders that a record holds, goes over.

    An order of weights makes a table of all of them, one that rearranges windows plans a window, which takes longer.

    Example:
        >>> from bionemo.data import EpochOrder, WeightedOrder
        >>> lookup_cost(EpochOrder(length=10**12, seed=7)), lookup_cost(WeightedOrder(weights=[1, 2, 3], seed=7))
        (0, 3)
    """
    if isinstance(value, FrozenArray):
        return int(value.array.size)
    if isinstance(value, tuple):
        return sum(lookup_cost(part) for part in value if attrs.has(type(part)))
    if not attrs.has(type(value)):
        return 0
    cost = sum(lookup_cost(part) for name, part in given_fields(value).items() if name != "lengths")
    sizes = [getattr(value, name, None) for name in ("window_size", "epoch_length", "num_samples")]
    window = min(as_int(size) for size in sizes if size is not None) if sizes[0] is not None else 0
    return cost + _WINDOW_COST * window


def short_text(value: object, /) -> str:
    """Return the repr of a record or field without what takes long: of large arrays only dtype and shape.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> short_text(EpochOrder(length=10, seed=7))
        'EpochOrder(length=10, seed=7, num_samples=None, shuffle=True)'
    """
    return short_repr(value, show=_shown)


def _shown(value: Any) -> str:
    if isinstance(value, FrozenArray) and value.array.size > _LARGE_ARRAY:
        return f"FrozenArray({value.array.dtype.name}[{', '.join(map(str, value.array.shape))}])"
    if attrs.has(type(value)) and not isinstance(value, FrozenArray):
        fields = ", ".join(f"{name}={short_text(part)}" for name, part in given_fields(value).items())
        return f"{type(value).__name__}({fields})"
    return repr(value)
