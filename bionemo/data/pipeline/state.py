"""The state of a loader: one position, and the record of the pipeline, which may extend the run."""

import warnings
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from bionemo.core.checks import MAX_INT, AnyInt, as_int, check_int
from bionemo.core.record import to_plain
from bionemo.data.orders.block import BlockShuffleOrder
from bionemo.data.orders.by_cluster.balanced import BalancedOrder
from bionemo.data.orders.by_cluster.clusters import ClusterOrder
from bionemo.data.orders.by_length.windows import WindowOrder
from bionemo.data.orders.by_weight.mixture import MixtureOrder
from bionemo.data.orders.by_weight.proportional import ProportionalOrder
from bionemo.data.orders.by_weight.weighted import WeightedOrder
from bionemo.data.orders.by_weight.weighted_epoch import WeightedEpochOrder
from bionemo.data.orders.epoch import EpochOrder
from bionemo.data.orders.epoch_batches import EpochBatchOrder
from bionemo.data.orders.kensler import KenslerOrder
from bionemo.data.orders.order import Order
from bionemo.data.orders.resample import ResampleOrder
from bionemo.data.orders.skip import SkipOrder
from bionemo.data.pipeline.pipeline import Pipeline
from bionemo.data.pipeline.record import (
    differences_as_text,
    fingerprint,
    fingerprint_of_spec,
    pipeline_spec,
    record_differences,
)
from bionemo.data.pipeline.steps import end_position

__all__ = ["agreement", "check_state", "loader_state"]

_FREE_FIELDS: Final = ("batch_size", "drop_last")
"""Fields of a pipeline's record that may change within a run: the position alone says where it resumes."""

_OPTIONAL_FIELDS: Final = ("index", "fingerprints", "seed_global_states")
"""Fields that are compared only if both records have them."""

_PLAIN_ORDERS: Final = (
    *(BalancedOrder, BlockShuffleOrder, ClusterOrder, EpochOrder, KenslerOrder, ProportionalOrder, ResampleOrder),
    WeightedEpochOrder,
    WeightedOrder,
)
"""Orders of which an earlier end changes nothing else."""

_SKIPPING: Final = ("SkipOrder", "PlannedSkipOrder")
_ENDS: Final = "stopping_strategy"
_LEFT_OUT: Final = "all_exhausted_without_replacement"

_WARNED_FIELDS: Final = ("transforms", "collate", "batch_transform", "seed_global_states")
"""Fields whose change only warns: a function may be renamed, and functions may draw from no global state."""


def loader_state(pipeline: Pipeline[Any], consumed_samples: AnyInt, /) -> dict[str, Any]:
    """Return the state of a loader at a position, in plain values.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> list(loader_state(pipeline, 4))
        ['consumed_samples', 'pipeline', 'order_id']
    """
    return {
        "consumed_samples": as_int(consumed_samples),
        "pipeline": pipeline_spec(pipeline),
        "order_id": fingerprint(pipeline.order),
    }


def check_state(pipeline: Pipeline[Any], state: Mapping[str, Any], /) -> int:
    """Return the number of consumed samples of a loader's state, if the state fits the pipeline.

    It fits if the pipeline would have delivered the same samples up to this position, and doesn't end earlier. So a run
    may be extended: by a larger `num_samples`, by changes of a mixture's weights that lie ahead or another
    `stopping_strategy`, or by skipping positions that lie ahead.

    Warns:
        UserWarning: if a transform, `collate` or `batch_transform` has another name, or `seed_global_states`
            has changed.

    Raises:
        ValueError: if the state is of another order, seed or data (the message lists the fields that differ), or is not
            a loader's state.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> pipeline = Pipeline(order=EpochOrder(length=5, seed=7), sources="abcde", batch_size=2, seed=42)
        >>> check_state(pipeline, loader_state(pipeline, 4))
        4
    """
    saved, consumed_samples = _read(state)
    agreed = agreement(pipeline.order, saved.get("order"))
    shortened = _shortened(to_plain(pipeline.order), saved.get("order"))
    is_extended = agreed and consumed_samples <= agreed and not shortened
    free = (*_FREE_FIELDS, "order") if is_extended else _FREE_FIELDS
    differences = {
        name: values
        for name, values in record_differences(saved, pipeline_spec(pipeline)).items()
        if name.split(".")[0] not in free and not (name.split(".")[0] in _OPTIONAL_FIELDS and None in values)
    }
    names = {name: values for name, values in differences.items() if name.split(".")[0] in _WARNED_FIELDS}
    fatal = {name: values for name, values in differences.items() if name not in names}
    if fatal or state["order_id"] != fingerprint_of_spec(saved):
        message = (
            f"state must be of the same order, but differs in {differences_as_text(fatal) or 'its order_id'}. "
            "Restore what differs, or begin at a position with start=."
        )
        if shortened and agreed:
            message += f" A run may be extended, but num_samples must not shrink at position {consumed_samples}."
        elif 0 < agreed < consumed_samples:
            message += f" The orders agree below position {agreed}, and the state is at {consumed_samples}."
        if any(".weights." in name for name in fatal):
            message += f" A mixture gets other weights by changes=, e.g. [({consumed_samples}, (1, 1))]."
        if changed := [name.split(".")[1] for name in fatal if name.startswith("fingerprints.")]:
            message += f" Source {changed[0]} holds other data; if not, say so with Source(dataset, fingerprint=...)."
        raise ValueError(message)
    if names:
        warnings.warn(
            f"the loader continues with other functions: {differences_as_text(names)}.", UserWarning, stacklevel=3
        )
    return check_int(consumed_samples, name="consumed_samples", high=end_position(pipeline))


def _read(state: Any) -> tuple[dict[str, Any], int]:
    """Return the record and the position of a state."""
    fields: dict[str, Any] = {"consumed_samples": int | np.integer, "pipeline": dict, "order_id": str}
    given = state if isinstance(state, Mapping) else {}
    wrong = [name for name, kind in fields.items() if not isinstance(given.get(name), kind)]
    if wrong:
        found = f"a {type(state).__name__} in which {', '.join(wrong)} is missing or of another type"
        message = f"state must be what a loader's state_dict() returned, a dict with {', '.join(fields)}, got {found}."
        raise ValueError(message)
    return given["pipeline"], check_int(given["consumed_samples"], name="consumed_samples")


def _shortened(plain: Any, saved: Any) -> bool:
    """Return whether an order, or one in it, has a smaller `num_samples` than the saved one."""
    if not isinstance(plain, Mapping) or not isinstance(saved, Mapping):
        return False
    if (plain.get("type") in _SKIPPING) != (saved.get("type") in _SKIPPING):
        inner = [record["order"] if record.get("type") in _SKIPPING else record for record in (plain, saved)]
        return _shortened(*inner)
    now, before = plain.get("num_samples"), saved.get("num_samples")
    pairs = [(plain.get("order"), saved.get("order"))]
    pairs += zip(plain.get("orders") or [], saved.get("orders") or [], strict=False)
    is_shorter = now is not None and "num_samples" in saved and (before is None or now < before)
    return is_shorter or any(_shortened(*pair) for pair in pairs)


def agreement(order: Order, saved: Any, /) -> int:
    """Return a position below which an order has the samples of a saved one; nothing is looked up.

    A run is extended by a larger `num_samples`, or by changes of a mixture's weights or skips later on, at any depth.
    Orders of users agree nowhere unless their records are equal, because nobody knows what their fields mean.

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
    if plain == saved or not isinstance(saved, Mapping):
        return MAX_INT if plain == saved else 0
    if isinstance(order, SkipOrder) or saved.get("type") in _SKIPPING:
        return _agreement_of_skips(order, plain, saved)
    differing = {name for name in {**plain, **saved} if plain.get(name) != saved.get(name)}
    ends = [record["num_samples"] for record in (plain, saved) if isinstance(record.get("num_samples"), int)]
    end = min(ends) if "num_samples" in differing else MAX_INT
    if isinstance(order, _PLAIN_ORDERS) and differing == {"num_samples"}:
        return end
    may_differ = {"order", "batch_size"} if getattr(order, "rest", None) == "short" else {"order"}
    if isinstance(order, WindowOrder | EpochBatchOrder) and differing <= may_differ:
        return _agreement_of_windows(order, plain["order"], saved["order"])
    if isinstance(order, MixtureOrder) and differing <= {"num_samples", "changes", "orders", "stopping_strategy"}:
        children = _first_of_children(
            order, plain, saved, are_left_out=_LEFT_OUT in {plain.get(_ENDS), saved.get(_ENDS)}
        )
        return min(end, _first_change(plain, saved), children)
    return 0


def _agreement_of_windows(
    order: WindowOrder | EpochBatchOrder, base: Mapping[str, Any], saved: Mapping[str, Any]
) -> int:
    """Return the start of the first window, or of the step of an epoch, in which the base orders differ."""
    # Orders of one kind that agree somewhere have epochs of equal length, and so the same windows.
    agreed = _agreement(order.order, base, saved) if base["type"] == saved["type"] else 0
    return int(order.window_start(agreed))


def _agreement_of_skips(order: Any, plain: Mapping[str, Any], saved: Mapping[str, Any]) -> int:
    """Return the first position at which an order, or a saved one, skips what the other doesn't, or they differ."""
    skips = isinstance(order, SkipOrder)
    base, own = (plain["order"], plain["positions"]) if skips else (plain, [])
    saved_base, other = (saved["order"], saved["positions"]) if saved["type"] in _SKIPPING else (saved, [])
    agreed = min(_first_apart(own, other), _agreement(order.order if skips else order, base, saved_base))
    return int(order.position_after(agreed)) if skips else agreed


def _first_apart(one: list[list[int]], other: list[list[int]]) -> int:
    """Return the first position that is in the ranges of one list only."""
    for a, b in zip_longest(one, other, fillvalue=[MAX_INT, MAX_INT]):
        if a[0] != b[0]:
            return min(a[0], b[0])
        if a[1] != b[1]:
            return min(a[1], b[1])
    return MAX_INT


def _first_change(plain: Mapping[str, Any], saved: Mapping[str, Any]) -> int:
    """Return the first position from which on the weights of two mixtures differ."""
    one, other = plain["changes"], saved["changes"]
    apart = [change for change in one if change not in other] + [change for change in other if change not in one]
    return min((position for position, _ in apart), default=MAX_INT)


def _first_of_children(
    order: MixtureOrder, plain: Mapping[str, Any], saved: Mapping[str, Any], *, are_left_out: bool
) -> int:
    """Return the first position at which a mixture needs a sample in which its orders and the saved ones differ."""
    if len(plain["orders"]) != len(saved["orders"]):
        return 0
    first = MAX_INT
    for child, part in enumerate(order.orders):
        count = _agreement(part, plain["orders"][child], saved["orders"][child])
        if plain.get(_ENDS) != saved.get(_ENDS) and part.num_samples is not None:
            count = min(count, part.num_samples)
        if count < MAX_INT:
            # An order that is left out when it ends changes the mixture right after its last sample.
            at = order.position_of_draw(child, count - 1 if are_left_out and count else count)
            first = first if at is None else min(first, at + (are_left_out and count > 0))
    return first
