"""Laws of collation."""

import copy

import torch
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.padding import unpad_token_ids
from bionemo.data import RaggedField, ScalarField, collate_fields

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
