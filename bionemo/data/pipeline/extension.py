"""Runs that are extended: the position up to which two orders agree, known from their records alone."""

from collections.abc import Mapping
from typing import Any

from bionemo.core.checks import MAX_INT
from bionemo.core.record import to_plain
from bionemo.data.orders.block import BlockShuffleOrder
from bionemo.data.orders.by_length.windows import WindowOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.interleave import position_of_item
from bionemo.data.orders.mixture import MixtureOrder
from bionemo.data.orders.order import Order
from bionemo.data.orders.resample import ResampleOrder
from bionemo.data.orders.weighted import WeightedOrder

__all__ = ["agreement"]


def agreement(order: Order, saved: Any, /) -> int:
    """Return a position below which an order has the samples of a saved one; nothing is looked up.

    A run is extended by a larger `num_samples`, or by changes of a mixture's weights later on, at any depth. Orders of
    users agree nowhere unless their records are equal, because nobody knows what their fields mean.

    Law: at all positions below it that both orders have, `index_at` is equal.

    Args:
        order: an order.
        saved: `to_plain` of another one.

    Returns:
        The position; 2**63-1 if the orders are equal, 0 if something else than their ends and changes differs.

    Example:
        >>> agreement(EpochOrder(length=10, seed=7, num_samples=50), to_plain(EpochOrder(length=10, seed=7)))
        50
        >>> agreement(EpochOrder(length=10, seed=7), to_plain(EpochOrder(length=10, seed=8)))
        0
    """
    return _agreement(order, to_plain(order), saved)


def _agreement(order: Any, plain: Mapping[str, Any], saved: Any) -> int:
    if plain == saved:
        return MAX_INT
    if not isinstance(saved, Mapping) or plain.keys() != saved.keys():
        return 0
    differing = {name for name in plain if plain[name] != saved[name]}
    ends = [record["num_samples"] for record in (plain, saved) if isinstance(record.get("num_samples"), int)]
    end = min(ends) if "num_samples" in differing else MAX_INT
    if isinstance(order, EpochOrder | BlockShuffleOrder | ResampleOrder | WeightedOrder):
        return end if differing == {"num_samples"} else 0
    if isinstance(order, WindowOrder) and differing == {"order"}:
        # A window in which the base orders differ is rearranged anew, from its start on.
        return int(order.window_start(_agreement(order.order, plain["order"], saved["order"])))
    if isinstance(order, MixtureOrder) and differing <= {"num_samples", "changes", "orders"}:
        return min(end, _first_change(plain, saved), _first_of_children(order, plain["orders"], saved["orders"]))
    return 0


def _first_change(plain: Mapping[str, Any], saved: Mapping[str, Any]) -> int:
    """Return the first position from which on the weights of two mixtures differ."""
    one, other = plain["changes"], saved["changes"]
    apart = [change for change in one if change not in other] + [change for change in other if change not in one]
    return min((position for position, _ in apart), default=MAX_INT)


def _first_of_children(order: MixtureOrder, plain: list[Any], saved: list[Any]) -> int:
    """Return the first position at which a mixture needs a sample in which its orders and the saved ones differ."""
    if len(plain) != len(saved):
        return 0
    counts = enumerate(map(_agreement, order.orders, plain, saved))
    tables = order._interleaving  # noqa: SLF001
    return min((position_of_item(child, count, *tables) for child, count in counts if count < MAX_INT), default=MAX_INT)
