"""Letters to tokens: by a table of the 256 bytes."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bionemo.core.checked import checked
from bionemo.core.checks import AnyInt, check_int, shown
from bionemo.core.frozen_array import FrozenArray
from bionemo.core.int64 import as_integers

__all__ = ["letter_table", "to_ids", "to_table"]

_NUM_BYTES: Final = 256
_REFUSED: Final = -1
"""Entry of a letter that is an error."""


@checked
def letter_table(
    letters: str, /, *, first: AnyInt = 0, unknown: AnyInt | None = None, ignore_case: bool = False
) -> NDArray[np.int16]:
    """Return the token of each byte: a table for a `FastaFile`.

    Args:
        letters: the k-th letter becomes the token `first + k`.
        first: token of the first letter.
        unknown: token of all other letters; None makes them an error.
        ignore_case: whether the other case of a letter becomes the same token.

    Returns:
        An int16 array of 256 elements, -1 for a letter that is an error.

    Raises:
        ValueError: if a letter isn't one of ASCII or occurs twice, or a token doesn't fit int16.

    Example:
        >>> table = letter_table("ACGT", first=5, unknown=3)
        >>> table[list(b"GATN")]
        array([7, 5, 8, 3], dtype=int16)
    """
    first = check_int(first, name="first", high=2**15 - 1 - len(letters))
    other = _REFUSED if unknown is None else check_int(unknown, name="unknown", high=2**15 - 1)
    known = letters.upper() if ignore_case else letters
    if not known.isascii() or len(set(known)) < len(known):
        message = f"letters must be different ones of ASCII, got letters={shown(letters)}."
        raise ValueError(message)
    table = np.full(_NUM_BYTES, other, dtype=np.int16)
    for number, letter in enumerate(known):
        for form in {letter, letter.lower()} if ignore_case else {letter}:
            table[ord(form)] = first + number
    return table


def to_table(table: Any, /) -> FrozenArray | None:
    """Return a table as a frozen array, or None.

    Raises:
        ValueError: if it hasn't an integer for each of the 256 bytes.

    Example:
        >>> to_table(np.arange(256))
        FrozenArray(int64[256], sha256=68ca911fd3cb)
    """
    if table is None or isinstance(table, FrozenArray):
        return table
    found = table if isinstance(table, np.ndarray) else as_integers(table, name="table")
    if found.shape != (_NUM_BYTES,) or found.dtype.kind not in "iu":
        message = (
            f"table must have an integer for each of the 256 bytes, got {found.dtype} of shape {found.shape}. "
            'Make one, e.g. letter_table("ACGT").'
        )
        raise ValueError(message)
    return FrozenArray(found)


def to_ids(letters: bytes, table: FrozenArray, /, *, name: str) -> NDArray[Any]:
    """Return the tokens of letters.

    Args:
        letters: bytes of ASCII.
        table: the token of each byte; a negative one is an error.
        name: whose letters these are, for the error.

    Raises:
        ValueError: if a letter has no token.

    Example:
        >>> to_ids(b"GATTACA", FrozenArray(letter_table("ACGT")), name="seq")
        array([2, 0, 3, 3, 0, 1, 0], dtype=int16)
    """
    ids: NDArray[Any] = table.array[np.frombuffer(letters, dtype=np.uint8)]
    if len(ids) and ids.min() < 0:
        at = int(np.argmax(ids < 0))
        message = (
            f"each letter must have a token, got {chr(letters[at])!r} at index {at} of {name}. "
            "Give letter_table an unknown token."
        )
        raise ValueError(message)
    return ids
