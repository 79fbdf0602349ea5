"""Laws of collation."""

import copy
from collections.abc import Callable
from math import prod

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.padding import unpad_token_ids
from bionemo.data import RaggedField, ScalarField, collate_fields
from bionemo.data.batches.collate import ObjectField

FIELDS = {
    "ids": RaggedField(torch.int16, padding_value=-1),
    "charge": RaggedField(torch.float64, padding_value=0.5),
    "is_buried": RaggedField(torch.bool),
    "y": ScalarField(torch.float64),
}


@st.composite
def samples(draw: st.DrawFn) -> list[dict]:
    found = []
    for length in draw(st.lists(st.integers(0, 9), max_size=6)):
        number = st.floats(-100, 100)
        found.append(
            {
                "ids": draw(st.lists(st.integers(-9, 9), min_size=length, max_size=length)),
                "charge": draw(st.lists(number, min_size=length, max_size=length)),
                "is_buried": draw(st.lists(st.booleans(), min_size=length, max_size=length)),
                "y": draw(number),
            }
        )
    return found


@given(
    samples=samples(),
    extra=st.none() | st.integers(0, 5),
    divisor=st.integers(1, 7),
    side=st.sampled_from(["left", "right"]),
)
def test_unpadding_a_batch_returns_the_samples_and_the_rest_is_padding(samples, extra, divisor, side) -> None:
    before = copy.deepcopy(samples)
    longest = max((len(sample["ids"]) for sample in samples), default=0)
    options = {"padding_len": None if extra is None else max(longest + extra, 1), "pad_size_divisible_by": divisor}
    batch = collate_fields(samples, fields=FIELDS, padding_side=side, **options)
    assert samples == before
    assert batch["mask"].shape[1] % divisor == 0
    for name, field in FIELDS.items():
        assert batch[name].dtype == field.dtype
        if isinstance(field, ScalarField):
            assert batch[name].tolist() == [sample[name] for sample in samples]
        else:
            assert [row.tolist() for row in unpad_token_ids(batch[name], batch["mask"])] == [s[name] for s in samples]
            assert (batch[name][~batch["mask"]] == field.padding_value).all()


CONTAINERS: list[Callable] = [
    lambda array: array.tolist(),
    np.asarray,
    torch.from_numpy,
    list,
    lambda array: tuple(map(tuple, array)),
]
"""What may hold the elements of a sample, from an array of at least two axes."""


@st.composite
def shaped_samples(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[list[dict], list[np.ndarray]]:
    """Return samples in containers of any kind, and the elements of each in an array."""
    arrays, samples = [], []
    for length in draw(st.lists(st.integers(0, 5), max_size=5)):
        number = st.integers(-100, 100)
        flat = draw(st.lists(number, min_size=length * prod(shape), max_size=length * prod(shape)))
        arrays.append(np.array(flat, dtype=np.float64).reshape(length, *shape))
        pooled = np.full(shape, length, dtype=np.float64)
        make = draw(st.sampled_from(CONTAINERS))
        samples.append(
            {"id": object(), "x": make(arrays[-1].copy()), "pooled": make(pooled) if len(shape) > 1 else pooled}
        )
    return samples, arrays


@given(
    data=st.data(),
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    padding_value=st.integers(-5, 5),
    side=st.sampled_from(["left", "right"]),
)
def test_elements_of_any_shape_come_back_and_objects_are_kept(data, shape, dtype, padding_value, side) -> None:
    samples, arrays = data.draw(shaped_samples(shape))
    fields = {
        "id": ObjectField(),
        "x": RaggedField(dtype, padding_value=padding_value, shape=shape),
        "pooled": ScalarField(dtype, shape=shape),
    }
    batch = collate_fields(samples, fields=fields, padding_side=side)
    width = max(map(len, arrays), default=0)
    assert list(batch) == ["id", "x", "pooled", "mask"]
    assert [found is sample["id"] for found, sample in zip(batch["id"], samples, strict=True)] == [True] * len(samples)
    assert (batch["x"].shape, batch["x"].dtype) == ((len(samples), width, *shape), dtype)
    assert (batch["pooled"].shape, batch["pooled"].dtype) == ((len(samples), *shape), dtype)
    for row, array in zip(unpad_token_ids(batch["x"], batch["mask"]), arrays, strict=True):
        assert torch.equal(row, torch.from_numpy(array).to(dtype))
    assert (batch["x"][~batch["mask"]] == padding_value).all()
    assert all((part == len(array)).all() for part, array in zip(batch["pooled"], arrays, strict=True))
