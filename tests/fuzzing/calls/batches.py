"""Valid calls of what makes batches: collators, masks, targets, packing, padding."""

from collections.abc import Iterator

import torch

from bionemo import data
from bionemo.adapters import megatron
from bionemo.core import padding
from tests.fuzzing.calls.parts import BLOCK, FIELDS, IDS, PACKED, ROWS, SAMPLES, Call, call, generator


def batch_calls() -> Iterator[Call]:
    yield call(data.RaggedField, dtype=torch.int64, padding_value=0)
    yield call(data.ScalarField, dtype=torch.int64)
    yield call(data.ObjectField)
    lengths = {"padding_len": 8, "pad_size_divisible_by": 8}
    yield call(data.collate_fields, samples=SAMPLES, fields=FIELDS, padding_side="left", **lengths)
    probabilities = {"mask_prob": 0.2, "mask_replace_prob": 0.5, "random_replace_prob": 0.2}
    tokens = {"mask_id": 1, "replacement_ids": [2, 3], "special_ids": [0]}
    yield call(data.mask_tokens, **BLOCK, **tokens, **probabilities)
    spans = {"sentinel_ids": [90, 91, 92, 93], "padding_value": 0, "noise_density": 0.2, "mean_span_length": 2}
    yield call(data.corrupt_spans, **BLOCK, **spans)
    yield call(data.next_token_labels, ids=IDS, mask=IDS > 0)
    yield call(data.chosen_labels, ids=IDS, chosen=IDS > 0)
    packed = {"fields": None, "divisible_by": 4, "length": 16, "bins": [[2, 1]]}
    yield call(data.collate_packed, samples=ROWS, **packed)
    yield call(megatron.packed_seq_params, batch=PACKED)
    yield call(data.unpack, batch=PACKED, name="ids")
    yield call(data.mask_packed_tokens, batch=PACKED, seeds=torch.arange(2), mask_id=1, replacement_ids=[5, 6])
    yield call(data.next_packed_labels, batch=PACKED)
    yield call(data.flash_attention_inputs, batch=PACKED)
    yield call(data.attention_block_mask, batch=PACKED, causal=True)
    yield call(data.shard_for_context_parallel, batch=PACKED, rank=0, world_size=1, names=["ids"])
    yield call(data.unshard_context_parallel, parts=[PACKED], names=["ids"])
    yield call(data.random_crop, generator, row=[0, 1, 2], length=2)
    by_seed = {"rows": [[0, 1, 2], [3]], "seeds": torch.arange(2)}
    yield call(data.random_crop_rows, **by_seed, length=2)
    yield call(data.random_reverse_complement_rows, **by_seed, complement=[3, 2, 1, 0], prob=0.5)
    yield call(data.random_reverse_complement, generator, row=[0, 1], complement=[1, 0], prob=0.5)
    yield call(data.reverse_complement, row=[0, 1], complement=[1, 0])
    yield call(data.throughput, mask=IDS > 3, seconds=2.5)
    yield call(padding.length_mask, lengths=torch.tensor([1, 2]), length=3)
    yield call(padding.row_mask, lengths=[1, 2], width=3, padding_side="left")
    yield call(padding.padded_length, lengths=[1, 2], **lengths)  # a name, of any length, is the caller's
    numbers_of_rows = {"padding_value": 1, "padding_side": "left"}
    yield call(padding.pad_token_ids, token_ids=ROWS, dtype=torch.int64, **lengths, **numbers_of_rows)
    buffers = {"ids_buffer": torch.empty(99, dtype=torch.int64), "mask_buffer": torch.empty(99, dtype=torch.bool)}
    yield call(padding.pad_token_ids_into, **buffers, token_ids=ROWS, padding_value=1, **lengths)
    yield call(padding.truncate_token_ids, token_ids=ROWS, length=1, side="left")
    yield call(padding.unpad_token_ids, ids=IDS, mask=IDS > 0)
