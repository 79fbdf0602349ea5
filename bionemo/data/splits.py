"""Training, validation and test sets by hash: stable when data is added, and equal on every machine."""

from bisect import bisect_right
from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bionemo.core.checked import checked
from bionemo.core.checks import AnyFloat, AnyInt, IntArray, check_seed, check_word, shown
from bionemo.core.int64 import as_integers
from bionemo.core.random.hashing import fold_in, fold_mixed, fold_word, mix_seed

__all__ = ["split_indices", "split_of"]


@checked
def split_of(key: AnyInt | str, /, *, seed: AnyInt, fractions: Mapping[str, AnyFloat]) -> str:
    """Return the split that a key belongs to.

    Laws: it depends on key, seed and fractions alone, so that no key changes its split when others are added; equal
    keys are in the same split. Each key is in a split with the probability of its fraction, to within 2**-62. If the
    first fraction grows, no key leaves the first split.

    Split by what must not be in two splits at once: by a cluster of similar sequences, not by the sequence.

    Args:
        key: name or number of a cluster or record: a string, or 0..2**63-1.
        seed: 0..2**63-1.
        fractions: of the keys, by the name of the split: numbers from 0, which sum to 1.

    Raises:
        ValueError: if the fractions don't sum to 1, one is no number or negative, or another number is out of range.
        TypeError: if the key is neither an integer nor a string.

    Example:
        >>> fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
        >>> [split_of(cluster, seed=7, fractions=fractions) for cluster in ("P1", "P2", "P3")]
        ['train', 'train', 'train']
    """
    names, stops = list(fractions), _stops(fractions)
    word = key if isinstance(key, str) else check_word(key, name="key")
    return names[bisect_right(stops, fold_in(fold_in(check_seed(seed), "split"), word))]


@checked
def split_indices(keys: Any, /, *, seed: AnyInt, fractions: Mapping[str, AnyFloat]) -> dict[str, IntArray]:
    """Return the indices of the samples in each split.

    Law: sample `k` is in the split `split_of(keys[k], seed=seed, fractions=fractions)`. Indices ascend.

    Args:
        keys: the cluster or record of each sample: one axis of strings, or of integers in 0..2**63-1. Strings must not
            end with the character NUL.
        seed: as for `split_of`.
        fractions: as for `split_of`.

    Raises:
        ValueError: as for `split_of`, or if there is more than one axis.
        TypeError: as for `split_of`.

    Example:
        >>> split_indices(["a", "b", "a", "c", "d"], seed=7, fractions={"train": 0.6, "test": 0.4})
        {'train': array([0, 1, 2, 4]), 'test': array([3])}
    """
    names, stops = list(fractions), np.array(_stops(fractions)[:-1], dtype=np.int64)
    base = fold_in(check_seed(seed), "split")
    texts = _as_texts(keys)
    if texts is not None:
        words = fold_word(base, _text_words(texts))
    else:
        found = as_integers(keys, name="keys")
        if found.size and (int(found.min()) < 0 or int(found.max()) >= 2**63):
            message = f"keys must be in 0..2**63-1, got {int(found.min())}..{int(found.max())}."
            raise ValueError(message)
        words = fold_word(base, found.astype(np.int64))
    if words.ndim != 1:
        message = f"keys must have one axis, got shape {words.shape}."
        raise ValueError(message)
    number = np.searchsorted(stops, words, side="right")
    return {name: np.flatnonzero(number == split) for split, name in enumerate(names)}


def _as_texts(keys: Any) -> NDArray[Any] | None:
    """Return strings as an array; None if the keys are something else."""
    if isinstance(keys, Tensor):
        return None
    elements = keys if isinstance(keys, list | tuple) else np.asarray(keys)
    if isinstance(elements, np.ndarray) and not elements.ndim:
        message = f"keys must have one axis, got keys={shown(keys)}."
        raise TypeError(message)
    if isinstance(elements, np.ndarray) and elements.dtype.kind in "UT":
        return elements.astype(np.str_)
    if isinstance(elements, np.ndarray) and elements.dtype != np.object_:
        return None
    if {*map(type, elements)} != {str}:
        return None
    if any(key.endswith("\0") for key in elements):
        message = "keys must not end with the character NUL, which arrays of strings drop."
        raise ValueError(message)
    return np.array(elements, dtype=np.str_)


def _text_words(texts: NDArray[Any]) -> IntArray:
    """Return the words of strings: `fold_in(seed, text) == fold_word(seed, word)`."""
    letters = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), -1).astype(np.int64)
    sizes = np.char.str_len(texts).astype(np.int64)
    words: IntArray = mix_seed(sizes)
    for column in range(letters.shape[1]):
        reach = np.flatnonzero(sizes > column)
        words[reach] = fold_mixed(words[reach], letters[reach, column])
    return words


def _stops(fractions: Mapping[str, AnyFloat]) -> list[int]:
    """Return the word below which a key is in each split, or in an earlier one."""
    given: Mapping[str, Any] = fractions
    for name, fraction in given.items():
        is_number = isinstance(fraction, Real) and not isinstance(fraction, bool)
        if not is_number or not 0 <= fraction <= 1:
            message = f"fractions must be numbers of 0 to 1, got fractions[{name!r}]={shown(fraction)}."
            raise ValueError(message)
    exact = [Fraction(float(fraction)) for fraction in fractions.values()]
    if abs(sum(exact, Fraction(0)) - 1) > Fraction(1, 10**9):
        message = f"fractions must sum to 1, got {shown(dict(fractions))}."
        raise ValueError(message)
    return [*(int(stop * 2**63) for stop in list(accumulate(exact))[:-1]), 2**63]
