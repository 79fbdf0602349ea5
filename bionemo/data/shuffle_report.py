"""What an order costs and what it gives, before a run: chunks read per batch, and how well labels are mixed."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, cast

import attrs
import numpy as np
import torch
from torch import Tensor

from bionemo.core.arrays import BLOCK, groups
from bionemo.core.checked import checked
from bionemo.core.checks import MAX_INT, AnyInt, IntArray, as_int, check_index, check_int, shown
from bionemo.core.int64 import to_array
from bionemo.data.orders.order import Order, PlannedOrder, SampleIndex, check_is_order, index_at
from bionemo.data.reading.together import chunks_of

__all__ = ["ShuffleReport", "shuffle_report"]


@attrs.frozen(kw_only=True)
class ShuffleReport:
    """What `shuffle_report` returns; `print` shows it in one line."""

    num_batches: int
    """Number of batches that were looked at."""
    chunks_per_batch: float
    """Chunks that are read per batch; a chunk counts once for all batches that are read together."""
    read_per_used: float
    """Samples in these chunks, per different sample that is used: bytes read per byte used, if samples are equally
    large."""
    entropy: float | None
    """Mean entropy of the labels in a batch, in bits; None without labels."""
    full_entropy: float | None
    """Its expectation for batches drawn from all samples: that of a full shuffle."""

    def __str__(self) -> str:
        text = (
            f"{self.num_batches} batches: {self.chunks_per_batch:.1f} chunks read per batch, "
            f"{self.read_per_used:.1f} samples read per sample used"
        )
        if self.entropy is None:
            return text
        return f"{text}; labels: {self.entropy:.2f} bits per batch, {self.full_entropy:.2f} in a full shuffle"


@checked
def shuffle_report(
    order: Order,
    chunks: Any,
    /,
    *,
    batch_size: AnyInt | None = None,
    read_ahead: AnyInt = 1,
    labels: Any = None,
    start: AnyInt = 0,
    num_batches: AnyInt = 256,
) -> ShuffleReport:
    """Return how much is read for the batches of an order, and how well it mixes labels.

    Nothing is read: it takes the order and, for chunks and labels, a number or an array per data set.

    Args:
        order: any order. Compare e.g. `BlockShuffleOrder`s with several `block_size` and `blocks_per_window`.
        chunks: how each data set is stored: a number of neighbouring samples per chunk, or a data set with a method
            `chunk_of`, e.g. `CellRows`; a tuple of these if there are several sources.
        batch_size: samples per batch; None for a planned order.
        read_ahead: batches that are read together, as by `loader(pipeline, read_ahead=...)`.
        labels: integers, strings or anything else that NumPy sorts, one per sample, e.g. of cell types; a tuple of such
            arrays if there are several sources. None for no entropies.
        start: position of the first batch.
        num_batches: number of batches to look at, fewer if the order ends.

    Raises:
        ValueError: if a number is out of range, or chunks or labels don't fit the order.
        TypeError: if a data set has no `chunk_of`, or `batch_size` is missing.

    Source: the entropy of labels per minibatch as a measure of mixing: D'Ascenzo and Cultrera di Montesano, "scDataset:
    Scalable Data Loading for Deep Learning on Large-Scale Single-Cell Omics", PMLR 306.

    Example:
        >>> from bionemo.data import BlockShuffleOrder, EpochOrder
        >>> labels = np.repeat(np.arange(10), 1000)  # sorted by label, as cells of one donor after another
        >>> full = EpochOrder(length=10_000, seed=1)
        >>> print(shuffle_report(full, 16, batch_size=64, labels=labels, num_batches=100))
        100 batches: 61.3 chunks read per batch, 15.3 samples read per sample used; labels: 3.22 bits per batch, 3.22
        in a full shuffle
        >>> blocks = BlockShuffleOrder(length=10_000, block_size=16, blocks_per_window=64, seed=1)
        >>> print(shuffle_report(blocks, 16, batch_size=64, read_ahead=16, labels=labels, num_batches=100))
        100 batches: 5.6 chunks read per batch, 1.4 samples read per sample used; labels: 3.14 bits per batch, 3.22 in
        a full shuffle
    """
    check_is_order(order, name="order")
    first = as_int(check_index(start, stop=None, name="start"))
    together, most = check_int(read_ahead, name="read_ahead", low=1), check_int(num_batches, name="num_batches", low=1)
    parts = [_Chunks(part, length) for part, length in _per_source(order, chunks, "chunks")]
    batches = [index_at(order, positions) for positions in islice(_batches(order, batch_size, first), most)]
    if not batches:
        message = f"start must be the position of a batch, got start={start} with num_samples={order.num_samples}."
        raise ValueError(message)
    read = used = size = 0
    for stretch in _stretches(order, batches, together, first):
        for number, members in groups(stretch.source):
            idx = np.unique(stretch.idx[members])
            found = np.unique(parts[number].of(idx))
            read, used, size = read + len(found), used + len(idx), size + int(parts[number].sizes(found).sum())
    entropies = None if labels is None else _entropies(order, batches, labels)
    return ShuffleReport(
        num_batches=len(batches),
        chunks_per_batch=read / len(batches),
        read_per_used=size / used,
        entropy=None if entropies is None else entropies[0],
        full_entropy=None if entropies is None else entropies[1],
    )


def _stretches(order: Order, batches: list[SampleIndex], most: int, start: int) -> Iterator[SampleIndex]:
    """Yield the samples of the batches that a loader reads together."""
    window_stop = getattr(order, "window_stop", None)
    stretch, stop = list[SampleIndex](), start
    for number, batch in enumerate(batches):
        if not stretch:
            end = MAX_INT if window_stop is None else window_stop(stop)
        stretch.append(batch)
        stop += len(batch.idx)
        if len(stretch) == most or stop >= end or number == len(batches) - 1:
            yield SampleIndex(*map(np.concatenate, zip(*stretch, strict=True)))
            stretch = []


def _batches(order: Order, batch_size: AnyInt | None, start: int) -> Iterator[range]:
    """Yield the positions of each batch."""
    if (batch_size is None) != isinstance(order, PlannedOrder):
        message = f"batch_size must be given, unless the order makes the steps itself, got batch_size={batch_size}."
        raise TypeError(message)
    size = None if batch_size is None else check_int(batch_size, name="batch_size", low=1)
    end = MAX_INT if order.num_samples is None else order.num_samples
    while start < end:
        stop = (start // size + 1) * size if size else int(cast("PlannedOrder", order).step_bounds(start)[-1])
        yield range(start, min(stop, end))
        start = stop


def _per_source(order: Order, given: Any, name: str) -> list[tuple[Any, int | None]]:
    """Return what was given for each source, and the source's length, if it is known."""
    many = given if isinstance(given, tuple) else (given,)
    if len(many) != order.num_sources:
        message = f"{name} must be one per source, in a tuple, got {len(many)} for {order.num_sources} sources."
        raise ValueError(message)
    return list(zip(many, getattr(order, "source_lengths", (None,) * order.num_sources), strict=True))


class _Chunks:
    """How a data set is stored."""

    def __init__(self, given: Any, length: int | None) -> None:
        self.given, self.length = given, length
        self.size = check_int(given, name="chunks", low=1) if isinstance(given, int | np.integer) else None
        if self.size is None and chunks_of(given, np.empty(0, dtype=np.int64)) is None:
            message = f"chunks must be a number of samples, or a data set with a chunk_of, got chunks={shown(given)}."
            raise TypeError(message)

    def of(self, idx: IntArray) -> IntArray:
        """Return the number of the chunk that each sample is in."""
        return idx // self.size if self.size else np.asarray(chunks_of(self.given, idx))

    def sizes(self, numbers: IntArray) -> IntArray:
        """Return the number of samples in each chunk."""
        if not self.size:
            return self._counts[numbers]
        rest = MAX_INT if self.length is None else self.length
        return np.minimum(self.size, rest - numbers * self.size)

    @cached_property
    def _counts(self) -> IntArray:
        counts = np.zeros(1, dtype=np.int64)
        for start in range(0, len(self.given), BLOCK):
            found = np.bincount(self.of(np.arange(start, min(start + BLOCK, len(self.given)))))
            counts = np.pad(counts, (0, max(len(found) - len(counts), 0)))
            counts[: len(found)] += found
        return counts


def _entropies(order: Order, batches: Sequence[SampleIndex], labels: Any) -> tuple[float, float]:
    """Return the mean entropy of the labels in a batch, and its expectation in a full shuffle."""
    parts = [to_array(part, name="labels") for part, _ in _per_source(order, labels, "labels")]
    for part, (_, length) in zip(parts, _per_source(order, labels, "labels"), strict=True):
        if part.ndim != 1 or length not in {None, len(part)}:
            message = f"labels must be one per sample, got shape {part.shape} for {length} samples."
            raise ValueError(message)
    names, codes = np.unique(np.concatenate(parts), return_inverse=True)
    starts = np.cumsum([0, *map(len, parts[:-1])])
    counts = [np.bincount(codes[starts[batch.source] + batch.idx], minlength=len(names)) for batch in batches]
    found = [_entropy(np.asarray(count)) for count in counts]
    expected = {size: _expected_entropy(np.bincount(codes), size) for size in {len(batch.idx) for batch in batches}}
    return float(np.mean(found)), float(np.mean([expected[len(batch.idx)] for batch in batches]))


def _entropy(counts: IntArray) -> float:
    parts = counts[counts > 0] / counts.sum()
    return float(-(parts * np.log2(parts)).sum()) + 0.0  # not -0.0


def _expected_entropy(counts: IntArray, size: int) -> float:
    """Return the expected entropy of labels in a batch drawn without replacement: hypergeometric counts."""
    total, drawn = int(counts.sum()), torch.arange(1, size + 1, dtype=torch.float64)
    if size > total:
        return _entropy(counts)
    parts = drawn / size
    terms, expected = -parts * torch.log2(parts), 0.0
    for count, times in zip(*np.unique(counts, return_counts=True), strict=True):
        is_possible = (drawn <= int(count)) & (size - drawn <= total - int(count))
        many = drawn[is_possible]
        logs = _log_choose(int(count), many) + _log_choose(total - int(count), size - many)
        probs = torch.exp(logs - _log_choose(total, torch.tensor(float(size), dtype=torch.float64)))
        expected += int(times) * float((terms[is_possible] * probs).sum())
    return expected


def _log_choose(number: int, chosen: Tensor) -> Tensor:
    whole = torch.tensor(float(number), dtype=torch.float64)
    return torch.lgamma(whole + 1) - torch.lgamma(chosen + 1) - torch.lgamma(whole - chosen + 1)
