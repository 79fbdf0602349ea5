"""Arrays as values, which compare, hash, pickle and print by their content."""

import hashlib
from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["FrozenArray"]

_WIDEST: Final = 8
"""Size in bytes of the widest numbers that are equal on all machines: longdouble differs."""


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a little-endian copy of an array that nothing can make writable."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > _WIDEST:
        message = f"array must hold real numbers of at most 64 bits, got dtype={array.dtype}."
        raise TypeError(message)
    content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    # NumPy refuses to set the writeable flag of an array whose memory is a bytes object.
    frozen: NDArray[Any] = np.frombuffer(content.tobytes(), dtype=content.dtype).reshape(array.shape)
    return frozen


@attrs.frozen(eq=False, repr=False)
class FrozenArray:
    """A read-only copy of an array, for a field of a record.

    Laws: two frozen arrays are equal if and only if their dtypes, shapes and bytes are equal; equal ones have equal
    hashes and digests, in any process and on any machine. The copy can't be made writable.

    Args:
        array: array of real numbers of at most 64 bits.

    Raises:
        TypeError: if the array has another dtype.

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
        digest = hashlib.sha256(head.encode())
        digest.update(self.array.reshape(-1).data)  # the memory itself, not a copy; hashlib takes one axis only
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenArray):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.array.shape))
        return f"FrozenArray({self.array.dtype.name}[{shape}], sha256={self.digest[:12]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenArray, (self.array,)
