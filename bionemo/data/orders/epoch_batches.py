"""Batches that never hold samples of two epochs."""

from typing import Any, Final, Literal

import attrs
import numpy as np

from bionemo.core.checks import MAX_INT, IntArray, as_int, check_index, shown
from bionemo.core.fields import check_choice, check_size, to_int
from bionemo.data.orders.base import OrderOver, check_order
from bionemo.data.orders.order import Order, PlannedOrder, SampleIndex, position_of

__all__ = ["EpochBatchOrder"]

_RESTS: Final = ("short", "drop", "repeat", "next")


@attrs.frozen(kw_only=True)
class EpochBatchOrder(OrderOver):
    """An order that makes the steps itself, of a number of samples each, so that no step holds samples of two epochs.

    It is for losses that compare the samples of a batch with one another: none comes twice, if an epoch has as many
    samples as a batch. A pipeline of this order has no `batch_size`.

    Laws: a step holds `batch_size` consecutive samples of one epoch, or the rest of it, and, with "repeat" or "next",
    what fills it. With "short", positions are those of the order, and `batch_size` may change within a run.
    `position_of` inverts `index_at`; of a sample that also fills another step, it returns where it is read in its turn.

    Args:
        order: any order with epochs of equal length (`epoch_length`), which doesn't make the steps itself.
        batch_size: samples per step, over all ranks together.
        rest: what becomes of the samples after the last full step of an epoch: "short" is a step of fewer samples,
            "drop" leaves them out, in each epoch others, "repeat" fills the step with the epoch's first samples, and
            "next" with the first ones of the next epoch, which are read there again: it can hold a sample twice then.

    Raises:
        ValueError: if `batch_size` is below 1, or larger than an epoch from which the rest is dropped, or `rest` is
            something else.
        TypeError: if `order` has no epochs or makes the steps itself, or `batch_size` is not an integer.

    Example:
        >>> from bionemo.data import EpochOrder, Pipeline, batch_at, num_batches
        >>> base = EpochOrder(length=5, seed=7, num_samples=10, shuffle=False)
        >>> for rest in ("short", "drop", "repeat"):
        ...     order = EpochBatchOrder(order=base, batch_size=3, rest=rest)
        ...     pipeline = Pipeline(order=order, sources="abcde", seed=42, collate="".join)
        ...     print([batch_at(pipeline, step) for step in range(num_batches(pipeline))])
        ['abc', 'de', 'abc', 'de']
        ['abc', 'abc']
        ['abc', 'dea', 'abc', 'dea']
    """

    order: Order = attrs.field(validator=check_order)
    batch_size: int = attrs.field(converter=to_int, validator=check_size)
    rest: Literal["short", "drop", "repeat", "next"] = attrs.field(default="short", validator=check_choice(*_RESTS))

    def __attrs_post_init__(self) -> None:
        self.num_levels  # noqa: B018 - raises if they are nested too deeply
        if isinstance(self.order, PlannedOrder) or not getattr(self.order, "epoch_length", None):
            message = f"order must have epochs of equal length and must not make the steps, got {shown(self.order)}."
            raise TypeError(message)
        if self.rest == "drop" and self.batch_size > self._length:
            message = f"batch_size must be at most the length of an epoch, {self._length}, got {self.batch_size}."
            raise ValueError(message)

    @property
    def epoch_length(self) -> int:
        """Positions per epoch."""
        return int(self._positions_for(self._length))

    @property
    def num_samples(self) -> int | None:  # type: ignore[override]
        """Number of positions; None if the order never ends."""
        if self.order.num_samples is None:
            return None
        num_epochs, rest = divmod(self.order.num_samples, self._length)
        return num_epochs * self.epoch_length + int(self._positions_for(rest))

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`.

        Raises:
            IndexError: if the position in the order whose samples are dropped doesn't fit int64.
        """
        end = MAX_INT // self._length * self.epoch_length
        if self.rest == "drop" and np.any(position >= end):
            message = f"position must be below {end}, got position={shown(position)}."
            raise IndexError(message)
        epoch, offset = divmod(as_int(position), self.epoch_length)
        inside = offset if self.rest == "next" else offset % self._samples_in(epoch)
        return self.order.index_at(epoch * self._length + inside)

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample: call `bionemo.data.position_of`.

        Raises:
            TypeError: if the order has no inverse.
            IndexError: if the order never reaches that sample, or it is dropped.
        """
        epoch, offset = divmod(position_of(self.order, index), self._length)
        is_dropped = (offset >= self.epoch_length) | (offset >= self._positions_for(self._samples_in(epoch)))
        if np.any(is_dropped):
            message = f"index must be of a sample that isn't dropped, got index={shown(index)}."
            raise IndexError(message)
        return epoch * self.epoch_length + offset

    def step_bounds(self, position: int, /) -> IntArray:
        """Return the positions of the samples of a step from a position in it on, and its end."""
        epoch, offset = divmod(position, self.epoch_length)
        size = int(self._positions_for(self._samples_in(epoch)))
        stop = min((offset // self.batch_size + 1) * self.batch_size, size)
        return np.arange(position, epoch * self.epoch_length + stop + 1)

    def window_start(self, position: int, /) -> int:
        """Return the last position up to which this order depends only on a number of first samples of its order."""
        epoch, offset = divmod(position, self._length)
        whole = offset if self.rest == "short" else offset // self.batch_size * self.batch_size
        return epoch * self.epoch_length + whole

    def step_of(self, position: int, /) -> int:
        """Return the number of the step that a position is in; the number of steps for the end of the order."""
        epoch, offset = divmod(position, self.epoch_length)
        step, is_inside = divmod(offset, self.batch_size)
        return epoch * self._steps_per_epoch + step + (position == self.num_samples and is_inside > 0)

    def step_start(self, step: int, /) -> int:
        """Return the position at which a step begins.

        Raises:
            IndexError: if there is no such step.
        """
        end = None if self.num_samples is None else self.step_of(self.num_samples)
        epoch, number = divmod(int(check_index(step, stop=end, name="step")), self._steps_per_epoch)
        return epoch * self.epoch_length + number * self.batch_size

    @property
    def short_steps(self) -> tuple[int, ...]:
        """Numbers of samples of the steps that may have fewer than `batch_size`: ranks may get none of them."""
        if self.rest != "short":
            return ()
        rests = self._length % self.batch_size, (self.order.num_samples or 0) % self._length % self.batch_size
        return tuple(rest for rest in rests if rest)

    def tokens_of(self, index: SampleIndex, /) -> IntArray:
        """Return 1 for each sample: the steps count samples, not tokens."""
        return np.ones_like(index.idx)

    @property
    def _length(self) -> int:
        """Samples per epoch."""
        return int(self.order.epoch_length)  # type: ignore[attr-defined]

    @property
    def _steps_per_epoch(self) -> int:
        return -(-self.epoch_length // self.batch_size)

    def _positions_for(self, num_samples: Any) -> Any:
        """Return the number of positions that some samples of an epoch have."""
        if self.rest == "short":
            return num_samples
        added = 0 if self.rest == "drop" else self.batch_size - 1
        return (num_samples + added) // self.batch_size * self.batch_size

    def _samples_in(self, epoch: Any) -> Any:
        """Return the number of samples in epochs: the last one may be cut short by the end of the order."""
        if self.order.num_samples is None:
            return self._length
        num_epochs, rest = divmod(self.order.num_samples, self._length)
        return self._length + (epoch == num_epochs) * (rest - self._length)
