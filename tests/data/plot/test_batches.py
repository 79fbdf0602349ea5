"""Plots of batches: the image has the kind of each token."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bionemo.core.padding import pad_token_ids
from bionemo.data import CorruptedSpans, MaskedTokens, collate_packed, mask_packed_tokens, mask_tokens
from bionemo.data.plot import plot_batch

HIDING = {"mask_id": 1, "replacement_ids": range(5, 25)}


def drawn(batch):
    ax = plot_batch(batch, ax=Figure().subplots())
    return ax, torch.as_tensor(ax.images[0].get_array().tolist())


def legend_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_a_padded_batch(lengths: list[int]) -> None:
    ids, mask = pad_token_ids([[7] * length for length in lengths])
    masked = mask_tokens(ids, mask, seeds=torch.arange(len(ids)), **HIDING, min_one=True)
    ax, image = drawn({"ids": masked.ids, "mask": mask, "labels": masked.labels})
    assert torch.equal(image == 0, ~mask)
    assert torch.equal(image == 2, masked.labels != -100)
    real, targets = int(mask.sum()) / mask.numel(), int((image == 2).sum()) / int(mask.sum())
    assert ax.get_title() == f"{real:.1%} real tokens, {targets:.1%} of them targets"


def test_all_forms_of_a_batch_are_taken() -> None:
    ids, mask = pad_token_ids([[7, 8], [9]])
    expected = [[1, 1], [1, 0]]
    assert drawn((ids, mask))[1].tolist() == expected
    assert drawn({"input_ids": ids, "attention_mask": mask.long()})[1].tolist() == expected
    assert drawn(CorruptedSpans(ids, mask, ids, mask))[1].tolist() == expected
    ax, image = drawn(MaskedTokens(ids, torch.where(mask, ids, -100)))
    assert image.tolist() == [[2, 2], [2, 1]]
    assert legend_of(ax) == ["real token: 25.0%", "target: 75.0%"]


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), rest=st.integers(0, 20))
def test_a_packed_batch_is_drawn_in_lines(lengths: list[int], rest: int) -> None:
    batch = collate_packed([[7] * length for length in lengths], length=sum(lengths) + rest)
    batch = mask_packed_tokens(batch, seeds=torch.arange(len(lengths)), **HIDING)
    ax, image = drawn(batch)
    kinds, count = image.reshape(-1), len(batch["ids"])
    assert (kinds[count:] == 4).all()  # after the end
    kinds = kinds[:count]
    assert torch.equal(kinds == 0, ~batch["mask"])
    assert torch.equal(kinds == 2, batch["labels"] != -100)
    is_plain = batch["mask"] & (batch["labels"] == -100)
    assert torch.equal(kinds == 3, is_plain & (batch["segment_ids"] % 2 == 1))
    assert ax.get_ylabel() == f"line of {image.shape[1]} tokens"


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0), (0,)])
def test_an_empty_batch_is_drawn(shape: tuple[int, ...]) -> None:
    ids = torch.zeros(shape, dtype=torch.int64)
    assert plot_batch((ids, ids > 0), ax=Figure().subplots()).get_title() == "0.0% real tokens"


@pytest.mark.usefixtures("no_type_checks")
def test_errors_name_the_argument() -> None:
    with pytest.raises(TypeError, match="batch must be a mapping, a named tuple or a pair"):
        plot_batch(3, ax=Figure().subplots())
    with pytest.raises(ValueError, match="batch must hold ids of shape"):
        plot_batch({"mask": torch.ones(2, 3)}, ax=Figure().subplots())
