"""Samples of similar length next to each other: less padding, while the windows are still shuffled."""

from functools import cached_property

import attrs
import numpy as np

from bionemo.core.checks import IntArray, check_seed
from bionemo.core.fields import check_size, to_int
from bionemo.core.random.hashing import fold_in
from bionemo.data.orders.by_length.windows import Arrangement, WindowOrder, shuffled_groups

__all__ = ["LengthGroupedOrder"]


@attrs.frozen(kw_only=True)
class LengthGroupedOrder(WindowOrder):
    """An order whose samples are sorted by length within windows, so that those of a batch are about equally long.

    The positions of the base order are taken in windows of neighbours. In each window the samples are sorted by length
    and cut into batches, and the batches are shuffled. So a batch holds samples of similar length, and which ones
    differs from epoch to epoch if the base order is shuffled. A batch in which a window ends holds samples of two
    windows: choose a multiple of the batch size.

    Laws: a window holds exactly the samples of the base order's window. Windows end where the base order's epochs end
    (`epoch_length`), so an epoch still holds every sample once. `position_of` inverts `index_at` if the base order has
    an inverse.

    A lookup sorts its window, which takes 0.1 to 0.5 us per sample of the window; the last few windows are kept. Look
    up many positions at once, as loaders do.

    Args:
        order: the base order.
        lengths: number of tokens of each sample, by its index in the data set: one-dimensional integers, or a tuple of
            such for several sources. Kept as int64, so that equal lengths of any integer type make equal orders; a
            memory map of a file that was opened for reading is kept as it is, and its dtype is part of the order.
        window_size: positions that are sorted together, at least 1: a few hundred batches are a good size. A window
            that holds more than 2**24 positions, also after it was cut at the end of an epoch or of the order, is
            refused.
        batch_size: the pipeline's batch size: the samples between two multiples of it are of similar length.
        seed: 0..2**63-1; determines the shuffle of the batches.

    Raises:
        ValueError: if a number is out of range, or there isn't one length per sample.
        TypeError: if the lengths are not integers, or `order` is not an order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> lengths = [30, 10, 50, 20, 40, 60]
        >>> base = EpochOrder(length=6, seed=7, num_samples=6)
        >>> order = LengthGroupedOrder(order=base, lengths=lengths, window_size=6, batch_size=2, seed=4)
        >>> [lengths[order.index_at(position).idx] for position in range(6)]
        [30, 40, 10, 20, 50, 60]
    """

    batch_size: int = attrs.field(converter=to_int, validator=check_size)
    seed: int = attrs.field(converter=check_seed)

    @cached_property
    def _piece_seed(self) -> int:
        return fold_in(self.seed, "length")

    def _arrange(self, start: int, lengths: IntArray) -> Arrangement:
        """Sort a window by length, cut it where batches start, and shuffle the pieces.

        The cuts are at the multiples of the batch size. The pieces, also the short ones at both ends, get consecutive
        runs of ranks by length, in random order.
        """
        size = len(lengths)
        cuts = np.array([0, *range(-start % self.batch_size, size, self.batch_size), size])
        sizes = np.diff(cuts)
        ranks = np.repeat(shuffled_groups(sizes, self._piece_seed, start) - cuts[:-1], sizes) + np.arange(size)
        return Arrangement(np.argsort(lengths, kind="stable")[ranks], cuts)
