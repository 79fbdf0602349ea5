"""Draws without replacement within each epoch, by weight."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.arrays import by_group
from bionemo.core.checks import IntArray, as_int, check_index, check_seed, shown
from bionemo.core.fields import check_size, to_int
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.random.hashing import fold_in, fold_word
from bionemo.data.orders.base import OrderBase, check_in_epochs, check_num_samples
from bionemo.data.orders.by_weight.weighted import to_weights
from bionemo.data.orders.order import SampleIndex

__all__ = ["WeightedEpochOrder"]


class _Epoch(NamedTuple):
    """The draws of an epoch."""

    samples: IntArray
    """The sample at each position of the epoch."""
    offsets: IntArray
    """Per sample: its position in the epoch; -1 if it isn't drawn."""


@attrs.frozen(kw_only=True)
class WeightedEpochOrder(OrderBase):
    """Samples drawn by weight without replacement, anew in each epoch: no sample comes twice in an epoch.

    The first draw of an epoch is each sample with a probability in proportion to its weight, the second one each of the
    others in proportion to theirs, and so on. So heavy samples come early, and light ones late, or not at all if an
    epoch ends before all were drawn. The draws are exact: there is no error but that of 53 random bits per sample. The
    price is that an epoch is drawn as a whole: it takes about 0.2 us per sample of the data set and 16 bytes, and the
    last two epochs are kept.

    Laws: an epoch holds no sample twice, and none of weight 0. `position_of` inverts `index_at`. The draws are those of
    a hash of seed, epoch and sample, the same on every machine.

    Args:
        weights: one axis of finite, non-negative numbers, not all zero; only their proportions count.
        seed: 0..2**63-1.
        samples_per_epoch: number of draws per epoch, 1 to the number of weights above 0; None for all of these.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.

    Raises:
        ValueError: if a number is out of range, a weight is NaN, negative or infinite, or all weights are zero.
        TypeError: if the weights are not real numbers, or another field is not an integer.

    Source: each sample gets an exponential variate divided by its weight, and they are sorted (P. Efraimidis and
    P. Spirakis, "Weighted random sampling with a reservoir", 2006).

    Example:
        >>> order = WeightedEpochOrder(weights=[1, 100, 0, 10], seed=7)
        >>> [order.index_at(position).idx for position in range(6)]
        [1, 3, 0, 3, 1, 0]
    """

    weights: FrozenArray = attrs.field(converter=to_weights)
    seed: int = attrs.field(converter=check_seed)
    samples_per_epoch: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(to_int), validator=attrs.validators.optional(check_size)
    )
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @samples_per_epoch.validator
    def _check_samples_per_epoch(self, _: "attrs.Attribute[Any]", samples_per_epoch: int | None) -> None:
        if samples_per_epoch is not None and samples_per_epoch > self._num_drawn:
            message = (
                f"samples_per_epoch must be at most {self._num_drawn}, the number of weights above 0, "
                f"got samples_per_epoch={samples_per_epoch}."
            )
            raise ValueError(message)

    @property
    def length(self) -> int:  # type: ignore[override]
        """Number of samples to draw from, with those of weight 0."""
        return len(self.weights)

    @property
    def epoch_length(self) -> int:
        """Positions per epoch."""
        return self.samples_per_epoch or self._num_drawn

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        epoch, offset = divmod(as_int(position), self.epoch_length)
        (idx,) = by_group(self._samples_at, epoch, offset, num_results=1)
        return SampleIndex(0, epoch, idx)

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if there is no such sample, it isn't drawn in that epoch, or the position doesn't fit int64.
        """
        check_in_epochs(index._replace(idx=as_int(index.idx) * 0), self.epoch_length)
        check_index(index.idx, stop=self.length, name="idx")
        epoch, idx = as_int(index.epoch), as_int(index.idx)
        (offset,) = by_group(self._offsets_of, epoch, idx, num_results=1)
        if np.any(offset < 0):
            message = f"index must be of a sample that is drawn in its epoch, got index={shown(index)}."
            raise IndexError(message)
        return epoch * self.epoch_length + offset

    def _samples_at(self, epoch: int, offset: Any) -> tuple[Any]:
        found = self._epoch(epoch).samples[offset]
        return (found if isinstance(offset, np.ndarray) else int(found),)

    def _offsets_of(self, epoch: int, idx: Any) -> tuple[Any]:
        found = self._epoch(epoch).offsets[idx]
        return (found if isinstance(idx, np.ndarray) else int(found),)

    @cached_property
    def _num_drawn(self) -> int:
        return int(np.count_nonzero(self.weights.array))

    @cached_property
    def _epoch(self) -> Callable[[int], _Epoch]:
        """The draws of an epoch; the last two are kept."""
        return lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> _Epoch:
        drawn = np.flatnonzero(self.weights.array)
        seed = fold_word(fold_in(self.seed, "weighted epoch"), epoch)
        words = fold_word(seed, drawn)
        with np.errstate(over="ignore"):  # a weight below 1e-306 may make the key infinite, so that it is drawn last
            keys = _exponential(words) / self.weights.array[drawn]
        samples = drawn[np.argsort(keys, kind="stable")[: self.epoch_length]]
        offsets: IntArray = np.full(self.length, -1)
        offsets[samples] = np.arange(len(samples))
        return _Epoch(samples, offsets)


def _exponential(words: IntArray) -> NDArray[np.float64]:
    """Return exponential variates of 63-bit words: `-log` of a uniform variate of 53 bits, without 0 and 1.

    NumPy's logarithm may differ in the last bit between machines. This one takes sums, products and quotients alone,
    which are rounded equally everywhere: `log(f) = 2 * (r + r**3 / 3 + r**5 / 5 + ...)` with `r = (f - 1) / (f + 1)`.
    """
    uniform = ((words >> 10) + 0.5) * 2.0**-53
    fraction, exponent = np.frexp(uniform)  # fraction is in [1/2, 1)
    is_small = fraction < np.sqrt(0.5)
    fraction, exponent = np.where(is_small, 2 * fraction, fraction), exponent - is_small
    ratio = (fraction - 1) / (fraction + 1)
    square, series = ratio * ratio, np.zeros_like(ratio)
    for power in range(21, 0, -2):  # the next term is below 2**-53 of the sum
        series = series * square + 1 / power
    found: NDArray[np.float64] = -(exponent * 0.6931471805599453 + 2 * ratio * series)
    return found
