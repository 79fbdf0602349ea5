"""Ranges of an array on disk: each chunk of it is read once, and not even copied if the file can be mapped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bionemo.core.checks import IntArray

__all__ = ["MappedArray", "map_array", "read_ranges"]

_AT_ONCE: Final = 2**26
"""Bytes of neighbouring chunks that are read at once."""


@attrs.frozen(eq=False)
class MappedArray:
    """An uncompressed one-axis array of an HDF5 file, as a map of the file."""

    flat: NDArray[Any]
    """The file, as elements."""
    begins: IntArray
    """Where each chunk begins in it."""
    shape: tuple[int]
    dtype: np.dtype[Any]
    chunks: tuple[int]


def map_array(array: Any, path: Path, /) -> Any:
    """Return an array of an HDF5 file as a map of the file; the array itself if it can't be mapped.

    That is so if it is compressed or filtered, has several axes, or isn't stored in this machine's byte order.

    Example:
        >>> import tempfile, h5py
        >>> with tempfile.TemporaryDirectory() as folder, h5py.File(f"{folder}/a.h5", "w") as file:
        ...     array = file.create_dataset("a", data=np.arange(100), chunks=(30,))
        ...     file.flush()
        ...     read_ranges(map_array(array, Path(f"{folder}/a.h5")), np.array([3, 28]), np.array([5, 32]))
        array([ 3,  4, 28, 29, 30, 31])
    """
    size = array.dtype.itemsize
    is_plain = array.ndim == 1 and array.size and array.dtype.isnative and array.dtype.kind in "iuf"
    if not is_plain or array.id.get_create_plist().get_nfilters() or array.file.userblock_size or array.external:
        return array
    length = int((array.chunks or array.shape)[0])
    offsets: dict[int, int] = {}
    if array.chunks:
        array.id.chunk_iter(lambda chunk: offsets.update({chunk.chunk_offset[0] // length: chunk.byte_offset}))
    elif array.id.get_offset() is not None:
        offsets[0] = array.id.get_offset()
    num_chunks = -(-array.shape[0] // length)
    rests = {offset % size for offset in offsets.values()}
    if len(offsets) < num_chunks or len(rests) > 1:
        return array  # a chunk that was never written isn't in the file
    (rest,) = rests
    begins = np.array([offsets[number] // size for number in range(num_chunks)])
    shape = ((path.stat().st_size - rest) // size,)
    flat = np.asarray(np.memmap(path, array.dtype, "r", offset=rest, shape=shape))
    return MappedArray(flat, begins, (int(array.shape[0]),), array.dtype, (length,))


def read_ranges(array: Any, starts: IntArray, stops: IntArray, /) -> NDArray[Any]:
    """Return ranges of the first axis of an array on disk, one after the other in a new array.

    Each chunk is read and decompressed once: by HDF5's own cache, which must hold a chunk, or, for other arrays, by
    reading runs of chunks whole.

    Args:
        array: what `map_array` returns, or another array with `[...]`, `shape`, `dtype` and `chunks`, e.g. of zarr.
        starts: where the ranges begin, ascending.
        stops: where they end; none begins before the one before it has ended.

    Example:
        >>> read_ranges(np.arange(100), np.array([3, 5, 50]), np.array([5, 6, 52]))
        array([ 3,  4,  5, 50, 51])
    """
    # Neighbours become one range.
    is_first = np.concatenate([[True], starts[1:] != stops[:-1]])[: len(starts)]
    firsts, lasts = starts[is_first], stops[np.concatenate([is_first[1:], [True]])[: len(stops)]]
    if isinstance(array, MappedArray):
        parts = _read_map(array, firsts, lasts)
    elif type(array).__module__.startswith("h5py."):
        parts = [array[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    else:
        parts = list(_read_chunks(array, firsts, lasts))
    return np.concatenate([np.empty((0, *array.shape[1:]), dtype=array.dtype), *parts])


def _read_map(array: MappedArray, starts: IntArray, stops: IntArray) -> list[NDArray[Any]]:
    """Return views of the ranges, or of the pieces of those that go over the end of a chunk."""
    (length,) = array.chunks
    starts, stops = _cut(starts, stops, length)
    chunks = starts // length
    moved = array.begins[chunks] - chunks * length
    ends = (starts + moved).tolist(), (stops + moved).tolist()
    return [array.flat[start:stop] for start, stop in zip(*ends, strict=True)]


def _cut(starts: IntArray, stops: IntArray, length: int) -> tuple[IntArray, IntArray]:
    """Return ranges, cut at the multiples of a length, without empty ones."""
    chunks = starts // length
    counts = np.where(stops > starts, (stops - 1) // length - chunks + 1, 0)
    if (counts == 1).all():
        return starts, stops
    number = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(counts)  # of each piece in its range
    begins = (chunks.repeat(counts) + number) * length
    return np.maximum(starts.repeat(counts), begins), np.minimum(stops.repeat(counts), begins + length)


def _read_chunks(array: Any, starts: IntArray, stops: IntArray) -> Iterator[NDArray[Any]]:
    """Read runs of neighbouring chunks, and yield the ranges in them."""
    length = getattr(array, "chunks", (1024,))[0]
    bytes_per_chunk = length * array.dtype.itemsize * int(np.prod(array.shape[1:]))
    most = max(_AT_ONCE // max(bytes_per_chunk, 1), 1)
    pieces = (ends.tolist() for ends in _cut(starts, stops, length * most))
    for first, last, ranges in _runs(zip(*pieces, strict=True), length, most):
        low, high = first * length, min((last + 1) * length, array.shape[0])
        run = np.asarray(array[low:high])
        for start, stop in ranges:
            yield run[start - low : stop - low]


def _runs(
    ranges: Iterator[tuple[int, int]], length: int, most: int
) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield runs of at most so many chunks that have ranges in them: the first chunk, the last one, and the ranges."""
    first, last, found = 0, -2, list[tuple[int, int]]()
    for start, stop in ranges:
        begin, end = start // length, (stop - 1) // length
        if found and (begin > last + 1 or end // most > first // most):
            yield first, last, found
            found = []
        if not found:
            first = begin
        last = end
        found.append((start, stop))
    if found:
        yield first, last, found
