"""Laws of the transforms of rows."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.random import make_generator, seed_from_generator
from bionemo.data import (
    random_crop,
    random_crop_rows,
    random_reverse_complement,
    random_reverse_complement_rows,
    reverse_complement,
)

COMPLEMENT = (3, 2, 1, 0, 4)
ROWS = st.lists(st.integers(0, 4), max_size=30)
KINDS = st.sampled_from([list, tuple, lambda row: np.array(row, dtype=np.int64), lambda row: torch.tensor(row).long()])


@given(row=ROWS, kind=KINDS)
def test_reverse_complement_is_its_own_inverse(row, kind) -> None:
    given = kind(row)
    other = reverse_complement(given, complement=COMPLEMENT)
    assert list(other) == [COMPLEMENT[token] for token in reversed(row)]
    assert list(reverse_complement(other, complement=COMPLEMENT)) == row == list(given)


@given(row=ROWS, kind=KINDS, length=st.integers(1, 40), seed=st.integers(0, 2**63 - 1))
def test_random_transforms_are_the_same_for_every_container_of_a_row(row, kind, length, seed) -> None:
    crop = list(random_crop(kind(row), length=length, generator=make_generator(seed)))
    assert len(crop) == min(len(row), length)
    assert crop in [row[start : start + length] for start in range(len(row) - len(crop) + 1)]
    assert crop == random_crop(row, length=length, generator=make_generator(seed))
    strand = random_reverse_complement(kind(row), complement=COMPLEMENT, generator=make_generator(seed))
    assert list(strand) == random_reverse_complement(row, complement=COMPLEMENT, generator=make_generator(seed))
    assert list(strand) in (row, reverse_complement(row, complement=COMPLEMENT))


@given(rows=st.lists(st.tuples(ROWS, KINDS), max_size=6), length=st.integers(1, 40), data=st.data())
def test_many_rows_are_transformed_as_each_is_alone_by_its_generator(rows, length, data) -> None:
    given = [kind(row) for row, kind in rows]
    numbers = [data.draw(st.integers(0, 2**63 - 1)) for _ in rows]
    seeds = torch.tensor([seed_from_generator(make_generator(number)) for number in numbers], dtype=torch.int64)
    crops = random_crop_rows(given, length=length, seeds=seeds)
    strands = random_reverse_complement_rows(given, complement=COMPLEMENT, seeds=seeds)
    for row, number, crop, strand in zip(given, numbers, crops, strands, strict=True):
        alone = random_crop(row, length=length, generator=make_generator(number))
        assert type(crop) is type(alone)
        assert list(crop) == list(alone)
        other = random_reverse_complement(row, complement=COMPLEMENT, generator=make_generator(number))
        assert type(strand) is type(other)
        assert list(strand) == list(other)
