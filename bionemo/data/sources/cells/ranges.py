"""Ranges of an array on disk, each chunk of it read once."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bionemo.core.checks import IntArray

__all__ = ["read_ranges"]

_AT_ONCE: Final = 2**26
"""Bytes of neighbouring chunks that are read at once."""


def read_ranges(array: Any, starts: IntArray, stops: IntArray, /) -> NDArray[Any]:
    """Return ranges of the first axis of an array on disk, one after the other.

    Each chunk is read and decompressed once: by HDF5's own cache, which must hold a chunk, or, for other arrays, by
    reading runs of chunks whole.

    Args:
        array: an h5py data set, or an array with `[...]`, `shape`, `dtype` and `chunks`, e.g. of zarr.
        starts: where the ranges begin, ascending.
        stops: where they end; none begins before the one before it has ended.

    Example:
        >>> array = np.arange(100)
        >>> read_ranges(array, np.array([3, 5, 50]), np.array([5, 6, 52]))
        array([ 3,  4,  5, 50, 51])
    """
    found = np.empty((int((stops - starts).sum()), *array.shape[1:]), dtype=array.dtype)
    # Neighbours become one range.
    is_first = np.concatenate([[True], starts[1:] != stops[:-1]])[: len(starts)]
    firsts, lasts = starts[is_first], stops[np.concatenate([is_first[1:], [True]])[: len(stops)]]
    if type(array).__module__.startswith("h5py."):
        _read_hdf5(array, firsts, lasts, found)
    else:
        _read_chunks(array, firsts, lasts, found)
    return found


def _read_hdf5(array: Any, starts: IntArray, stops: IntArray, found: NDArray[Any]) -> None:
    # h5py's own slicing takes 100 us, these calls 20.
    from h5py import h5s  # noqa: PLC0415 - an optional dependency

    in_file, in_memory = array.id.get_space(), h5s.create_simple(found.shape)
    rest, at = found.shape[1:], 0
    zeros = (0,) * len(rest)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if start < stop:
            size = (stop - start, *rest)
            in_file.select_hyperslab((start, *zeros), size)
            in_memory.select_hyperslab((at, *zeros), size)
            array.id.read(in_memory, in_file, found)
            at += stop - start


def _read_chunks(array: Any, starts: IntArray, stops: IntArray, found: NDArray[Any]) -> None:
    """Read runs of neighbouring chunks, and copy the ranges out of them."""
    length = getattr(array, "chunks", (1024,))[0]
    bytes_per_chunk = length * array.dtype.itemsize * int(np.prod(array.shape[1:]))
    most = max(_AT_ONCE // max(bytes_per_chunk, 1), 1)
    at = 0
    parts = iter(_pieces(starts, stops, length * most))
    for first, last, ranges in _runs(parts, length, most):
        low, high = first * length, min((last + 1) * length, array.shape[0])
        run = np.asarray(array[low:high])
        for start, stop in ranges:
            found[at : at + stop - start] = run[start - low : stop - low]
            at += stop - start


def _pieces(starts: IntArray, stops: IntArray, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges, cut at the multiples of a size."""
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        first = start
        while first < stop:
            last = min((first // size + 1) * size, stop)
            yield first, last
            first = last


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
