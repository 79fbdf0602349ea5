"""Arrays as values, which compare, hash, pickle and print by their content."""

import hashlib
from functools import cached_property
from mmap import mmap
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["FrozenArray", "is_read_only_map"]

_WIDEST: Final = 8
"""Size in bytes of the widest numbers that are equal on all machines: longdouble differs."""


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a little-endian copy of an array that nothing can make writable, or a map of a file that is that."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > _WIDEST:
        message = f"array must hold real numbers of at most 64 bits, got dtype={array.dtype}."
        raise TypeError(message)
    if is_read_only_map(array):
        return array
    content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    # NumPy refuses to set the writeable flag of an array whose memory is a bytes object.
    frozen: NDArray[Any] = np.frombuffer(content.tobytes(), dtype=content.dtype).reshape(array.shape)
    return frozen


def is_read_only_map(array: Any, /) -> bool:
    """Return whether an array is the whole of what `np.memmap` or `np.load` maps from a file, for reading only.

    Example:
        >>> is_read_only_map(np.arange(3))
        False
    """
    owner: Any = getattr(array, "base", None)
    return (
        isinstance(array, np.memmap)
        and isinstance(owner, mmap)  # a view of a map has the map as its base, and no offset of its own
        and not array.flags.writeable
        and array.mode == "r"
        and array.filename is not None
        and array.flags.c_contiguous
        and array.dtype == array.dtype.newbyteorder("<")
    )


@attrs.frozen(eq=False, repr=False)
class FrozenArray:
    """A read-only copy of an array, for a field of a record.

    A memory map of a file that was opened for reading (`mode="r"` of `np.memmap`, `mmap_mode="r"` of `np.load`) is kept
    as it is, and pickled as the path of its file: the file must stay, and stay the same.

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
        if isinstance(self.array, np.memmap):
            return _map, (self.array.filename, self.array.dtype, "r", self.array.offset, self.array.shape)
        return FrozenArray, (self.array,)


def _map(*arguments: Any) -> FrozenArray:
    return FrozenArray(np.memmap(*arguments))
