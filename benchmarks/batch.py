"""Benchmarks of padding against other libraries: `make bench-batch`. One thread."""

import os
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from benchmarks import peers
from benchmarks.table import Row, below, faster, missing, seconds_in_turn, show
from bionemo.core.padding import pad_token_ids

SIZES = (32, 128, 512)


def make_rows(size: int) -> list[Any]:
    """Return a batch of `size` rows of 50 to 1,024 tokens, as arrays."""
    generator = np.random.default_rng(size)
    return [generator.integers(0, 30, length) for length in generator.integers(50, 1025, size)]


def as_lists(rows: list[Any]) -> list[Any]:
    """Return the rows as lists of ints."""
    return [row.tolist() for row in rows]


def as_tensors(rows: list[Any]) -> list[Any]:
    """Return the rows as tensors."""
    return [torch.from_numpy(row) for row in rows]


def pad_sequence(rows: list[Any]) -> Any:
    """Return the rows padded by torch, without a mask."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def make_collator() -> Callable[[list[Any]], Any]:
    """Return transformers' padding collator, as a function of lists."""
    words = Tokenizer(WordLevel({str(number): number for number in range(31)}, unk_token="0"))  # noqa: S106
    collator = DataCollatorWithPadding(PreTrainedTokenizerFast(tokenizer_object=words, pad_token="30"))  # noqa: S106
    collator.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return lambda rows: collator([{"input_ids": row} for row in rows])


def compare(label: str, make: Callable[[list[Any]], list[Any]], theirs: Any, target: float, peer: str) -> list[Row]:
    """Compare the nanoseconds per token with a peer's, for each batch size."""
    found = []
    for arrays in map(make_rows, SIZES):
        rows, tokens = make(arrays), sum(map(len, arrays))
        took = seconds_in_turn(partial(pad_token_ids, rows), partial(theirs, rows), repeats=50)
        ours, other = (duration / tokens * 1e9 for duration in took)
        found.append(faster(f"{label}, {len(rows)} rows", ours, other, target, peer))
    return found


def memory() -> Row:
    """Measure the peak memory of padding a batch of lists, in multiples of the padded block."""
    rows = as_lists(make_rows(512))
    tracemalloc.start()
    ids, _ = pad_token_ids(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = (
        ids.numel() * ids.element_size()
    )  # added to the peak: tracemalloc doesn't see torch's memory, which holds only the ids
    return below("peak memory for lists, including the result", (peak + block) / block, 2, "blocks")


def main() -> None:
    """Measure everything and print the table."""
    torch.set_num_threads(1)
    upstream = peers.bionemo_pad()
    rows = []
    for kind, make, target in (("lists", as_lists, 5), ("tensors", as_tensors, 1.3), ("arrays", list, 3)):
        label = f"time per token, {kind} of ints"
        if upstream.function:
            rows.extend(compare(label, make, upstream.function, target, upstream.name))
        else:
            rows.append(missing(label, upstream))
    rows += [
        *compare("time per token, tensors, with the mask", as_tensors, pad_sequence, 0.8, "pad_sequence, without mask"),
        *compare("time per token, lists", as_lists, make_collator(), 3, "transformers' DataCollatorWithPadding"),
        memory(),
    ]
    show(rows)


if __name__ == "__main__":
    main()
