"""An array as a value: it compares, hashes, pickles and prints by its content."""

import hashlib
from functools import cached_property
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["FrozenArray"]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.hasobject:
        message = f"array must hold numbers, got dtype={array.dtype}."
        raise TypeError(message)
    copied = np.array(array, dtype=array.dtype.newbyteorder("<"), order="C")
    copied.flags.writeable = False
    return copied


@attrs.frozen(eq=False, repr=False)
class FrozenArray:
    """A read-only copy of an array, for a field of a record.

    Laws: two are equal if and only if their dtypes, shapes and bytes are; equal ones have equal hashes and digests, in
    any process and on any machine.

    Args:
        array: numbers; copied.

    Raises:
        TypeError: for an array of objects.

    Example:
        >>> FrozenArray(np.arange(3.0)) == FrozenArray(np.arange(3.0))
        True
        >>> FrozenArray(np.arange(3.0))
        FrozenArray(float64[3], sha256=30c9a2b1b815)
    """

    array: NDArray[Any] = attrs.field(converter=_read_only)

    @cached_property
    def digest(self) -> str:
        """The sha256 of dtype, shape and little-endian bytes, in hexadecimal digits."""
        head = f"{self.array.dtype.name}{list(self.array.shape)}"
        return hashlib.sha256(head.encode() + self.array.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenArray):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.array.shape))
        return f"FrozenArray({self.array.dtype.name}[{shape}], sha256={self.digest[:12]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenArray, (self.array,)
