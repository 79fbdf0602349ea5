"""Strategies for seeds, lengths, generators, rows of tokens and data sets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from bionemo.core.checks import MAX_INT, AnyInt, as_int
from bionemo.core.random import make_generator
from bionemo.data.permute import MAX_LENGTH
from bionemo.data.reading.dataset import EpochIndex

__all__ = ["BatchedRows", "datasets", "epoch_indices", "generators", "lengths", "seeds", "token_rows"]


def seeds() -> st.SearchStrategy[int]:
    """Return a strategy for seeds: integers in 0..2**63-1.

    Example:
        >>> from hypothesis import find
        >>> find(seeds(), lambda seed: seed > 100)
        101
    """
    return st.integers(0, MAX_INT)


def lengths(*, max_length: AnyInt = MAX_LENGTH) -> st.SearchStrategy[int]:
    """Return a strategy for lengths of data sets, from 1: often short ones, also the longest.

    Args:
        max_length: the longest; by default 2**62, the longest that an order may have.

    Example:
        >>> from hypothesis import find
        >>> find(lengths(), lambda length: length > 2**40) - 2**40
        1
    """
    longest = as_int(max_length)
    return st.one_of(*(st.integers(1, min(stop, longest)) for stop in (50, 5000, longest)))


def generators() -> st.SearchStrategy[torch.Generator]:
    """Return a strategy for seeded generators.

    Example:
        >>> generators().validate()
    """
    return st.builds(make_generator, seeds())


@st.composite
def token_rows(
    draw: Callable[..., Any],
    *,
    max_rows: int = 8,
    min_length: int = 0,
    max_length: int = 20,
    vocabulary_size: int = 33,
) -> list[Tensor]:
    """Return a strategy for rows of tokens of unequal lengths: lists of one-axis integer tensors of one dtype.

    Args:
        draw: given by hypothesis.
        max_rows: largest number of rows; the smallest is 0.
        min_length: smallest number of tokens in a row.
        max_length: largest number of tokens in a row.
        vocabulary_size: tokens lie in 0..vocabulary_size-1.

    Example:
        >>> from hypothesis import find
        >>> find(token_rows(), lambda rows: sum(map(len, rows)) > 1)
        [tensor([0, 0])]
    """
    dtypes = [torch.int64, torch.int32, *([torch.uint8] if vocabulary_size <= 2**8 else [])]
    dtype = draw(st.sampled_from(dtypes))
    row = st.lists(st.integers(0, vocabulary_size - 1), min_size=min_length, max_size=max_length)
    return [torch.tensor(tokens, dtype=dtype) for tokens in draw(st.lists(row, max_size=max_rows))]


class BatchedRows(list[int]):
    """A data set that reads many samples at once."""

    def __getitems__(self, indices: list[int]) -> list[int]:
        """Return the samples at some indices."""
        return [self[index] for index in indices]


@st.composite
def datasets(draw: Callable[..., Any], *, length: st.SearchStrategy[int] | None = None) -> Any:
    """Return a strategy for data sets of integers that differ from each other: sample `idx` is `3 * idx + 1`.

    They are of every kind that is read in its own way: sequences, arrays, tensors, and objects with `__getitems__`.

    Args:
        draw: given by hypothesis.
        length: strategy for the length; by default 1 to 50.

    Example:
        >>> from hypothesis import find
        >>> find(datasets(), lambda dataset: len(dataset) > 2)
        [1, 4, 7]
    """
    values = [3 * idx + 1 for idx in range(draw(st.integers(1, 50) if length is None else length))]
    kinds = (list, tuple, np.array, torch.tensor, BatchedRows, lambda rows: range(1, 3 * len(rows) + 1, 3))
    return draw(st.sampled_from(kinds))(values)


def epoch_indices(length: AnyInt) -> st.SearchStrategy[EpochIndex]:
    """Return a strategy for indices into a data set of some length in some epoch, for a `MultiEpochDataset`.

    Example:
        >>> from hypothesis import find
        >>> find(epoch_indices(10), lambda index: index.idx > 3)
        EpochIndex(epoch=0, idx=4)
    """
    return st.builds(EpochIndex, epoch=st.integers(0, 3) | seeds(), idx=st.integers(0, as_int(length) - 1))
