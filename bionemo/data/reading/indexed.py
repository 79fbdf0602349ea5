"""A data set whose samples are read many at once."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from bionemo.core.checks import IntArray, check_index
from bionemo.core.int64 import as_integers

__all__ = ["Indexed"]

_AT_ONCE: Final = 256
"""Samples that an iteration reads at once."""


class Indexed:
    """A data set that defines `__len__`, and `read_many`, which reads all samples that it is asked for at once.

    Law: `dataset.__getitems__(indices)[k]` equals `dataset[indices[k]]`.

    Raises:
        IndexError: if there is no such sample.
        TypeError: if an index is not an integer.
    """

    __slots__ = ()

    def __getitem__(self, index: Any, /) -> Any:
        check_index(index, stop=len(self), name="index")
        return self.read_many(np.array([index], dtype=np.int64))[0]

    def __getitems__(self, indices: Any, /) -> Any:
        found = as_integers(indices, name="indices")
        check_index(found, stop=len(self), name="index")
        return self.read_many(found.astype(np.int64, copy=False))

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.read_many(np.arange(start, min(start + _AT_ONCE, len(self))))

    def __len__(self) -> int:
        raise NotImplementedError

    def read_many(self, indices: IntArray, /) -> Any:
        """Return the samples at indices in one axis, which are not checked."""
        raise NotImplementedError
