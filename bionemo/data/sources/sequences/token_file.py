"""Token files: ragged rows of integers on disk, in the format of Megatron's `.bin` and `.idx` files."""

import struct
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from bionemo.core.checked import checked
from bionemo.core.checks import IntArray
from bionemo.core.files import to_path, write_atomically
from bionemo.data.reading.indexed import Indexed
from bionemo.data.sources.opened import Opened, WatchedFile
from bionemo.data.sources.ragged_rows import IntDType, check_int_dtype, check_spans, copy_spans, flat_parts

__all__ = ["TokenFile", "write_tokens"]

_MAGIC: Final = b"MMIDIDX\x00\x00"
_HEADER: Final = struct.Struct("<9sQBQQ")
"""Magic bytes, version, code of the dtype, number of rows, number of documents and one."""
_VERSION: Final = 1
_DTYPES: Final = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}
_CODES: Final = {np.dtype(dtype): code for code, dtype in _DTYPES.items() if "f" not in dtype}
_AT_ONCE: Final = 2**20
"""Rows whose index is written at once."""


class _Arrays(NamedTuple):
    """The maps of both files."""

    lengths: NDArray[np.int32]
    starts: NDArray[np.int64]
    """In bytes."""
    flat: NDArray[Any]


def _paths(path: Any) -> tuple[Path, Path]:
    """Return the paths of the tokens and of their index, for either of them or for what both begin with."""
    text = str(to_path(path, name="path"))
    stem = text[:-4] if text.endswith((".bin", ".idx")) else text
    return Path(f"{stem}.bin"), Path(f"{stem}.idx")


def _tokens(path: Any) -> WatchedFile:
    return WatchedFile(_paths(path)[0])


@attrs.frozen(repr=False)
class TokenFile(Indexed):
    """Rows of tokens in a `.bin` file with an `.idx` file, which Megatron, NeMo and Evo 2 write and read.

    Both are memory-mapped: opening takes the same time for any number of rows, and worker processes share the memory.
    Rows are copied when they are read.

    Args:
        path: path of one of the files, or both without `.bin` and `.idx`.

    Raises:
        FileNotFoundError: if one of the files is missing.
        ValueError: if a file has another format, is cut off, or changes after the data set was made.
        TypeError: if the file holds floats, or `path` is not a path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = write_tokens(f"{folder}/proteins", [[5, 6, 7], [], [8]], dtype=np.uint8)
        ...     len(rows), rows[0], rows.lengths
        (3, array([5, 6, 7], dtype=uint8), array([3, 0, 1], dtype=int32))
    """

    tokens: WatchedFile = attrs.field(converter=_tokens, alias="path")
    index: WatchedFile = attrs.field(
        init=False, default=attrs.Factory(lambda rows: WatchedFile(_paths(rows.tokens.path)[1]), takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        _ = self._head  # raises if a file is not what it should be

    @cached_property
    def _head(self) -> tuple[str, int]:
        self._check()
        return _read_head(self.tokens, self.index)

    @cached_property
    def _arrays(self) -> Opened[_Arrays]:
        return Opened(self._map)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the tokens."""
        return np.dtype(self._head[0])

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Number of tokens of each row: an int32 map of the file."""
        return self._arrays.get().lengths

    @cached_property
    def fingerprint(self) -> str:
        """Digest of both files, of which large ones are sampled."""
        return f"{self.tokens.fingerprint}/{self.index.fingerprint}"

    def __len__(self) -> int:
        return self._head[1]

    def read_many(self, indices: IntArray, /) -> list[NDArray[Any]]:
        """Return copies of the rows at indices in one axis, which are not checked."""
        self._check()
        lengths, starts, flat = self._arrays.get()
        begins = starts[indices] // flat.itemsize
        return copy_spans(flat, begins, begins + lengths[indices])

    def read_spans(self, numbers: Any, starts: Any, stops: Any, /) -> list[NDArray[Any]]:
        """Return copies of the tokens `starts[k]` to `stops[k] - 1` of each row `numbers[k]`.

        Raises:
            IndexError: if there is no such row or token.
        """
        self._check()
        lengths, of_rows, flat = self._arrays.get()
        rows, firsts, lasts = check_spans(lengths, numbers, starts, stops)
        begins = of_rows[rows] // flat.itemsize
        return copy_spans(flat, begins + firsts, begins + lasts)

    def _check(self) -> None:
        """Check that both files are what they were: reading a map of one that was cut off would kill the process."""
        self.tokens.check()
        self.index.check()

    def _map(self) -> _Arrays:
        self._check()
        bytes_of = np.asarray(np.memmap(self.index.path, np.uint8, "r"))
        lengths_end = _HEADER.size + 4 * len(self)
        starts = bytes_of[lengths_end : lengths_end + 8 * len(self)].view("<i8")
        flat = np.memmap(self.tokens.path, self.dtype, "r") if self.tokens.size else np.empty(0, self.dtype)
        return _Arrays(bytes_of[_HEADER.size : lengths_end].view("<i4"), starts, np.asarray(flat))

    def __repr__(self) -> str:
        return f"TokenFile({str(self.tokens.path)!r}, {len(self):,} rows of {self.dtype})"


def _read_head(tokens: WatchedFile, index: WatchedFile) -> tuple[str, int]:
    """Return the dtype of the tokens and the number of rows, after checking that both files are whole."""
    with index.path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            message = (
                f"path must name an index of tokens, which begins with {_MAGIC!r}, got {head[:9]!r}: {index.path}."
            )
            raise ValueError(message)
        _, version, code, num_rows, num_documents = _HEADER.unpack(head)
        if version != _VERSION or code not in _DTYPES:
            message = f"an index must have version 1 and a known dtype, got {version} and {code}: {index.path}."
            raise ValueError(message)
        if "f" in _DTYPES[code]:
            message = f"tokens must be integers, got {np.dtype(_DTYPES[code])}: {tokens.path}."
            raise TypeError(message)
        needed = _HEADER.size + 12 * num_rows + 8 * num_documents
        _check_size(index, needed, needed + num_rows)  # it may end with a mode per row
        if not num_rows:
            return _DTYPES[code], 0
        file.seek(_HEADER.size + 4 * (num_rows - 1))
        (length,) = struct.unpack("<i", file.read(4))
        file.seek(_HEADER.size + 12 * num_rows - 8)
        (start,) = struct.unpack("<q", file.read(8))
    end = start + length * np.dtype(_DTYPES[code]).itemsize
    _check_size(tokens, end, end)
    return _DTYPES[code], num_rows


def _check_size(file: WatchedFile, *expected: int) -> None:
    if file.size not in expected:
        message = (
            f"{file.path} must have {expected[0]:,} bytes, as its index says, got {file.size:,}: it was cut off, or "
            "belongs to another index. Write or copy both files again."
        )
        raise ValueError(message)


@checked
def write_tokens(path: Any, rows: Iterable[Any], /, *, dtype: IntDType) -> TokenFile:
    """Write rows of tokens to a `.bin` and an `.idx` file, and return them as a data set.

    The rows are streamed: memory doesn't grow with their number. On a terminal, a bar shows the progress. A process
    that is killed leaves no such files, and old ones as they were: the new ones take their names when they are whole.

    Law: row `k` of the result equals the k-th row. The files equal, byte for byte, those of megatron-core's
    `IndexedDatasetBuilder` with a document per row.

    Args:
        path: path of one of the files, or both without `.bin` and `.idx`; its folder must exist.
        rows: sequences of ints, arrays and tensors, in any iterable.
        dtype: integer dtype of the tokens: uint8, int8, uint16, int16, int32 or int64.

    Raises:
        ValueError: if a row hasn't one axis, a number doesn't fit the dtype, or the format has no such dtype.
        TypeError: if a row doesn't hold integers.
        OSError: if the files can't be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     list(write_tokens(f"{folder}/proteins", [[5, 6, 7], [8]], dtype=np.uint16))
        [array([5, 6, 7], dtype=uint16), array([8], dtype=uint16)]
    """
    kind = check_int_dtype(dtype).newbyteorder("<")
    if kind not in _CODES:
        message = f"dtype must be one of {', '.join(map(str, _CODES))}, got dtype={kind}."
        raise ValueError(message)
    tokens_path, index_path = _paths(path)
    with TemporaryFile(dir=tokens_path.parent) as lengths:  # unlinked at once: no kill leaves it

        def write_rows(file: BinaryIO) -> None:
            with tqdm(rows, unit=" rows", unit_scale=True, disable=None) as bar:
                for flat, part in flat_parts(bar, kind):
                    file.write(flat.data)
                    lengths.write(np.array(part, dtype="<i4").data)
            index_path.unlink(missing_ok=True)  # the old one doesn't belong to the new tokens

        write_atomically(tokens_path, write_rows)
        write_atomically(index_path, partial(_write_index, lengths, kind))
    return TokenFile(tokens_path)


def _write_index(lengths: BinaryIO, kind: np.dtype[Any], file: BinaryIO) -> None:
    num_rows = lengths.seek(0, 2) // 4
    file.write(_HEADER.pack(_MAGIC, _VERSION, _CODES[kind], num_rows, num_rows + 1))
    file.writelines(part.data for part in _parts_of(lengths))
    start = 0
    for part in _parts_of(lengths):
        ends = start + np.cumsum(part * np.int64(kind.itemsize))
        file.write(np.concatenate([[start], ends[:-1]]).astype("<i8").data)
        start = int(ends[-1])
    firsts = range(0, num_rows + 1, _AT_ONCE)  # a document per row
    file.writelines(np.arange(first, min(first + _AT_ONCE, num_rows + 1), dtype="<i8").data for first in firsts)


def _parts_of(lengths: BinaryIO) -> Iterator[NDArray[np.int32]]:
    lengths.seek(0)
    while part := lengths.read(4 * _AT_ONCE):
        yield np.frombuffer(part, dtype="<i4")
