"""The laws of batches find collators that refuse an empty list, and losses that depend on the batch."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from bionemo.core.padding import pad_token_ids
from bionemo.data import collate_packed
from bionemo.data.testing import assert_batch_invariant, assert_collate_accepts_empty

ROWS = [torch.tensor([5, 6, 7]), torch.tensor([8]), torch.tensor([9, 10])]


def test_collators_that_refuse_an_empty_list_are_found() -> None:
    assert_collate_accepts_empty(pad_token_ids, ROWS)
    assert_collate_accepts_empty(collate_packed, ROWS)
    assert_collate_accepts_empty(list, ROWS)
    with pytest.raises(AssertionError, match=r"collate must accept an empty list, got IndexError: list index"):
        assert_collate_accepts_empty(default_collate, [1, 2])
    with pytest.raises(
        AssertionError, match=r"batch\['ids'\] is Tensor of torch.float32 with 1 axes instead of Tensor of"
    ):
        assert_collate_accepts_empty(lambda rows: {"ids": torch.tensor(list(map(len, rows)))}, ROWS)
    with pytest.raises(AssertionError, match=r"batch\[1\] is missing instead of int"):
        assert_collate_accepts_empty(lambda rows: (1, 2) if rows else (1,), ROWS)


MODEL = torch.nn.Embedding.from_pretrained(torch.arange(64.0).reshape(32, 2).cos())


def padded_loss(batch: Any, *, counts_padding: bool = False, attends: bool = False, mean: bool = False) -> Any:
    ids, mask = batch
    hidden = MODEL(ids)
    if attends:  # to everything in the row, padding too
        hidden = hidden + hidden.mean(dim=1, keepdim=True)
    loss = hidden.square().sum(2)
    loss = loss.sum() if counts_padding else loss[mask].sum()
    return loss / len(ids) if mean else loss


def packed_loss(batch: Any, *, leaks: bool = False) -> Any:
    hidden = MODEL(batch["ids"])
    return hidden.cumsum(0).square().sum() if leaks else hidden.square().sum()


def either_loss(batch: Any, **options: Any) -> Any:
    return (
        packed_loss(batch, **options) if isinstance(batch, dict) or hasattr(batch, "cu_seqlens") else padded_loss(batch)
    )


@pytest.mark.parametrize("fault", ["counts_padding", "attends", "mean"])
def test_losses_that_depend_on_the_padding_are_found(fault: str) -> None:
    wider = partial(pad_token_ids, padding_len=7)
    assert_batch_invariant(padded_loss, ROWS, pad_token_ids, wider)
    with pytest.raises(AssertionError, match=r"the summed loss must not depend on the batch, but it is .* one by one"):
        assert_batch_invariant(partial(padded_loss, **{fault: True}), ROWS, pad_token_ids, wider)


def test_losses_that_depend_on_packing_are_found() -> None:
    assert_batch_invariant(either_loss, ROWS, pad_token_ids, collate_packed)
    with pytest.raises(AssertionError, match=r"and .* one by one by collator 1\."):
        assert_batch_invariant(partial(either_loss, leaks=True), ROWS[1:], pad_token_ids, collate_packed)


def test_a_loss_that_is_no_number_and_too_few_samples_are_refused() -> None:
    with pytest.raises(AssertionError, match="it is nan one by one and nan in two halves"):
        assert_batch_invariant(lambda batch: float("nan"), ROWS, pad_sequence)
    with pytest.raises(ValueError, match="samples must hold at least two samples, got 1"):
        assert_batch_invariant(padded_loss, ROWS[:1], pad_token_ids)
