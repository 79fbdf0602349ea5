"""A planned order without some of its positions: steps on which a run diverged."""

from functools import cached_property
from itertools import chain
from typing import ClassVar, cast

import attrs
import numpy as np

from bionemo.core.checks import IntArray
from bionemo.data.orders.order import PlannedOrder, SampleIndex
from bionemo.data.orders.skip import SkipOrder, count_up_to

__all__ = ["PlannedSkipOrder"]


@attrs.frozen(kw_only=True, repr=False)
class PlannedSkipOrder(SkipOrder):
    """A planned order without some of its positions: bins lack the samples there, and a step without any is left out.

    All other bins and steps stay as they are. To fill the bins anew, pack a `SkipOrder`.

    Laws: those of `SkipOrder`. Each step has the samples of a step of the order that aren't skipped, in the same bins.

    Args:
        order: a `PlannedOrder`, e.g. a `PackedOrder`.
        positions: as for a `SkipOrder`; `describe_batch` lists those of a step.

    Raises:
        ValueError: as for a `SkipOrder`.
        TypeError: as for a `SkipOrder`, or if the order doesn't make the steps itself.

    Example:
        >>> from bionemo.data import EpochOrder, PackedOrder
        >>> base = EpochOrder(length=4, seed=7, num_samples=4)
        >>> packed = PackedOrder(order=base, lengths=[5, 4, 3, 2], max_tokens=8, bins_per_step=1, window_size=4, seed=1)
        >>> order = PlannedSkipOrder(order=packed, positions=[(0, 2)])
        >>> packed.step_bounds(2).tolist(), order.step_bounds(0).tolist()
        ([2, 4], [0, 2])
    """

    _makes_steps: ClassVar = True

    @property
    def _planned(self) -> PlannedOrder:
        return cast("PlannedOrder", self.order)

    def step_bounds(self, position: int, /) -> IntArray:
        """Return the positions at which the bins of the step begin that a position is in, and its end."""
        bounds: IntArray = self.position_after(self._planned.step_bounds(int(self.position_before(position))))
        return bounds

    def step_of(self, position: int, /) -> int:
        """Return the number of the step that a position is in; the number of steps for the end of the order."""
        end = self.order.num_samples
        before = end if end is not None and position == self.num_samples else int(self.position_before(position))
        starts, _, left_out = self._steps
        return self._planned.step_of(before) - int(left_out[count_up_to(starts, before)])

    def step_start(self, step: int, /) -> int:
        """Return the position at which a step begins.

        Raises:
            IndexError: if there is no such step.
        """
        _, seen_at, left_out = self._steps
        number = step + int(left_out[count_up_to(seen_at, step)])
        return int(self.position_after(self._planned.step_start(number)))

    @property
    def short_steps(self) -> tuple[int, ...] | None:
        """Numbers of samples of the steps that may have fewer than others; None if the steps consist of bins."""
        found: tuple[int, ...] | None = getattr(self.order, "short_steps", None)
        return None if found is None else (*found, *map(self._samples_left, {*chain(*self.positions)}))

    def _samples_left(self, position: int) -> int:
        """Return the number of samples that are left of the step that a position of the order is in."""
        if position == self.order.num_samples:
            return 0
        start = self.position_after(self._planned.step_start(self._planned.step_of(position)))
        return 0 if start == self.num_samples else len({*self.step_bounds(start).tolist()}) - 1

    def tokens_of(self, index: SampleIndex, /) -> IntArray:
        """Return the number of tokens that is planned for each sample, given in one-axis int64 arrays."""
        return self._planned.tokens_of(index)

    @cached_property
    def _steps(self) -> tuple[IntArray, IntArray, IntArray]:
        """Where each range starts, the number its first whole step would have, and the steps left out before each."""
        found = [(start, *self._whole_steps(start, stop)) for start, stop in self.positions]
        starts, first, stops = np.array(found, dtype=np.int64).reshape(-1, 3).T
        left_out = np.concatenate(([0], np.cumsum(stops - first)))
        return starts, first - left_out[:-1], left_out

    def _whole_steps(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first step that is in a range as a whole, and the number after the last one."""
        first = self._planned.step_of(start)
        first += self._planned.step_start(first) < start
        return first, max(first, self._planned.step_of(stop))
