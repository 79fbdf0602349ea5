"""Collation of samples with ragged fields."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch

from bionemo.core.padding import unpad_token_ids
from bionemo.data import EpochOrder, Pipeline, RaggedField, ScalarField, batch_at, collate_fields

FIELDS = {
    "ids": RaggedField(torch.int64, padding_value=1),
    "labels": RaggedField(torch.int64, padding_value=-100),
    "charge": RaggedField(torch.float32, padding_value=-1.5),
    "is_buried": RaggedField(torch.bool),
    "y": ScalarField(torch.float64),
    "is_good": ScalarField(torch.bool),
}
SAMPLES = [
    {
        "ids": [5, 6],
        "labels": (7, 8),
        "charge": np.array([0.5, 1.5]),
        "is_buried": [True, False],
        "y": 3,
        "is_good": True,
    },
    {
        "ids": torch.tensor([9]),
        "labels": [-100],
        "charge": [2],
        "is_buried": np.array([True]),
        "y": torch.tensor(0.25),
        "is_good": np.False_,
        "name": "not in the fields",
    },
    {"ids": [], "labels": [], "charge": [], "is_buried": [], "y": np.float32(1.5), "is_good": torch.tensor(True)},
]


def test_each_field_has_its_own_padding_and_all_share_one_mask() -> None:
    batch = collate_fields(SAMPLES, fields=FIELDS)
    assert list(batch) == [*FIELDS, "mask"]
    assert batch["ids"].tolist() == [[5, 6], [9, 1], [1, 1]]
    assert batch["labels"].tolist() == [[7, 8], [-100, -100], [-100, -100]]
    assert batch["charge"].tolist() == [[0.5, 1.5], [2, -1.5], [-1.5, -1.5]]
    assert batch["is_buried"].tolist() == [[True, False], [True, False], [False, False]]
    assert batch["y"].tolist() == [3, 0.25, 1.5]
    assert batch["is_good"].tolist() == [True, False, True]
    assert batch["mask"].tolist() == [[True, True], [True, False], [False, False]]
    assert [part.dtype for part in batch.values()] == [*(field.dtype for field in FIELDS.values()), torch.bool]


def test_a_batch_of_no_samples_has_the_same_keys_dtypes_and_axes() -> None:
    whole = collate_fields(SAMPLES, fields=FIELDS)
    for options, width in (({}, 0), ({"padding_len": 5, "pad_size_divisible_by": 4}, 8)):
        empty = collate_fields([], fields=FIELDS, **options)
        assert list(empty) == list(whole)
        for name, part in empty.items():
            assert part.dtype == whole[name].dtype
            assert part.shape == ((0,) if whole[name].ndim == 1 else (0, width))


def test_width_padding_side_and_mask_follow_the_options() -> None:
    batch = collate_fields(
        SAMPLES,
        fields={"ids": RaggedField(torch.int32)},
        padding_len=3,
        pad_size_divisible_by=2,
        padding_side="left",
        mask_name="attention_mask",
        mask_dtype=torch.int64,
    )
    assert batch["ids"].tolist() == [[0, 0, 5, 6], [0, 0, 0, 9], [0, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert batch["attention_mask"].dtype == torch.int64
    assert [row.tolist() for row in unpad_token_ids(batch["ids"], batch["attention_mask"].bool())] == [[5, 6], [9], []]


def test_numpy_numbers_and_another_default_device_change_nothing() -> None:
    with torch.device("meta"):
        field = RaggedField(torch.int64, padding_value=np.int64(7))
        batch = collate_fields(iter(SAMPLES), fields={"ids": field, "labels": field})
    assert batch["ids"].tolist() == [[5, 6], [9, 7], [7, 7]]
    assert collate_fields(SAMPLES, fields={"is_buried": RaggedField(torch.bool, padding_value=True)})["is_buried"][
        2
    ].all()
    infinite = [{"x": [float("inf"), float("nan")]}]
    assert not collate_fields(infinite, fields={"x": RaggedField(torch.float16)})["x"].isfinite().any()


@pytest.mark.usefixtures("no_type_checks")
def test_an_unknown_padding_side_is_refused() -> None:
    with pytest.raises(ValueError, match='padding_side must be "left" or "right", got padding_side=.middle'):
        collate_fields(SAMPLES, fields=FIELDS, padding_side="middle")


def test_scalar_fields_alone_have_no_mask() -> None:
    assert list(collate_fields(SAMPLES, fields={"y": ScalarField(torch.float32)})) == ["y"]


def test_it_is_a_collate_of_a_pipeline() -> None:
    collate = pickle.loads(pickle.dumps(partial(collate_fields, fields=FIELDS)))
    order = EpochOrder(length=3, seed=7, num_samples=3)
    pipeline = Pipeline(order=order, sources=SAMPLES, batch_size=2, seed=42, collate=collate)
    assert batch_at(pipeline, 1)["ids"].shape[0] == 1
    assert batch_at(pipeline, 1, rank=0, world_size=2)["ids"].shape == (0, 0)  # a rank without samples


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": [7]}, ValueError, "the same length, got 2 in ids and 1 in labels in sample 0"),
        ({"ids": [2.5, 1]}, TypeError, "each row of ids must hold integers that fit int64, got dtype float64 in row 0"),
        ({"ids": [2**70, 1]}, (TypeError, ValueError), "row of ids|row 0 of ids"),
        ({"charge": ["a", "b"]}, TypeError, "each row of charge must hold numbers that float32 holds"),
        ({"is_buried": [1, 0]}, TypeError, "each row of is_buried must"),
        ({"ids": [[5, 6]]}, ValueError, "same length|one-dimensional"),
        ({"charge": [1e300, 0]}, ValueError, "row 0 of charge must fit float32, got 1e"),
        ({"charge": [True, False]}, TypeError, "each row of charge must hold numbers that float32 holds"),
        ({"charge": torch.ones(2, dtype=torch.bfloat16)}, TypeError, "each row of charge must be .*BFloat16"),
        ({"y": "high"}, TypeError, "each row of y must hold numbers"),
        ({"y": [3]}, ValueError, "each row of y must be one-dimensional"),
    ],
)
def test_numbers_that_do_not_fit_are_named(change: dict, error, message: str) -> None:
    with pytest.raises(error, match=message):
        collate_fields([SAMPLES[0] | change, *SAMPLES[1:]], fields=FIELDS)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(KeyError, match="got no charge in sample 1"):
        collate_fields([SAMPLES[0], {"ids": [1], "labels": [1]}], fields=FIELDS)


@pytest.mark.usefixtures("no_type_checks")
def test_invalid_options_are_named() -> None:
    with pytest.raises(ValueError, match="padding_len=1 and 2 tokens in row 0 of ids"):
        collate_fields(SAMPLES, fields=FIELDS, padding_len=1)
    with pytest.raises(ValueError, match="mask_name must not be the name of a field, got mask_name='ids'"):
        collate_fields(SAMPLES, fields=FIELDS, mask_name="ids")
    with pytest.raises(ValueError, match="padding_value must fit int8"):
        RaggedField(torch.int8, padding_value=200)
    with pytest.raises(TypeError, match=r"padding_value must be an integer for torch.int64, got padding_value=0.5"):
        RaggedField(torch.int64, padding_value=0.5)
    with pytest.raises(ValueError, match="padding_value must fit float16, got 100000"):
        RaggedField(torch.float16, padding_value=1e5)
    for dtype, value in ((torch.int64, True), (torch.float32, "x"), (torch.float32, None), (torch.bool, 1)):
        with pytest.raises(TypeError, match="padding_value must be"):
            RaggedField(dtype, padding_value=value)
    with pytest.raises(TypeError, match=r"dtype must be of integers, floats or bools, got dtype=torch.complex64"):
        ScalarField(torch.complex64)
    with pytest.raises(TypeError, match=r"dtype must be a torch.dtype that NumPy has too, got dtype=torch.bfloat16"):
        ScalarField(torch.bfloat16)
