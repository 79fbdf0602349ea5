"""Orders for a budget of tokens: packed bins without padding, and bins padded to their longest sample."""

import attrs

from bionemo.core.checks import IntArray
from bionemo.data.orders.by_length.bins import cut_into_bins, pack_into_bins
from bionemo.data.orders.by_length.planned import BinOrder

__all__ = ["PackedOrder", "TokenBudgetOrder"]


@attrs.frozen(kw_only=True)
class PackedOrder(BinOrder):
    """An order whose samples are packed into bins of at most `max_tokens` tokens, and which makes the steps itself.

    The positions of the base order are taken in windows of neighbours. The samples of a window are packed into the
    smallest number of bins found that is a multiple of `bins_per_step`, equally full, and the bins are shuffled. A step
    is the next `bins_per_step` bins: a function of its position, so nothing is carried over, and a run resumes
    anywhere, on any number of ranks. Ranks share a step by bins. See `collate_packed`.

    Laws: each sample of an epoch is in exactly one bin; no bin holds more than `max_tokens`. Windows end where the base
    order's epochs end (`epoch_length`); `position_of` inverts `index_at` if the base order has an inverse. The plan of
    a window does not depend on what was asked before.

    Planning a window takes 0.1 to 6 us per sample; the last few windows are kept. To find a step by its number, e.g. by
    `batch_at`, all windows before it are planned once; a loader that resumes plans one.

    Args:
        order: the base order.
        lengths: number of tokens of each sample, at least 1: one-dimensional integers, or a tuple of such with one row
            per source.
        max_tokens: tokens that a bin holds.
        bins_per_step: bins of a step, over all ranks together: at least one per rank, and a multiple of their number if
            all shall have as many. A rank's batch holds its bins on one axis, up to
            `max_tokens * bins_per_step / world_size` tokens.
        window_size: positions that are packed together, 1..2**24. On average, half a step of each window stays empty:
            64 steps are a good size, about `64 * bins_per_step * max_tokens / mean_length` positions. The windows of an
            epoch are made equally large: they have between half and one and a half times this size.
        divisible_by: each sample takes a multiple of this many tokens: twice the number of context-parallel ranks, or
            16 for FP8. Give it to `collate_packed` as well.
        truncate: plan `max_tokens` for longer samples, which the pipeline's transform must crop to it. By default they
            are refused.
        seed: 0..2**63-1; determines the shuffle of the bins.

    Raises:
        ValueError: if a number is out of range, there isn't one length per sample, or a length is 0 or above
            `max_tokens`; the message names the sample.
        TypeError: if the lengths are not integers, or `order` is not an order.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> base = EpochOrder(length=4, seed=7, num_samples=4)
        >>> order = PackedOrder(order=base, lengths=[5, 4, 3, 2], max_tokens=8, bins_per_step=1, window_size=4, seed=1)
        >>> order.step_bounds(0), order.step_bounds(2)
        (array([0, 2]), array([2, 4]))
        >>> [order.index_at(position).idx for position in range(4)]
        [3, 0, 2, 1]
    """

    def _bins(self, lengths: IntArray) -> IntArray:
        """Pack samples into bins, whose tokens are those of their samples."""
        return pack_into_bins(lengths, max_tokens=self.max_tokens, multiple=self.bins_per_step)


@attrs.frozen(kw_only=True)
class TokenBudgetOrder(BinOrder):
    """An order whose samples are put into bins of at most `max_tokens` tokens with their padding.

    Like a `PackedOrder`, for models without packed attention: a bin holds as many samples of similar length as keep
    the number of samples times the longest within `max_tokens`. With one bin per rank, each rank gets a padded block of
    that size.

    Laws: as for a `PackedOrder`; in each bin, the number of samples times the longest is at most `max_tokens`.

    Args:
        order: the base order.
        lengths: number of tokens of each sample, as in a `LengthGroupedOrder`, at least 1.
        max_tokens: tokens that a bin holds, with the padding of its samples to the longest.
        bins_per_step: bins of a step, over all ranks together: at least one per rank, and a multiple of their number if
            all shall have as many.
        window_size: positions that are put into bins together, as in a `PackedOrder`.
        divisible_by: the width of a bin is a multiple of this.
        truncate: plan `max_tokens` for longer samples, which the pipeline's transform must crop to it.
        seed: 0..2**63-1; determines the shuffle of the bins.

    Raises:
        ValueError: as for a `PackedOrder`.
        TypeError: as for a `PackedOrder`.

    Example:
        >>> from bionemo.data import EpochOrder
        >>> base, lengths = EpochOrder(length=4, seed=7, num_samples=4), [5, 4, 2, 2]
        >>> order = TokenBudgetOrder(order=base, lengths=lengths, max_tokens=10, bins_per_step=1, window_size=4, seed=1)
        >>> [lengths[order.index_at(position).idx] for position in range(4)], order.step_bounds(0)
        ([5, 4, 2, 2], array([0, 2]))
    """

    def _bins(self, lengths: IntArray) -> IntArray:
        """Cut samples, sorted by length, into bins that are padded."""
        return cut_into_bins(lengths, max_tokens=self.max_tokens, multiple=self.bins_per_step)
