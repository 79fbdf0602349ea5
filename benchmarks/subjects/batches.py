"""Padding rows of tokens into a block, and masking it."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import DataCollatorForLanguageModeling, DataCollatorWithPadding, PreTrainedTokenizerFast

from benchmarks import peers
from benchmarks.measure import Call, Effort, call_of, limited, race
from benchmarks.record import Measurement
from bionemo.core.padding import pad_token_ids
from bionemo.data import mask_tokens

SIZES = (32, 128, 512)
MASK, FIRST, LAST, PADDING = 1, 4, 24, 0
MASKED: dict[str, Any] = {"mask_id": MASK, "special_ids": range(FIRST)}


def measure(effort: Effort) -> Iterator[Measurement]:
    """Compare padding, its memory, then masking."""
    for size in effort.pick(SIZES, SIZES[:1]):
        yield from padding(size, effort)
    yield memory()
    yield from masking(effort)


def make_rows(size: int) -> list[Any]:
    """Return a batch of `size` rows of 50 to 1,024 tokens, as arrays."""
    generator = np.random.default_rng(size)
    return [generator.integers(0, 30, length) for length in generator.integers(50, 1025, size)]


def as_lists(rows: list[Any]) -> list[Any]:
    """Return the rows as lists of ints."""
    return [row.tolist() for row in rows]


def make_tokenizer() -> Any:
    """Return a tokenizer of 31 numbers, for transformers' collators."""
    words = Tokenizer(WordLevel({str(number): number for number in range(31)}, unk_token="0"))  # noqa: S106
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="30", mask_token="1")  # noqa: S106
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return tokenizer


def by_transformers() -> Callable[[list[Any]], Any]:
    """Return a function that pads rows by transformers' collator."""
    collator = DataCollatorWithPadding(make_tokenizer())
    return lambda rows: collator([{"input_ids": row} for row in rows])


def padding(size: int, effort: Effort) -> Iterator[Measurement]:
    """Compare the time per token of padding a batch, from each kind of row."""
    arrays = make_rows(size)
    tensors = [torch.from_numpy(row) for row in arrays]
    tokens = sum(map(len, arrays))
    upstream = peers.bionemo_pad()
    pad_sequence = partial(torch.nn.utils.rnn.pad_sequence, tensors, batch_first=True)
    others = {
        "lists": [
            Call("transformers DataCollatorWithPadding", partial(by_transformers(), as_lists(arrays)), tokens, 3)
        ],
        "tensors": [Call("torch pad_sequence, without a mask", pad_sequence, tokens, 0.8)],
        "arrays": [],
    }
    for kind, rows, target in (("lists", as_lists(arrays), 5), ("tensors", tensors, 1.3), ("arrays", arrays, 3)):

        def theirs(pad: Any, rows: list[Any] = rows) -> Callable[[], Any]:
            return partial(pad, rows)

        yield from race(
            f"padding {size} {kind} of ints, time per token",
            Call("pad_token_ids, with the mask", partial(pad_token_ids, rows), per=tokens),
            call_of(upstream, theirs, per=tokens, least_ratio=target),
            *others[kind],
            effort=effort,
        )


def memory() -> Measurement:
    """Measure the peak memory of padding a batch of lists, in multiples of the padded block."""
    rows = as_lists(make_rows(512))
    tracemalloc.start()
    ids, _ = pad_token_ids(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = ids.numel() * ids.element_size()  # added to the peak: tracemalloc doesn't see torch's memory, only the ids
    what = "padding 512 lists, peak memory with the result"
    return limited(what, "pad_token_ids", (peak + block) / block, unit="blocks", limit=2)


def masking(effort: Effort) -> Iterator[Measurement]:
    """Compare the time per cell of masking a block of 64 x 512 with transformers' collator."""
    lengths = torch.arange(64) * 4 + 260
    mask = torch.arange(512) < lengths[:, None]
    ids = torch.randint(FIRST, LAST, mask.shape, generator=torch.Generator().manual_seed(1)).where(mask, PADDING)
    seeds, collator = torch.arange(64), DataCollatorForLanguageModeling(make_tokenizer())

    def theirs() -> Any:
        return collator.torch_mask_tokens(ids.clone(), special_tokens_mask=~mask)

    for vocabulary in (LAST, 250_000):
        options = MASKED | {"replacement_ids": range(FIRST, vocabulary)}
        what = f"masking 64 x 512, {vocabulary:,} tokens, time per cell"
        call = Call("mask_tokens, a seed per row", partial(mask_tokens, ids, mask, seeds=seeds, **options), ids.numel())
        peer = Call("transformers torch_mask_tokens, the global state", theirs, ids.numel(), 3)
        (found,) = race(what, call, peer, effort=effort)
        yield found
        yield limited(what, call.name, *found.ours.rounds, unit="s", limit=25e-9)
