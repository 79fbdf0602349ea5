"""Collation of samples with ragged fields."""

import inspect
import pickle
from functools import partial

import numpy as np
import pytest
import torch

from bionemo.core.padding import unpad_token_ids
from bionemo.data import EpochOrder, Pipeline, RaggedField, ScalarField, batch_at, collate_fields
from bionemo.data.batches.collate import ObjectField

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
        batch = collate_fields(iter(SAMPLES), fields={"ids": field, "labels": field, "y": FIELDS["y"]})
    assert batch["ids"].tolist() == [[5, 6], [9, 7], [7, 7]]
    assert batch["y"].tolist() == [3, 0.25, 1.5]
    assert collate_fields(SAMPLES, fields={"is_buried": RaggedField(torch.bool, padding_value=True)})["is_buried"][
        2
    ].all()
    infinite = [{"x": [float("inf"), float("nan")]}]
    assert not collate_fields(infinite, fields={"x": RaggedField(torch.float16)})["x"].isfinite().any()


@pytest.mark.usefixtures("no_type_checks")
def test_an_unknown_padding_side_is_refused() -> None:
    with pytest.raises(ValueError, match="padding_side must be .left. or .right., got padding_side=.middle"):
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
    with pytest.raises(TypeError, match="dtype must be a torch.dtype of integers, floats or bools, got dtype=torch.c"):
        ScalarField(torch.complex64)
    with pytest.raises(TypeError, match=r"dtype must be a torch.dtype that NumPy has too, got dtype=torch.bfloat16"):
        ScalarField(torch.bfloat16)


SHAPED = {
    "ids": RaggedField(torch.int64, padding_value=1),
    "name": ObjectField(),
    "xyz": RaggedField(torch.float32, padding_value=-1, shape=(3,)),
    "atoms": RaggedField(torch.int16, shape=(2, 2)),
    "is_known": RaggedField(torch.bool, padding_value=True, shape=(2,)),
    "embedding": ScalarField(torch.float64, shape=(2,)),
    "box": ScalarField(torch.float32, shape=(2, 3)),
}
PROTEINS = [
    {
        "ids": [5, 6],
        "name": "P1",
        "xyz": [[1, 2, 3], [4.5, 5, 6]],
        "atoms": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        "is_known": [[True, False], [False, False]],
        "embedding": [0.5, 1],
        "box": torch.ones(2, 3),
    },
    {
        "ids": torch.tensor([9]),
        "name": {"any": ["object"]},
        "xyz": torch.tensor([[7.0, 8.0, 9.0]]),
        "atoms": np.array([[[9, 9], [9, 9]]]),
        "is_known": np.array([[True, True]]),
        "embedding": np.array([2, 3]),
        "box": ((1, 2, 3), [4, 5, 6]),
    },
    {
        "ids": [],
        "name": None,
        "xyz": [],
        "atoms": np.empty((0, 2, 2), dtype=np.int8),
        "is_known": (),
        "embedding": [torch.tensor(4.0), np.float32(5)],
        "box": [np.arange(3), torch.arange(3)],
    },
]


def test_elements_of_any_shape_are_padded_per_token_and_stacked_per_sample() -> None:
    batch = collate_fields(PROTEINS, fields=SHAPED)
    assert list(batch) == [*SHAPED, "mask"]
    assert batch["xyz"].tolist() == [[[1, 2, 3], [4.5, 5, 6]], [[7, 8, 9], [-1] * 3], [[-1] * 3, [-1] * 3]]
    assert batch["atoms"][:2].tolist() == [PROTEINS[0]["atoms"], [[[9, 9], [9, 9]], [[0, 0], [0, 0]]]]
    assert batch["is_known"].tolist() == [[[1, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]]
    assert batch["embedding"].tolist() == [[0.5, 1], [2, 3], [4, 5]]
    assert batch["box"].tolist() == [[[1] * 3] * 2, [[1, 2, 3], [4, 5, 6]], [[0, 1, 2]] * 2]
    assert batch["mask"].tolist() == [[True, True], [True, False], [False, False]]
    assert [batch[name].dtype for name in ("xyz", "atoms", "box")] == [torch.float32, torch.int16, torch.float32]


def test_objects_are_kept_in_a_list_as_they_are() -> None:
    batch = collate_fields(PROTEINS, fields=SHAPED)
    assert batch["name"] == ["P1", {"any": ["object"]}, None]
    assert all(found is sample["name"] for found, sample in zip(batch["name"], PROTEINS, strict=True))
    assert collate_fields(PROTEINS, fields={"name": ObjectField()}) == {"name": batch["name"]}
    assert pickle.loads(pickle.dumps(ObjectField())) == ObjectField()


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_unpadding_gives_elements_of_any_shape_back(padding_side) -> None:
    batch = collate_fields(PROTEINS, fields=SHAPED, padding_len=5, pad_size_divisible_by=4, padding_side=padding_side)
    for name in ("ids", "xyz", "atoms", "is_known"):
        rows = unpad_token_ids(batch[name], batch["mask"])
        assert batch[name].shape == (3, 8, *SHAPED[name].shape)
        assert [row.shape for row in rows] == [(length, *SHAPED[name].shape) for length in (2, 1, 0)]
        for row, sample in zip(rows, PROTEINS, strict=True):
            assert row.tolist() == torch.as_tensor(sample[name]).tolist()
    with pytest.raises(ValueError, match=r"one shape of rows and columns, got ids \(3, 8, 3\), mask \(3, 7\)"):
        inspect.unwrap(unpad_token_ids)(batch["xyz"], batch["mask"][:, 1:])


def test_no_samples_give_the_same_keys_dtypes_and_trailing_shapes() -> None:
    whole = collate_fields(PROTEINS, fields=SHAPED)
    for options, width in (({}, 0), ({"padding_len": 5, "pad_size_divisible_by": 4}, 8)):
        empty = collate_fields([], fields=SHAPED, **options)
        assert list(empty) == list(whole)
        assert empty.pop("name") == []
        for name, part in empty.items():
            is_ragged = name == "mask" or isinstance(SHAPED[name], RaggedField)
            trailing = () if name == "mask" else SHAPED[name].shape
            assert part.dtype == whole[name].dtype
            assert part.shape == (0, *((width,) if is_ragged else ()), *trailing)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"xyz": [[1, 2, 3], [4, 5]]},
            ValueError,
            r"element of xyz must have the shape \(3,\), got \(2,\) in sample 1",
        ),
        ({"xyz": np.ones((2, 4))}, ValueError, r"element of xyz must have the shape \(3,\), got \(4,\) in sample 1"),
        ({"xyz": torch.ones(2)}, ValueError, r"element of xyz must have the shape \(3,\), got \(\) in sample 1"),
        ({"xyz": torch.ones(2, 3, 1)}, ValueError, r"xyz must have the shape \(3,\), got \(3, 1\) in sample 1"),
        ({"xyz": [1, 2]}, ValueError, r"element of xyz must have the shape \(3,\), got \(\) in sample 1"),
        ({"xyz": [[1, 2, 3]]}, ValueError, "the same length, got 2 in ids and 1 in xyz in sample 1"),
        ({"xyz": [[1, 2, [3]], [4, 5, 6]]}, (TypeError, ValueError), "row of xyz .*row 1"),
        ({"xyz": [[1, 2, True], [4, 5, 6]]}, TypeError, "each row of xyz must hold .* in row 1"),
        ({"xyz": [["a", "b", "c"]] * 2}, TypeError, "each row of xyz must hold .* in row 1"),
        ({"xyz": ["abc", "def"]}, ValueError, r"element of xyz must have the shape \(3,\), got \(\) in sample 1"),
        ({"xyz": iter([[1, 2, 3]])}, TypeError, "xyz of sample 1 must be a sequence, an array or a tensor"),
        ({"xyz": 3.0}, TypeError, "xyz of sample 1 must be a sequence, an array or a tensor, got a float"),
        ({"atoms": [[[1, 2], [3]]] * 2}, ValueError, r"atoms must have the shape \(2, 2\), got \(2, 1\) in sample 1"),
        ({"atoms": [[1, 2], [3, 4]]}, ValueError, r"atoms must have the shape \(2, 2\), got \(2,\) in sample 1"),
        ({"atoms": [[[1, 2], [3, 70_000]]] * 2}, ValueError, "row 1 of atoms must fit int16"),
        ({"embedding": [1, 2, 3]}, ValueError, r"embedding must have the shape \(2,\), got \(3,\) in sample 1"),
        ({"embedding": torch.ones(3)}, ValueError, r"embedding must have the shape \(2,\), got \(3,\) in sample 1"),
        ({"embedding": 3}, ValueError, r"embedding must have the shape \(2,\), got \(\) in sample 1"),
        ({"embedding": []}, ValueError, r"embedding must have the shape \(2,\), got \(0,\) in sample 1"),
        ({"embedding": [True, 2]}, TypeError, "each row of embedding must hold .* in row 1"),
    ],
)
def test_elements_of_another_shape_are_named_with_field_and_sample(change: dict, error, message: str) -> None:
    with pytest.raises(error, match=message):
        collate_fields([PROTEINS[1], PROTEINS[0] | change], fields=SHAPED)


@pytest.mark.usefixtures("no_type_checks")
def test_invalid_fields_and_shapes_are_named() -> None:
    for kind in (RaggedField, ScalarField):
        assert kind(torch.int8, shape=[np.int64(3), 2]).shape == (3, 2)
        assert kind(torch.int8, shape=torch.Size([3])) == kind(torch.int8, shape=(3,))
        for shape, error, message in (
            (3, TypeError, r"shape must be a tuple of sizes, got shape=3. For a vector of 3 numbers, pass \(3,\)"),
            ((0,), ValueError, "shape must be in 1.*, got shape=0"),
            ((2.5,), TypeError, "shape must be an integer, got shape=2.5"),
            ((True,), TypeError, "shape must be an integer, got shape=True"),
        ):
            with pytest.raises(error, match=message):
                kind(torch.int8, shape=shape)
    for field in (torch.int64, ObjectField, None):
        with pytest.raises(TypeError, match="fields must be of RaggedField, ScalarField and ObjectField, got name="):
            collate_fields(PROTEINS, fields={"name": field})


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("make", [iter, lambda samples: (sample for sample in samples), tuple])
def test_samples_may_come_from_an_iterator(make) -> None:
    found, expected = (collate_fields(given, fields=SHAPED) for given in (make(PROTEINS), PROTEINS))
    assert all(torch.equal(found[name], expected[name]) for name in found if name != "name")
