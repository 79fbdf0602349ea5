"""Tests of packed batches against the libraries that take them, with their own code."""

import pytest
import torch
from transformers import DataCollatorWithFlattening, LlamaConfig, LlamaForCausalLM

from bionemo.core.random import make_generator, random_torch_context
from bionemo.data import (
    attention_block_mask,
    collate_packed,
    flash_attention_inputs,
    next_packed_labels,
    shard_for_context_parallel,
    unpack,
)

ROWS = [[5, 6, 7, 9], [8], [9, 5, 4, 6, 7, 8]]


def test_the_inputs_are_those_of_the_flattening_collator_of_transformers() -> None:
    collated = DataCollatorWithFlattening(return_flash_attn_kwargs=True)([{"input_ids": row} for row in ROWS])
    inputs = flash_attention_inputs(collate_packed(ROWS))
    assert {*collated} == {*inputs} | {"labels"}
    for name, value in inputs.items():
        if isinstance(value, int):
            assert value == collated[name]
        else:
            assert torch.equal(value, collated[name])
            assert value.dtype == collated[name].dtype


def test_a_model_of_transformers_gives_packed_samples_the_logits_that_they_have_alone() -> None:
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        attn_implementation="sdpa",
    )
    with random_torch_context(make_generator(1, "model")):
        model = LlamaForCausalLM(config).double().eval()
    packed = collate_packed(ROWS)
    allowed = attention_block_mask(packed, causal=True)
    inputs = {"input_ids": packed["ids"][None], "position_ids": packed["positions"][None]}
    with torch.no_grad():
        whole = model(**inputs, attention_mask=allowed[None, None]).logits[0]
        for row, logits in zip(ROWS, unpack({**packed, "logits": whole}, "logits"), strict=True):
            torch.testing.assert_close(logits, model(torch.tensor([row])).logits[0], rtol=1e-9, atol=1e-12)


def test_inputs_of_padded_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="must be packed without padding"):
        flash_attention_inputs(collate_packed(ROWS, divisible_by=4))
    with pytest.raises(
        ValueError, match="multiples of 4 for 2 context-parallel ranks, got 1. Collate with divisible_by=4"
    ):
        shard_for_context_parallel(collate_packed(ROWS), 0, 2)
    with pytest.raises(ValueError, match="length must be at least the batch's 11 tokens, got length=10"):
        collate_packed(ROWS, length=10)
    with pytest.raises(ValueError, match="batch must be what collate_packed returned, got no tensor 'ids'"):
        next_packed_labels({"mask": torch.ones(2, dtype=torch.bool)})


def test_a_batch_without_samples_has_the_same_names_and_dtypes() -> None:
    empty, full = collate_packed([]), collate_packed(ROWS)
    assert {name: getattr(part, "dtype", int) for name, part in empty.items()} == {
        name: getattr(part, "dtype", int) for name, part in full.items()
    }
    assert unpack(empty) == []
    assert collate_packed([], length=4)["mask"].tolist() == [False] * 4


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": torch.arange(3)}, r"batch\['ids'\] must have a value per token, got shape \(3,\) for 4 tokens"),
        ({"ids": torch.tensor(3)}, r"batch\['ids'\] must have a value per token, got shape \(\) for 4 tokens"),
        ({"cu_seqlens": torch.tensor(3)}, r"batch must have equally many cu_seqlens and cu_seqlens_padded, got shapes"),
        ({"cu_seqlens": torch.tensor([[0, 3, 4]])}, "batch must have equally many cu_seqlens and cu_seqlens_padded"),
        ({"segment_ids": torch.zeros(4)}, r"batch\['segment_ids'\] must be of a signed or 8-bit integer dtype"),
        ({"mask": torch.ones(4)}, r"batch\['mask'\] must hold bools, got dtype=torch.float32. Convert it by .bool"),
    ],
)
def test_a_batch_whose_fields_do_not_fit_together_is_refused(change: dict, message: str) -> None:
    batch = collate_packed([[5, 6, 7], [8]]) | change
    with pytest.raises((ValueError, TypeError), match=message):
        next_packed_labels(batch)
