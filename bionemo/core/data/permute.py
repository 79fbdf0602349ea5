"""The module path of bionemo-core 2.x for `bionemo.data.permute`.

The permutations are those of `bionemo.data.permute`; those of 2.x are in `bionemo.data.KenslerOrder`.
"""

from bionemo.core.checks import AnyInt, check_integer
from bionemo.core.random.generators import seed_from_entropy
from bionemo.data import permute as successor

__all__ = ["OutOfRangeError", "permute"]


class OutOfRangeError(IndexError, ValueError):
    """An index outside of a range: an IndexError, and the ValueError that it is in 2.x."""


def permute(index: AnyInt, length: AnyInt, seed: AnyInt) -> int:
    """Return element `index` of a pseudorandom permutation of `range(length)`, with the bounds of 2.x.

    Law: it equals `bionemo.data.permute.permute(index, length, seed_from_entropy(seed))`.

    Args:
        index: 0..length-1.
        length: 2..2**62; the successor takes 1, too.
        seed: at least 0, of any size.

    Raises:
        OutOfRangeError: if the index is out of range.
        ValueError: if the length or the seed is out of range.
        TypeError: if a number is not an integer.

    Example:
        >>> [permute(index, 5, seed=42) for index in range(5)]
        [2, 4, 0, 1, 3]
    """
    index, length, seed = (
        check_integer(number, name=name) for number, name in ((index, "index"), (length, "length"), (seed, "seed"))
    )
    if not 1 < length <= successor.MAX_LENGTH:
        message = f"The length of the permuted range must be greater than 1 and at most 2**62, got length={length}."
        raise ValueError(message)
    if not 0 <= index < length:
        message = f"The index to permute must be in the range [0, length), got index={index} and length={length}."
        raise OutOfRangeError(message)
    if seed < 0:
        message = f"The permutation seed must be greater than or equal to 0, got seed={seed}."
        raise ValueError(message)
    return successor.permute(index, length, seed_from_entropy(seed))
