"""Crops and reverse complements."""

from collections import Counter
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from bionemo.data import (
    EpochOrder,
    Pipeline,
    Source,
    batch_at,
    random_crop,
    random_reverse_complement,
    reverse_complement,
)

DNA = (3, 2, 1, 0, 4)  # A C G T N


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("row", [[5, 6, 7, 8], (5, 6, 7, 8), np.arange(5, 9), torch.arange(5, 9), "MKTA"])
def test_a_crop_is_a_slice_of_the_row(row) -> None:
    crop = random_crop(row, length=2, generator=draw())
    assert type(crop) is type(row)
    assert len(crop) == 2
    assert list(crop) in [list(row[start : start + 2]) for start in range(3)]
    assert list(random_crop(row, length=9, generator=draw())) == list(row)


def test_every_start_is_equally_probable() -> None:
    """Fails for one seed in a million."""
    generator = draw()
    counts = Counter(random_crop(range(12), length=3, generator=generator).start for _ in range(5000))
    assert sorted(counts) == list(range(10))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-6


def test_the_generator_advances_by_one_draw_for_rows_of_any_length() -> None:
    generators = draw(), draw()
    random_crop([1], length=5, generator=generators[0])
    random_crop(range(100), length=5, generator=generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_a_reverse_complement_keeps_the_type_and_dtype_of_the_row(dtype) -> None:
    row = np.array([0, 0, 1, 4, 3], dtype=dtype)
    expected = [0, 4, 2, 3, 3]
    for given in (row, torch.from_numpy(row), row.tolist(), tuple(row.tolist())):
        found = reverse_complement(given, complement=DNA)
        assert list(found) == expected
        assert isinstance(found, np.ndarray | torch.Tensor) == isinstance(given, np.ndarray | torch.Tensor)
        assert getattr(found, "dtype", None) == getattr(given, "dtype", None)
        assert list(reverse_complement(found, complement=DNA)) == list(given)
    assert row.tolist() == [0, 0, 1, 4, 3]
    assert reverse_complement([], complement=DNA) == []


def test_the_strand_is_drawn_with_the_given_probability() -> None:
    """Fails for one seed in a million."""
    generator = draw()
    others = sum(
        random_reverse_complement([0], complement=DNA, generator=generator, prob=0.3) == [3] for _ in range(5000)
    )
    assert stats.binomtest(others, 5000, 0.3).pvalue > 1e-6
    generators = draw(), draw()
    assert random_reverse_complement((0, 1), complement=DNA, generator=generators[0], prob=0.0) == [0, 1]
    assert random_reverse_complement((0, 1), complement=DNA, generator=generators[1], prob=1.0) == [2, 3]
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    others = sum(random_reverse_complement([0], complement=DNA, generator=generator) == [3] for _ in range(5000))
    assert stats.binomtest(others, 5000, 0.5).pvalue > 1e-6


def test_they_work_as_transforms_of_a_source() -> None:
    rows = [list(range(10 * row, 10 * row + 10)) for row in range(4)]
    source = Source(rows, transform=partial(random_crop, length=4))
    order = EpochOrder(length=4, seed=7, num_samples=8)
    pipelines = [Pipeline(order=order, sources=source, batch_size=size, seed=42, collate=list) for size in (2, 4)]
    small = [row for step in range(4) for row in batch_at(pipelines[0], step)]
    assert small == [row for step in range(2) for row in batch_at(pipelines[1], step)]
    assert len({row[0] % 10 for row in small}) > 1


@pytest.mark.usefixtures("no_type_checks")
def test_invalid_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="length must be in 1.*got length=0"):
        random_crop([1], length=0, generator=draw())
    with pytest.raises(ValueError, match=r"prob must be in 0..1, got prob=1.5"):
        random_reverse_complement([1], complement=DNA, generator=draw(), prob=1.5)
    with pytest.raises(IndexError, match=r"tokens must be indices of complement, 0..4, got 0..7"):
        reverse_complement([0, 7], complement=DNA)
    with pytest.raises(IndexError, match=r"got 0..5"):
        reverse_complement([0, 5], complement=DNA)
    with pytest.raises(TypeError, match="row must be an integer, got row=0.7"):
        reverse_complement([0.7], complement=DNA)
    with pytest.raises(TypeError, match="row must hold integers, got dtype bool"):
        reverse_complement(np.array([True]), complement=DNA)
    with pytest.raises(ValueError, match=r"complement must be in 0..255, got complement=299"):
        reverse_complement(np.array([0], dtype=np.uint8), complement=list(range(300))[::-1])
    for row in (torch.tensor([0, -1]), [0, -1]):
        with pytest.raises(IndexError, match=r"got -1..0"):
            reverse_complement(row, complement=DNA)
    with pytest.raises(IndexError, match=f"got 0..{2**70}"):
        reverse_complement([0, 2**70], complement=DNA)
    for complement in ([3, 2, 1, -1], np.array([3, 2, 1, -1]), torch.tensor([3, 2, 1, -1])):
        with pytest.raises(ValueError, match=f"complement must be in 0..{2**63 - 1}, got complement=-1"):
            reverse_complement([0], complement=complement)
    with pytest.raises(TypeError, match=r"complement must be an integer, got complement=1.5"):
        reverse_complement([0], complement=[3, 2, 1.5, 0])


def test_the_complements_may_come_in_any_container() -> None:
    for complement in (list(DNA), np.array(DNA, dtype=np.uint8), torch.tensor(DNA), pd.Series(DNA, index=DNA[::-1])):
        assert reverse_complement([0, 0, 1, 4, 3], complement=complement) == [0, 4, 2, 3, 3]


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("make", [iter, list, np.array, torch.tensor, pd.Series, lambda tokens: (t for t in tokens)])
def test_the_complement_may_be_in_any_container(make) -> None:
    for row in ([0, 0, 1, 4, 3], np.array([0, 0, 1, 4, 3]), torch.tensor([0, 0, 1, 4, 3])):
        assert list(reverse_complement(row, complement=make(DNA))) == [0, 4, 2, 3, 3]
        with pytest.raises(IndexError, match=r"tokens must be indices of complement, 0\.\.3, got 0\.\.4"):
            reverse_complement(row, complement=make(DNA[:4]))


@pytest.mark.parametrize("container", [list, tuple])
def test_a_large_vocabulary_is_complemented_exactly(container) -> None:
    complement = container([*range(49_999, -1, -1)])
    assert reverse_complement([*range(50_000)], complement=complement) == [*range(50_000)]
    assert reverse_complement(np.array([0, 49_999]), complement=complement).tolist() == [0, 49_999]
    with pytest.raises(TypeError, match="complement must be an integer, got complement=True of type bool"):
        reverse_complement([1], complement=container([*complement, True]))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("row", [iter([1, 2]), {1: 2}, {1, 2}, 5, None])
def test_a_row_that_cannot_be_cropped_is_named(row) -> None:
    generator = draw()
    before = generator.get_state()
    with pytest.raises(TypeError, match="row must be a sequence or an array or a tensor, got row="):
        random_crop(row, length=1, generator=generator)
    assert torch.equal(generator.get_state(), before)
