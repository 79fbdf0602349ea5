"""How large the content of an archive may be: against bombs, which are small and unpack to fill any disk."""

import io
from numbers import Integral
from typing import Any, Final

import attrs

from bionemo.core.resources.resource import short

__all__ = ["Budget", "CountedStream", "UnpackLimits"]

_SMALL: Final = 2**24
"""Number of bytes up to which any ratio is fine."""


def _to_int(number: Any) -> Any:
    is_integer = isinstance(number, Integral) and not isinstance(number, bool)  # also one of NumPy
    return int(number) if is_integer else number


def _check_number(_: object, field: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"{field.name} must be an integer of at least 1, got {field.name}={short(value)}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class UnpackLimits:
    """What decompressing and unpacking one resource may write.

    Args:
        max_bytes: number of bytes of all files together.
        max_ratio: how many times as large as the compressed file they may be. Not applied up to 16 MiB.
        max_files: number of files, folders and links.

    Example:
        >>> UnpackLimits(max_ratio=1000)
        UnpackLimits(max_bytes=1099511627776, max_ratio=1000, max_files=1000000)
    """

    max_bytes: int = attrs.field(default=2**40, converter=_to_int, validator=_check_number)
    max_ratio: int = attrs.field(default=200, converter=_to_int, validator=_check_number)
    max_files: int = attrs.field(default=10**6, converter=_to_int, validator=_check_number)


class Budget:
    """What may still be written while one archive is unpacked.

    Example:
        >>> budget = Budget(UnpackLimits(max_bytes=10), num_compressed=1)
        >>> budget.spend(11)
        Traceback (most recent call last):
        ValueError: it unpacks to more than 10 bytes. Pass limits=UnpackLimits(max_bytes=...) if you trust it
    """

    def __init__(self, limits: UnpackLimits, *, num_compressed: int) -> None:
        self._limits, self._num_bytes, self._num_files = limits, 0, 0
        by_ratio = max(limits.max_ratio * num_compressed, _SMALL)
        self._name = "max_ratio" if by_ratio < limits.max_bytes else "max_bytes"
        self._max_bytes = min(by_ratio, limits.max_bytes)

    def spend(self, num_bytes: int) -> None:
        """Count bytes that are written, or of which headers are made."""
        self._num_bytes += num_bytes
        if self._num_bytes > self._max_bytes:
            ratio = f", {self._limits.max_ratio} times its size" * (self._name == "max_ratio")
            raise ValueError(self._refusal(f"{self._max_bytes} bytes{ratio}", self._name))

    def spend_file(self) -> None:
        """Count a file, a folder or a link."""
        self._num_files += 1
        if self._num_files > self._limits.max_files:
            raise ValueError(self._refusal(f"{self._limits.max_files} files", "max_files"))

    def _refusal(self, limit: str, name: str) -> str:
        return f"it unpacks to more than {limit}. Pass limits=UnpackLimits({name}=...) if you trust it"


class CountedStream:
    """A decompressed stream whose bytes are counted, also those of headers, which are read into memory.

    Example:
        >>> CountedStream(io.BytesIO(b"abc"), Budget(UnpackLimits(), num_compressed=3)).read(2)
        b'ab'
    """

    def __init__(self, stream: io.BufferedIOBase, budget: Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`."""
        block = self._stream.read(size)
        self._budget.spend(len(block))
        return block
