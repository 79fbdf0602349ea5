"""The record of a measurement: what was measured of this library and of another one, round by round."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import attrs


@attrs.frozen(kw_only=True)
class Side:
    """What was measured of one library.

    Args:
        name: the library, its version, and what it does.
        rounds: one number per round, in the measurement's unit.
        reason: why there is no number.
        is_ours: whether it is this library, so that the measurement compares two of its own calls.
    """

    name: str
    rounds: tuple[float, ...] = attrs.field(default=())
    reason: str = ""
    is_ours: bool = False

    @rounds.validator
    def _check_rounds(self, _: "attrs.Attribute[tuple[float, ...]]", rounds: tuple[float, ...]) -> None:
        if bool(rounds) == bool(self.reason):
            message = f"a side must have either rounds or a reason, got rounds={rounds} and reason={self.reason!r}."
            raise ValueError(message)


@attrs.frozen(kw_only=True)
class Measurement:
    """One comparison, or one number with a limit.

    Args:
        subject: the file of `benchmarks/subjects` that measured it.
        what: what was measured, of both sides.
        unit: "s" and "bytes" are shown with prefixes; others as they are.
        ours: this library.
        peer: what it is compared with, in rounds that alternate with ours; None if there is only a limit.
        is_more_better: whether a larger number is better, e.g. a speed.
        least_ratio: the target of `ratios`; 4 means four times as good as the peer.
        limit: the target of our number: below it, or at least it if more is better.
        axis: what grows, if this is a point of a curve.
        size: its value there.
    """

    what: str
    unit: str
    ours: Side
    peer: Side | None = None
    subject: str = ""
    is_more_better: bool = False
    least_ratio: float | None = None
    limit: float | None = None
    axis: str = ""
    size: int | None = None


class Spread(NamedTuple):
    """The median of some numbers and their quartiles."""

    median: float
    low: float
    high: float


def spread(numbers: Sequence[float]) -> Spread:
    """Return the median and the quartiles.

    Example:
        >>> spread([3.0, 1.0, 2.0, 9.0, 4.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(numbers) == 1:
        return Spread(numbers[0], numbers[0], numbers[0])
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(measurement: Measurement) -> tuple[float, ...]:
    """Return for each round how many times as good as the peer's our number is; empty if one of them is missing.

    Both sides of a round ran one after the other, so that a machine that slows down for a while slows both.

    Example:
        >>> ours, peer = Side(name="ours", rounds=(2.0, 4.0)), Side(name="peer", rounds=(6.0, 4.0))
        >>> ratios(Measurement(what="time", unit="s", ours=ours, peer=peer))
        (3.0, 1.0)
    """
    if measurement.peer is None or not (measurement.ours.rounds and measurement.peer.rounds):
        return ()
    pairs = zip(measurement.ours.rounds, measurement.peer.rounds, strict=True)
    return tuple(_times(ours, peer) if measurement.is_more_better else _times(peer, ours) for ours, peer in pairs)


def _times(more: float, less: float) -> float:
    return more / less if less else 1.0 if more == less else 1e9  # a memory that doesn't grow at all


def is_met(measurement: Measurement) -> bool | None:
    """Return whether the target is met; None if there is no target, or a number is missing.

    Example:
        >>> slow = Side(name="ours", rounds=(5.0, 6.0, 7.0))
        >>> is_met(Measurement(what="time", unit="s", ours=slow, limit=6.0))
        False
    """
    found = ratios(measurement)
    if measurement.least_ratio is not None:
        return spread(found).median >= measurement.least_ratio if found else None
    if measurement.limit is None or not measurement.ours.rounds:
        return None
    value = spread(measurement.ours.rounds).median
    return value >= measurement.limit if measurement.is_more_better else value < measurement.limit


def is_slower(measurement: Measurement) -> bool:
    """Return whether a peer is better than this library."""
    found = ratios(measurement)
    return bool(found) and not (measurement.peer and measurement.peer.is_ours) and spread(found).median < 1
