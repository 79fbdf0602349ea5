"""Orders that make the steps of a pipeline: bins of samples, and where the steps made of them begin."""

from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core.checks import MAX_INT, AnyInt, IntArray, check_index, check_seed
from bionemo.core.fields import check_bool, check_size, to_bool, to_int
from bionemo.core.random.hashing import fold_in
from bionemo.data.orders.by_length.lengths import lengths_of
from bionemo.data.orders.by_length.windows import Arrangement, WindowOrder, shuffled_groups
from bionemo.data.orders.order import SampleIndex

__all__ = ["BinOrder"]

_SPAN: Final = 2**10
"""Number of windows whose steps are counted together where the base order has no epochs."""
_BLOCK: Final = 2**16
"""Number of lengths that are checked at once: a memory map is never read whole."""


@attrs.frozen(kw_only=True)
class BinOrder(WindowOrder):
    """What orders that pack the samples of each window into bins share; each defines `_bins`.

    Laws: every step has the same number of bins, some of which are empty if a window has fewer samples; a window
    begins and ends with a step. Where a step ends is a function of its start, and so is all that is in it.
    """

    max_tokens: int = attrs.field(converter=to_int, validator=check_size)
    bins_per_step: int = attrs.field(converter=to_int, validator=check_size)
    divisible_by: int = attrs.field(default=1, converter=to_int, validator=check_size)
    truncate: bool = attrs.field(default=False, converter=to_bool, validator=check_bool)
    seed: int = attrs.field(converter=check_seed)

    @divisible_by.validator
    def _check_divisible_by(self, _: "attrs.Attribute[int]", divisible_by: AnyInt) -> None:
        if self.max_tokens % divisible_by:
            message = f"max_tokens must be a multiple of divisible_by={divisible_by}, got max_tokens={self.max_tokens}."
            raise ValueError(message)

    @truncate.validator
    def _check_fit(self, _: "attrs.Attribute[bool]", truncate: bool) -> None:  # noqa: FBT001 - attrs calls it
        for source, part in enumerate(self.lengths):
            for first in range(0, len(part), _BLOCK):
                lengths = part.array[first : first + _BLOCK]
                if not lengths.all():
                    self._refuse("at least 1", source, first + int((lengths == 0).argmax()), "Leave empty samples out.")
                if not truncate and lengths.max() > self.max_tokens:
                    remedy = "Raise max_tokens, or crop the samples to it and set truncate=True."
                    self._refuse(f"at most max_tokens={self.max_tokens}", source, first + int(lengths.argmax()), remedy)

    def _refuse(self, required: str, source: int, idx: int, remedy: str) -> None:
        length = int(self.lengths[source].array[idx])
        where = f"sample {idx}" + f" of source {source}" * (len(self.lengths) > 1)
        message = f"lengths must be {required}, got {length} tokens in {where}. {remedy}"
        raise ValueError(message)

    def tokens_of(self, index: SampleIndex, /) -> IntArray:
        """Return the number of tokens that is planned for each sample, given in one-axis int64 arrays."""
        return self._cut(lengths_of(self.lengths, index))

    def window_start(self, position: Any, /) -> Any:
        """Return where the window of a position, or of each of an array of them, starts.

        The windows of an epoch are equally large, up to one sample, and as many as come closest to `window_size`.
        """
        length = self.epoch_length
        if length is None:
            return position // self.window_size * self.window_size
        small, num_large = self._small_and_large
        epoch_start = position // length * length
        at = position - epoch_start
        in_large = num_large * (small + 1)  # the larger windows come first
        if isinstance(at, np.ndarray):
            number = np.where(at < in_large, at // (small + 1), num_large + (at - in_large) // max(small, 1))
            return epoch_start + number * small + np.minimum(number, num_large)
        number = at // (small + 1) if at < in_large else num_large + (at - in_large) // small
        return epoch_start + number * small + min(number, num_large)

    def window_end(self, start: int, /) -> int:
        """Return where the window that starts at a position ends."""
        stop = start + self.window_size
        if self.epoch_length is not None:
            small, num_large = self._small_and_large
            stop = start + small + (start % self.epoch_length < num_large * (small + 1))
        return min(stop, MAX_INT + 1 if self.num_samples is None else self.num_samples)

    @cached_property
    def _small_and_large(self) -> tuple[int, int]:
        """Size of an epoch's small windows, and the number of windows that are larger by one."""
        length = self.epoch_length or 1
        return divmod(length, max((length + self.window_size // 2) // self.window_size, 1))

    def step_bounds(self, position: int, /) -> IntArray:
        """Return the positions at which the bins of the step begin that a position is in, and its end.

        What is before the position is left out. Unchecked: the position must be one of the order.
        """
        start = self.window_start(position)
        cuts = self.window_at(start).cuts
        number = int(cuts.searchsorted(position - start, side="right")) - 1
        first = number // self.bins_per_step * self.bins_per_step
        bounds: IntArray = np.maximum(start + cuts[first : first + self.bins_per_step + 1], position)
        return bounds

    def step_of(self, position: int, /) -> int:
        """Return the number of the step that a position is in; the number of steps for the end of the order.

        All windows before it are planned for this, at 0.1 to 6 us per sample; how many steps they have is kept.
        """
        if position == self.num_samples:
            return 0 if position == 0 else self.step_of(position - 1) + 1
        span = position // self.span_length
        if position == span * self.span_length:
            return self._steps_before_span(span)
        start = self.window_start(position)
        window = int(np.searchsorted(self._starts_and_steps(span)[0], start))
        steps = self._starts_and_steps(span, num_windows=window)[1]
        cuts = self.window_at(start).cuts
        number = int(cuts.searchsorted(position - start, side="right")) - 1
        return self._steps_before_span(span) + int(steps[window]) + number // self.bins_per_step

    def step_start(self, step: int, /) -> int:
        """Return the position at which a step begins; the windows before it are planned, as for `step_of`.

        Raises:
            IndexError: if there is no such step.
        """
        check_index(step, stop=None, name="step")
        span = 0
        before = 0
        while self.num_samples is None or span * self.span_length < self.num_samples:
            starts, steps = self._starts_and_steps(span, num_steps=step - before)
            if step < before + steps[-1]:
                window = int(np.searchsorted(steps, step - before, side="right")) - 1
                cuts = self.window_at(int(starts[window])).cuts
                return int(starts[window] + cuts[(step - before - int(steps[window])) * self.bins_per_step])
            before += int(steps[-1])
            span += 1
        message = f"step must be in 0..{before - 1}, got step={step}."
        raise IndexError(message)

    @property
    def span_length(self) -> int:
        """Positions whose windows are counted together: an epoch of the base order, or a number of windows."""
        return self.epoch_length or _SPAN * self.window_size

    def _steps_before_span(self, span: int) -> int:
        return sum(int(self.steps_of_span(earlier)[1][-1]) for earlier in range(span))

    @cached_property
    def known_spans(self) -> dict[int, tuple[IntArray, IntArray]]:
        """What `steps_of_span` returned, by span."""
        return {}

    def steps_of_span(self, span: int, /) -> tuple[IntArray, IntArray]:
        """Return where the windows of a span start, and the number of steps of the span before each and in all."""
        return self._starts_and_steps(span, num_steps=MAX_INT)

    def _starts_and_steps(self, span: int, *, num_windows: int = 0, num_steps: int = -1) -> tuple[IntArray, IntArray]:
        """Return what `steps_of_span` does, counted only beyond a number of windows and of steps."""
        if span in self.known_spans:
            return self.known_spans[span]
        starts, counted = self._begun_spans.get(span) or (self.span_starts(span), [0])
        steps = list(counted)  # a copy: another thread may count, too
        while len(steps) <= len(starts) and (len(steps) <= num_windows or steps[-1] <= num_steps):
            steps.append(steps[-1] + self._num_steps(int(starts[len(steps) - 1])))
        self._begun_spans[span] = starts, steps
        if len(steps) > len(starts):
            self.known_spans[span] = starts, np.array(steps)
        return starts, np.array(steps)

    @cached_property
    def _begun_spans(self) -> dict[int, tuple[IntArray, list[int]]]:
        """Where the windows of a span start, and the number of steps before those that were counted."""
        return {}

    def span_starts(self, span: int, /) -> IntArray:
        """Return where the windows of a span start."""
        starts = [span * self.span_length]
        end = (span + 1) * self.span_length
        if self.num_samples is not None:
            end = min(end, self.num_samples)
        while starts[-1] < end:
            starts.append(self.window_end(starts[-1]))
        return np.array(starts[:-1])

    def _num_steps(self, start: int) -> int:
        return (len(self.window_at(start).cuts) - 1) // self.bins_per_step

    @cached_property
    def _bin_seed(self) -> int:
        return fold_in(self.seed, "bins")

    def _cut(self, lengths: IntArray) -> IntArray:
        return np.minimum(lengths, self.max_tokens) if self.truncate else lengths

    def _arrange(self, start: int, lengths: IntArray) -> Arrangement:
        """Pack a window into bins, and shuffle the bins."""
        rounded = -(-self._cut(lengths) // self.divisible_by) * self.divisible_by
        bins = self._bins(rounded)
        num_bins = -(-(int(bins.max()) + 1) // self.bins_per_step) * self.bins_per_step
        sizes = np.bincount(bins, minlength=num_bins)
        begin = shuffled_groups(sizes, self._bin_seed, start)
        by_bin = np.argsort(bins, kind="stable")  # the samples of a bin stay in the base order's order
        slots = np.empty_like(by_bin)
        slots[np.repeat(begin - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(bins))] = by_bin
        return Arrangement(slots, np.array([*np.sort(begin), len(bins)]))

    def _bins(self, lengths: IntArray) -> IntArray:
        """Return the bin of each sample."""
        raise NotImplementedError
