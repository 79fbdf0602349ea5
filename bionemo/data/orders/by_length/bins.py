"""Packing samples into bins of a number of tokens: as few as possible, and equally full."""

import numpy as np

from bionemo.core.checks import AnyInt, IntArray, as_int

__all__ = ["cut_into_bins", "pack_into_bins"]

_MOST_SWAPPED = 16
"""Number of samples of a bin that are tried in a swap: more find hardly better ones."""
_ROUNDS = 12
"""Number of rounds of swaps: each about halves the differences between bins."""


def pack_into_bins(lengths: IntArray, /, *, max_tokens: AnyInt, multiple: AnyInt) -> IntArray:
    """Return the bin of each sample, for the smallest number of bins found that holds all samples.

    The samples are dealt to the bins in rounds, longest first, each round's longest to the emptiest bin; then samples
    are swapped between full and empty bins. If that exceeds a bin, best-fit decreasing says how many bins are needed.

    Laws: no bin holds more than `max_tokens`; the number of bins is a multiple, and never more than best-fit decreasing
    takes, rounded up to it.

    Args:
        lengths: tokens of each sample, 1..max_tokens.
        max_tokens: tokens that a bin holds.
        multiple: the number of bins is a multiple of this.

    Returns:
        The bin of each sample.

    Example:
        >>> pack_into_bins(np.array([5, 4, 3, 2, 2]), max_tokens=8, multiple=2)
        array([1, 0, 1, 0, 0])
    """
    max_tokens, multiple = as_int(max_tokens), as_int(multiple)
    fewest = _rounded_up(-(-int(lengths.sum()) // max_tokens), multiple)
    bins = _deal(lengths, fewest, max_tokens)
    if _most(lengths, bins) <= max_tokens:
        return bins
    fitted = _best_fit(lengths, max_tokens)
    needed = _rounded_up(int(fitted.max()) + 1, multiple)
    dealt = _deal(lengths, needed, max_tokens) if needed > fewest else bins
    if _most(lengths, dealt) <= max_tokens:
        return dealt
    return _swap(lengths, fitted, np.bincount(fitted, lengths, needed).astype(np.int64), most=0)


def cut_into_bins(lengths: IntArray, /, *, max_tokens: AnyInt, multiple: AnyInt) -> IntArray:
    """Return the bin of each sample, for bins that are padded to their longest sample.

    The samples are sorted by length and cut into bins, with the smallest budget that needs no more bins.

    Laws: in each bin, the number of samples times the longest of them is at most `max_tokens`; the number of bins is
    the smallest multiple for which a cut of the sorted samples exists.

    Args:
        lengths: tokens of each sample, 1..max_tokens.
        max_tokens: tokens that a bin holds, with its padding.
        multiple: the number of bins is a multiple of this.

    Example:
        >>> cut_into_bins(np.array([5, 4, 3, 2, 2]), max_tokens=10, multiple=2)
        array([0, 0, 1, 1, 1])
    """
    by_length = np.argsort(-lengths, kind="stable")
    descending = lengths[by_length].tolist()
    high = as_int(max_tokens)
    most = _rounded_up(len(_cuts(descending, high)), as_int(multiple))
    low = descending[0] if descending else 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_cuts(descending, middle)) <= most else (middle + 1, high)
    bins: IntArray = np.empty(len(lengths), dtype=np.int64)
    starts = _cuts(descending, high)
    bins[by_length] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(descending)]))
    return bins


def _rounded_up(number: int, multiple: int) -> int:
    return max(-(-number // multiple), 1) * multiple


def _most(lengths: IntArray, bins: IntArray) -> int:
    return int(np.bincount(bins, lengths).max(initial=0))


def _cuts(descending: list[int], budget: int) -> list[int]:
    """Return where bins of a padded budget start, in samples sorted by descending length."""
    starts = []
    start = 0
    while start < len(descending):
        starts.append(start)
        start += max(budget // descending[start], 1)
    return starts


def _deal(lengths: IntArray, num_bins: int, most: int) -> IntArray:
    """Return the bin of each sample, dealt in rounds and swapped until no bin holds more than `most`, if that works."""
    by_length = np.argsort(-lengths, kind="stable")
    bins: IntArray = np.empty(len(lengths), dtype=np.int64)
    loads = np.zeros(num_bins, dtype=np.int64)
    for first in range(0, len(lengths), num_bins):
        samples = by_length[first : first + num_bins]
        emptiest = np.argsort(loads, kind="stable")[: len(samples)]
        bins[samples] = emptiest
        loads[emptiest] += lengths[samples]
    return _swap(lengths, bins, loads, most=most)


def _swap(lengths: IntArray, bins: IntArray, loads: IntArray, *, most: int) -> IntArray:
    """Return the bins after swaps of samples between the fullest and the emptiest ones, each of which evens them out.

    It ends when no bin holds more than `most`, or nothing more is gained. No bin becomes fuller than the fullest was.
    """
    num_bins = len(loads)
    for _ in range(_ROUNDS):
        pairs = min(num_bins // 2, int((loads > most).sum()))
        if not pairs or loads.max() - loads.min() <= 1:
            break
        by_load = np.argsort(loads, kind="stable")
        empty, full = by_load[:pairs], by_load[::-1][:pairs]
        members, tokens = _members(lengths, bins, num_bins)
        # The gain of giving sample a of the full bin for sample b of the empty one; column 0 is no sample at all.
        moved = tokens[full][:, :, None] - tokens[empty][:, None, :]
        gap = (loads[full] - loads[empty])[:, None, None]
        rest = np.abs(gap - 2 * moved).reshape(pairs, -1)
        best = rest.argmin(1)
        gained = rest[np.arange(pairs), best] < gap.reshape(-1)
        if not gained.any():
            break
        given, taken = np.divmod(best, tokens.shape[1])
        for sender, receiver, column in ((full, empty, given), (empty, full, taken)):
            samples = members[sender, column]
            is_real = gained & (samples >= 0)
            bins[samples[is_real]] = receiver[is_real]
        amount = np.where(gained, moved.reshape(pairs, -1)[np.arange(pairs), best], 0)
        loads[full] -= amount
        loads[empty] += amount
    return bins


def _members(lengths: IntArray, bins: IntArray, num_bins: int) -> tuple[IntArray, IntArray]:
    """Return some samples of each bin, -1 for none, and their tokens; the first column is -1."""
    by_bin = np.argsort(bins, kind="stable")
    counts = np.bincount(bins, minlength=num_bins)
    width = min(int(counts.max()), _MOST_SWAPPED)
    starts = np.cumsum(counts) - counts
    columns = np.arange(width) * np.maximum(counts, width)[:, None] // width  # spread over the bin's samples
    is_real = columns < counts[:, None]
    found = by_bin[np.minimum(starts[:, None] + columns, len(by_bin) - 1)]
    members = np.full((num_bins, width + 1), -1)
    members[:, 1:] = np.where(is_real, found, -1)
    return members, np.where(members >= 0, lengths[members], 0)


def _best_fit(lengths: IntArray, max_tokens: int) -> IntArray:
    """Return the bin of each sample by best-fit decreasing: each goes into the fullest bin that still holds it."""
    bins: IntArray = np.empty(len(lengths), dtype=np.int64)
    by_room: dict[int, list[int]] = {}  # bins by the number of tokens that they still hold
    rooms = 0  # bit r is set if there is a bin with room for r more tokens: the next larger one is found at once
    num_bins = 0
    by_length = np.argsort(-lengths, kind="stable")
    for sample, length in zip(by_length.tolist(), lengths[by_length].tolist(), strict=True):
        larger = rooms >> length
        if larger:
            room = length + (larger & -larger).bit_length() - 1
            number = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, number = max_tokens, num_bins
            num_bins += 1
        bins[sample] = number
        left = by_room.setdefault(room - length, [])
        left.append(number)
        rooms |= 1 << (room - length)
    return bins
