"""The laws of an order, for orders that users write."""

import pickle
from itertools import pairwise
from typing import Any, Final, cast

import attrs
import numpy as np

from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, check_int, shown
from bionemo.core.record import external_arrays
from bionemo.data.orders.base import leaves
from bionemo.data.orders.order import Order, PlannedOrder, SampleIndex, check_is_order, index_at, position_of
from bionemo.data.pipeline.record import from_json, to_json
from bionemo.data.testing.reads import changed_states, torch_and_numpy_states

__all__ = ["assert_order"]

_FAR: Final = (10**6, 2**31, 2**32 + 1, 2**40 + 3, 2**62)
"""Positions far into an order without end."""
_NUM_STEPS: Final = 20
_LEAST_LENGTH: Final = 10
"""Shortest data set two of whose shuffles are not equal by chance (1 in 3.6 million)."""
_MOST_SAMPLES: Final = 2**16
"""Longest epoch that is read whole."""


@checked
def assert_order(order: Any, /, *, shuffles_epochs: bool = False, num_positions: AnyInt = 100) -> None:
    """Check the laws of an order, e.g. of one that you wrote yourself.

    - It has `num_samples`, `num_sources` and `index_at`, and each sample is in the range of its data set.
    - `index_at` gives for an array, element by element, what it gives for ints; in any order, each time; and moves no
      global random state.
    - `position_of`, if it has one, is the inverse.
    - It is a record: equal copies are equal, have equal hashes, pickle, and round-trip through JSON if it is an attrs
      class. With a smaller `num_samples` it has the same samples up to there.
    - `window_stop`, if it has one, lies after a position, and is the same for all positions up to it.
    - The steps of a `PlannedOrder` follow each other without a gap; any position in a step has the same end.

    Args:
        order: any order.
        shuffles_epochs: check also that each epoch holds each sample of the data set once, in an order of its own that
            no epoch of the next seeds has. For orders of one source with `source_lengths` and at least 10 samples.
        num_positions: number of positions to try from the start; some later ones are tried as well.

    Raises:
        AssertionError: if a law is broken; the message names the law and the smallest position found.
        TypeError: if it isn't an order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> assert_order(EpochOrder(length=100, seed=7), shuffles_epochs=True)
    """
    check_is_order(order, name="order")
    number = check_int(num_positions, name="num_positions", low=1)
    try:
        positions = _positions(order, number)
        for check in (_check_lookup, _check_ranges, _check_inverse, _check_record, _check_windows):
            check(order, positions)
        if isinstance(order, PlannedOrder):
            _check_steps(order)
        if shuffles_epochs:
            _check_epochs(order)
            _check_seeds(order)
    except AssertionError as error:
        call = f"assert_order(order, shuffles_epochs={bool(shuffles_epochs)}, num_positions={number})"
        message = f"{error} Reproduce: {call}"
        raise AssertionError(message) from None


def _positions(order: Order, num_positions: int) -> IntArray:
    """Return the positions to try, ascending."""
    stop = order.num_samples
    if stop is not None and (not isinstance(stop, int) or stop < 0):
        message = f"num_samples must be None or an integer from 0, got num_samples={shown(stop)}."
        raise AssertionError(message)
    far = _FAR if stop is None else (stop // 2, stop - 2, stop - 1)
    first = num_positions if stop is None else min(stop, num_positions)
    found = {*range(first), *(position for position in far if first <= position and position != stop)}
    return np.array(sorted(found), dtype=np.int64)


def _check_lookup(order: Order, positions: IntArray) -> None:
    """Check that ints and arrays give the same, in any order, and that no global random state moves."""
    states = torch_and_numpy_states()
    many = index_at(order, positions)
    one_by_one = [index_at(order, position) for position in positions[::-1].tolist()][::-1]
    again = index_at(order, positions[::-1])
    if changed := changed_states(states):
        message = f"index_at must leave the global random states unchanged, but it changed that of {changed}."
        raise AssertionError(message)
    for number, position in enumerate(positions.tolist()):
        of_array, of_reversed = _at(many, number), _at(again, len(positions) - 1 - number)
        if not one_by_one[number] == of_array == of_reversed:
            message = (
                f"index_at must give the same for an int and in an array, in any order, but at position {position} it "
                f"gives {one_by_one[number]}, {of_array} and {of_reversed} in a reversed array."
            )
            raise AssertionError(message)


def _at(index: SampleIndex, number: int) -> SampleIndex:
    return SampleIndex(*(int(part[number]) for part in index))


def _check_ranges(order: Order, positions: IntArray) -> None:
    lengths = getattr(order, "source_lengths", (None,) * order.num_sources)
    if len(lengths) != order.num_sources:
        message = f"source_lengths must have num_sources={order.num_sources} elements, got {shown(lengths)}."
        raise AssertionError(message)
    index = index_at(order, positions)
    for number, position in enumerate(positions.tolist()):
        source, epoch, idx = _at(index, number)
        is_in_range = 0 <= source < order.num_sources and epoch >= 0 <= idx
        if not is_in_range or (lengths[source] is not None and idx >= lengths[source]):
            message = (
                f"index_at must give samples of {order.num_sources} sources of lengths {shown(lengths)}, but at "
                f"position {position} it gives {_at(index, number)}."
            )
            raise AssertionError(message)


def _check_inverse(order: Order, positions: IntArray) -> None:
    if not all(hasattr(part, "position_of") for part in (order, *leaves([order]))):
        return
    found = position_of(order, index_at(order, positions))
    for position, back in zip(positions.tolist(), found.tolist(), strict=True):
        if position != back or position_of(order, index_at(order, position)) != position:
            message = (
                f"position_of must be the inverse of index_at, but position {position} has "
                f"{index_at(order, position)}, whose position is {back}."
            )
            raise AssertionError(message)


def _check_record(order: Order, positions: IntArray) -> None:
    copies: dict[str, Any] = {"an unpickled copy": pickle.loads(pickle.dumps(order))}  # noqa: S301 - made here
    if attrs.has(type(order)):
        kinds = [type(part) for part in (order, *leaves([order]))]
        copies["a copy from JSON"] = from_json(to_json(order), arrays=external_arrays(order), kinds=kinds)
    for name, copied in copies.items():
        if copied != order or hash(copied) != hash(order):
            message = f"{name} must equal the order and have its hash, got {shown(copied)} of {shown(order)}."
            raise AssertionError(message)
        _check_agree(order, copied, positions, name)
    has_end = any(field.name == "num_samples" for field in getattr(type(order), "__attrs_attrs__", ()))
    if has_end and len(positions) > 1:
        short = attrs.evolve(cast("Any", order), num_samples=int(positions[len(positions) // 2]))
        _check_agree(order, short, positions[: len(positions) // 2], "the order with a smaller num_samples")


def _check_agree(order: Order, other: Order, positions: IntArray, name: str) -> None:
    one, two = index_at(order, positions), index_at(other, positions)
    differs = np.any([left != right for left, right in zip(one, two, strict=True)], axis=0)
    if differs.any():
        number = int(differs.argmax())
        message = (
            f"{name} must have the same samples, but at position {positions[number]} it has {_at(two, number)} "
            f"instead of {_at(one, number)}."
        )
        raise AssertionError(message)


def _check_windows(order: Any, positions: IntArray) -> None:
    if not hasattr(order, "window_stop"):
        return
    stops = [int(order.window_stop(position)) for position in positions.tolist()]
    for (position, stop), (following, next_stop) in pairwise(zip(positions.tolist(), stops, strict=True)):
        if stop <= position or (following < stop and next_stop != stop):
            message = (
                "window_stop must lie after a position and be the same for all positions up to it, but it is "
                f"{stop} at {position} and {next_stop} at {following}."
            )
            raise AssertionError(message)


def _check_steps(order: PlannedOrder) -> None:
    start, step = 0, 0
    while step < _NUM_STEPS and (order.num_samples is None or start < order.num_samples):
        bounds = order.step_bounds(start)
        stop = int(bounds[-1])
        within = sorted({start, (start + stop) // 2, stop - 1})
        are_same = all(
            int(order.step_bounds(position)[0]) == position and int(order.step_bounds(position)[-1]) == stop
            for position in within
        )
        numbers = [int(order.step_of(position)) for position in within]
        if stop <= start or (np.diff(bounds) < 0).any() or not are_same or order.step_start(step) != start:
            message = (
                f"step {step} must begin at position {start}, where the step before ends, and have the same end from "
                f"any position in it, but step_start({step}) == {order.step_start(step)}, and from {within} it is "
                f"{[shown(order.step_bounds(position).tolist()) for position in within]}."
            )
            raise AssertionError(message)
        if numbers != [step] * len(within):
            message = f"step_of must be {step} at positions {within}, got {numbers}."
            raise AssertionError(message)
        start, step = stop, step + 1


def _length(order: Any) -> int:
    lengths = getattr(order, "source_lengths", (None,))
    if len(lengths) != 1 or lengths[0] is None or lengths[0] < _LEAST_LENGTH:
        message = f"shuffles_epochs needs an order of one source of at least {_LEAST_LENGTH} samples, got {lengths}."
        raise ValueError(message)
    return int(lengths[0])


def _check_epochs(order: Order) -> None:
    length = _length(order)
    if length > _MOST_SAMPLES:
        return
    for epoch in range(3):
        stop = (epoch + 1) * length
        if order.num_samples is not None and stop > order.num_samples:
            return
        index = index_at(order, range(epoch * length, stop))
        counts = np.bincount(index.idx, minlength=length)
        if (index.epoch != epoch).any() or (counts != 1).any():
            idx = int((counts != 1).argmax())
            message = (
                f"positions {epoch * length} to {stop - 1} must hold each sample once, in epoch {epoch}, but sample "
                f"{idx} is read {counts[idx]} times, in epochs {np.unique(index.epoch).tolist()}."
            )
            raise AssertionError(message)


def _check_seeds(order: Any) -> None:
    length = _length(order)
    found: dict[tuple[int, ...], str] = {}
    for more in range(3):
        seed = getattr(order, "seed", None)
        step = more if seed is None or seed + more <= MAX_INT else -more
        one = order if more == 0 or seed is None else attrs.evolve(order, seed=seed + step)
        for epoch in range(3 if more == 0 or seed is not None else 0):
            start, stop = epoch * length, epoch * length + min(length, 2 * _LEAST_LENGTH)
            if order.num_samples is not None and stop > order.num_samples:
                break
            name = f"epoch {epoch} of seed {seed + step}" if seed is not None else f"epoch {epoch}"
            idx = tuple(index_at(one, range(start, stop)).idx.tolist())
            if (before := found.setdefault(idx, name)) != name:
                message = f"each epoch of each seed must have an order of its own, but {before} and {name} begin alike."
                raise AssertionError(message)
