"""The order of bionemo-core 2.x: for runs that began with it, and for comparisons."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import attrs
import numpy as np

from bionemo.core.arrays import check_memory
from bionemo.core.checks import AnyInt, IntArray, as_int, check_int
from bionemo.core.random.generators import check_entropy
from bionemo.data.orders.base import OrderBase, check_in_epochs, check_num_samples
from bionemo.data.orders.order import SampleIndex

__all__ = ["KenslerOrder"]

_WORD_BITS: Final = 32
_MAX_LENGTH: Final = 2**_WORD_BITS


def _check_length(length: AnyInt) -> int:
    return check_int(length, name="length", low=1, high=_MAX_LENGTH)


def _check_seed(seed: AnyInt) -> int:
    return check_entropy(seed, name="seed")


@lru_cache(maxsize=16)
def _draw_seeds(seed: int, num_epochs: int) -> IntArray:
    check_memory(8 * num_epochs, name="epoch", value=num_epochs - 1)
    seeds = np.random.default_rng(seed).integers(np.iinfo(np.int32).max, size=num_epochs)
    seeds.flags.writeable = False  # of the cache
    return seeds


@attrs.frozen(kw_only=True)
class KenslerOrder(OrderBase):
    """The epochs of `MultiEpochDatasetResampler` in bionemo-core 2.x, sample by sample.

    Laws: positions `e * length` to `(e + 1) * length - 1` hold each `idx` of `range(length)` exactly once, in epoch
    `e`; `position_of` inverts `index_at`. The seeds of epochs are drawn one after another, and kept: other than
    that, the time of a lookup doesn't depend on the position.

    Use it to continue a run that began with 2.x, or to compare with one. For new runs use `EpochOrder`: this
    permutation reaches only 8 of the 24 orders of 4 samples and 1,024 of the 40,320 of 8, doesn't exist above 2**32
    samples, and NumPy doesn't promise the stream of its epoch seeds across releases.

    Source: A. Kensler, "Correlated Multi-Jittered Sampling" (Pixar Technical Memo 13-01, 2013), section 4; the epoch
    seeds are those that 2.4.5 was observed to use.

    Args:
        length: samples in the data set, 1..2**32; 2.x itself refuses 1, and repeats samples above 2**32.
        seed: at least 0, of any size: the seed of NumPy's default generator, which draws a seed for each epoch.
        num_samples: total number of positions, 0..2**62; it may end within an epoch. None for no end.

    Raises:
        ValueError: if a number is out of range, or in a lookup, if the seeds of so many epochs don't fit the memory.
        TypeError: if a number is not an integer.

    Example:
        >>> order = KenslerOrder(length=10, seed=42, num_samples=20)
        >>> [order.index_at(position).idx for position in range(10)]
        [8, 9, 7, 5, 4, 6, 2, 0, 3, 1]
    """

    length: int = attrs.field(converter=_check_length)
    seed: int = attrs.field(converter=_check_seed)
    num_samples: int | None = attrs.field(default=None, converter=check_num_samples)

    @property
    def epoch_length(self) -> int:
        """Positions per epoch: one for each sample."""
        return self.length

    def seeds_of(self, epoch: Any, /) -> Any:
        """Return the seed of an epoch, or of each of an int64 array of epochs; unchecked."""
        last = int(np.max(epoch, initial=0))
        return as_int(_draw_seeds(self.seed, 1 << last.bit_length())[epoch])

    def index_at(self, position: Any, /) -> SampleIndex:
        """Return the sample at a position; unchecked: call `bionemo.data.index_at`."""
        epoch, offset = divmod(as_int(position), self.length)
        seed = self.seeds_of(epoch)
        return SampleIndex(0, epoch, (self._walk(_forward, offset, seed) + seed) % self.length)

    def position_of(self, index: SampleIndex, /) -> Any:
        """Return the position of a sample, also beyond the order's end: call `bionemo.data.position_of`.

        Raises:
            IndexError: if the data set has no such sample, or the position doesn't fit int64.
        """
        check_in_epochs(index, self.length)
        epoch, idx = as_int(index.epoch), as_int(index.idx)
        seed = self.seeds_of(epoch)
        return epoch * self.length + self._walk(_backward, (idx - seed) % self.length, seed)

    def _walk(self, shuffle: Callable[[Any, Any, int], Any], word: Any, seed: Any) -> Any:
        """Shuffle the smallest range of a power of two that holds all samples, again for what lands outside of them."""
        mask = (1 << (self.length - 1).bit_length()) - 1
        word = shuffle(word, seed, mask)
        if isinstance(word, int):
            while word >= self.length:
                word = shuffle(word, seed, mask)
            return word
        while (outside := word >= self.length).any():
            word = np.where(outside, shuffle(word, seed, mask), word)
        return word


def _steps(seed: Any) -> list[tuple[str, Any]]:
    """Return the steps of the shuffle, each a bijection of the words of some number of bits.

    "xor" with a number, "multiply" by an odd number, "shift": xor with the word itself, shifted to the right. They are
    the memo's but for its last, a shift by 5, which 2.x leaves out.
    """
    return [
        ("xor", seed),
        ("multiply", 0xE170893D),
        ("xor", seed >> 16),
        ("shift", 4),
        ("xor", seed >> 8),
        ("multiply", 0x0929EB3F),
        ("xor", seed >> 23),
        ("shift", 1),
        ("multiply", 1 | seed >> 27),
        ("multiply", 0x6935FA69),
        ("shift", 11),
        ("multiply", 0x74DCB303),
        ("shift", 2),
        ("multiply", 0x9E501CC3),
        ("shift", 2),
        ("multiply", 0xC860A3DF),
    ]


def _forward(word: Any, seed: Any, mask: int) -> Any:
    """Return the shuffled words; products of int64 arrays wrap, which leaves their low 32 bits right."""
    for step, number in _steps(seed):
        if step == "xor":
            word = word ^ (number & mask)
        elif step == "multiply":
            word = word * number & mask
        else:
            word = word ^ (word >> number)
    return word


def _backward(word: Any, seed: Any, mask: int) -> Any:
    """Return the words that `_forward` shuffles to these."""
    for step, number in reversed(_steps(seed)):
        if step == "xor":
            word = word ^ (number & mask)
        elif step == "multiply":
            word = word * _inverse(number) & mask
        else:
            shift = number
            while shift < _WORD_BITS:  # undoes the lowest bits that are still shifted, twice as many each time
                word = word ^ (word >> shift)
                shift *= 2
    return word


def _inverse(odd: Any) -> Any:
    """Return the inverses of odd numbers modulo 2**32, by Newton's method: each step doubles the right bits."""
    inverse = odd  # right in 3 bits
    for _ in range(4):
        inverse = inverse * (2 - odd * inverse) & _MAX_LENGTH - 1
    return inverse
